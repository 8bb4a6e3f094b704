//! Names of the files of a saved model or checkpoint.
//!
//! The order in which a draft is put in place depends on them (`finish`): `CONFIG` or
//! `ADAPTER_CONFIG` is removed first and written last, because no program takes a folder without
//! one for a model. `TRAIN_REPORT`, `TRAINER_STATE`, `TRAINING` and `CARD` do not count there,
//! because no program reads them when it loads a model; list any further such file with them.

/// Shape of a whole model.
pub const CONFIG: &str = "config.json";
/// Weights of a whole model in one file.
pub const WEIGHTS: &str = "model.safetensors";
/// Index from tensors to the files of weights that are sharded.
pub const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
/// Settings of an adapter, as PEFT has them.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// Weights of an adapter.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
/// Tokens that end a reply, and how tokens are chosen.
pub const GENERATION_CONFIG: &str = "generation_config.json";
/// Vocabulary and rules of the tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";
/// Tokens with a meaning, and in older models the chat template.
pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Tokens with a meaning, in older models.
pub const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";
/// The chat template.
pub const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// The chat templates of older models that have a processor.
pub const PROCESSOR_CHAT_TEMPLATE: &str = "chat_template.json";
/// Folder of the other chat templates, `NAME.jinja` each.
pub const ADDITIONAL_CHAT_TEMPLATES: &str = "additional_chat_templates";
/// The names above that folders have; all others are names of files.
pub(super) const FOLDERS: [&str; 1] = [ADDITIONAL_CHAT_TEMPLATES];
/// Tools that a model was trained to call.
pub const TOOLS: &str = "tools.json";
/// Data, settings and scores of a model, for the pages of models that are made from it.
pub const TRAINING: &str = "toolcall_training.json";
/// The page of a model.
pub const CARD: &str = "README.md";
/// Report of the run that trained a model.
pub const TRAIN_REPORT: &str = "train_report.json";
/// Log of a run as transformers writes it; in a checkpoint also what the run needs to go on.
pub const TRAINER_STATE: &str = "trainer_state.json";
/// Folder of a checkpoint with the state of the optimizer.
pub const OPTIMIZER: &str = "optimizer/";
/// First and second moments of the optimizer, in that folder.
pub const MOMENTS: [&str; 2] = [
    "optimizer/exp_avg/model.safetensors",
    "optimizer/exp_avg_sq/model.safetensors",
];
/// Weights of the best step, in a checkpoint.
pub const BEST: &str = "best/model.safetensors";
