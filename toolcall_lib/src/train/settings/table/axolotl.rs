//! Names of Axolotl's YAML.

use super::super::read::{boolean, whole};
use super::groups;
use super::inputs;
use super::reasons;
use super::row::Becomes::{Note, Refused, Renamed, Same, Value};
use super::row::{Peer, Row, row};
use super::values as read;
use crate::track::TrackerName;

const OWN: &[Peer] = &[Peer::Axolotl];

pub(super) const ROWS: &[Row] = &[
    row(
        OWN,
        &["base_model"],
        Value("the model, as --model", inputs::model),
    ),
    row(
        &[Peer::Axolotl, Peer::Trl],
        &["datasets"],
        Value(
            "the data, as --data: `path` (or `data_files`) of each; `type` must be `chat_template`",
            |said, value| groups::sources_of(value).map(|sources| said.inputs.data.extend(sources)),
        ),
    ),
    row(
        OWN,
        &["test_datasets"],
        Value("the validation set, as --validation", |said, value| {
            groups::sources_of(value).map(|sources| said.inputs.validation.extend(sources))
        }),
    ),
    row(
        OWN,
        &["val_set_size"],
        Value(
            "the share of the data, or the number of rows, to hold out as the validation set, if no file is \
             given",
            inputs::validation_share,
        ),
    ),
    row(OWN, &["micro_batch_size"], Renamed("per_device_train_batch_size")),
    row(OWN, &["num_epochs"], Renamed("num_train_epochs")),
    row(OWN, &["sequence_len"], Renamed("max_length")),
    row(
        OWN,
        &["excess_length_strategy"],
        Value(
            "`overlong`: `drop`, `truncate`, or `error` for `raise`",
            read::excess_length,
        ),
    ),
    row(
        OWN,
        &["optimizer"],
        Value(
            "AdamW, as `optim`; mlx-lm's `adam` is AdamW without weight decay, which it does not have either",
            read::optimizer,
        ),
    ),
    row(
        OWN,
        &["adapter"],
        Value(
            "`lora`: that of the recipe `lora` for `lora`; `qlora` has weights in 4 bits too (--dtype \
             q4_k_m)",
            inputs::adapter,
        ),
    ),
    row(
        OWN,
        &["lora_target_linear"],
        Value(
            "`lora.target_modules`: all linear layers if true",
            inputs::target_linear,
        ),
    ),
    row(
        OWN,
        &["evals_per_epoch"],
        Value("`evals_per_epoch`; 0 is 1", |said, value| {
            said.put("evals_per_epoch", whole(value)?.max(1))
        }),
    ),
    row(
        OWN,
        &["saves_per_epoch"],
        Value("`saves_per_epoch`; 0 is none", |said, value| {
            said.put("saves_per_epoch", Some(whole(value)?).filter(|count| *count > 0))
        }),
    ),
    row(
        OWN,
        &["train_on_inputs"],
        Value("`loss`: `all` if true, `assistant` if false", |said, value| {
            boolean(value).map(|all| said.trained.all = Some(all))
        }),
    ),
    row(
        OWN,
        &["curriculum_sampling"],
        Value("`shuffle`: off if true", |said, value| {
            said.put("shuffle", !boolean(value)?)
        }),
    ),
    row(
        OWN,
        &["chat_template"],
        Value(
            "noted: the template is the model's own, which `tokenizer_default` means; `jinja` is refused",
            inputs::chat_template,
        ),
    ),
    row(
        OWN,
        &["special_tokens"],
        Value(
            "`pad_token` is noted, `eos_token` must be one that ends the model's replies; others are refused",
            inputs::special_tokens,
        ),
    ),
    row(
        OWN,
        &[
            "chat_template_jinja",
            "tokens",
            "added_tokens_overrides",
            "tokenizer_config",
            "base_model_config",
            "eot_tokens",
            "default_system_message",
        ],
        Refused(reasons::IN_MODEL_FOLDER),
    ),
    row(
        OWN,
        &[
            "rl",
            "reward_model",
            "process_reward_model",
            "kto_desirable_weight",
            "pretraining_dataset",
        ],
        Refused("only supervised fine-tuning is done here"),
    ),
    row(
        OWN,
        &["lora_model_dir"],
        Refused("name the adapter's folder with --model to train it on, or a checkpoint with --resume"),
    ),
    row(
        OWN,
        &["auto_resume_from_checkpoints"],
        Value(
            "the latest checkpoint of `output_dir`, if there is one, as `resume_from_checkpoint`",
            read::auto_resume,
        ),
    ),
    row(
        OWN,
        &["plugins"],
        Value(
            "those of Liger and cut cross-entropy are noted, others refused",
            read::plugins,
        ),
    ),
    row(
        OWN,
        &["dataset_exact_deduplication"],
        Value(
            "only the first of equal rows is trained, and measured",
            |said, value| boolean(value).map(|wanted| said.inputs.dedup = Some(wanted)),
        ),
    ),
    row(
        OWN,
        &["wandb_project"],
        Value(
            "`wandb_project`, and `report_to` names wandb",
            read::wandb_project,
        ),
    ),
    row(OWN, &["wandb_entity", "wandb_run_id", "wandb_mode"], Same),
    row(OWN, &["wandb_name"], Renamed("run_name")),
    row(
        OWN,
        &["use_wandb"],
        Value("`report_to`: wandb if true, none if false", |said, value| {
            boolean(value).map(|wanted| said.track(TrackerName::Wandb, wanted))
        }),
    ),
    row(
        OWN,
        &["use_tensorboard"],
        Value(
            "`report_to`: tensorboard if true, none if false",
            |said, value| boolean(value).map(|wanted| said.track(TrackerName::Tensorboard, wanted)),
        ),
    ),
    row(
        OWN,
        &["liger_use_token_scaling"],
        Refused("changes the loss, and is not supported; leave it out"),
    ),
    row(
        &[Peer::Axolotl, Peer::LlamaFactory],
        &[
            "loraplus_lr_ratio",
            "loraplus_lr_embedding",
            "peft_layers_to_transform",
            "lora_rank_pattern",
            "lora_alpha_pattern",
            "relora",
            "loftq_config",
            "unfrozen_parameters",
            "cosine_min_lr_ratio",
            "cosine_constant_lr_ratio",
            "embedding_lr",
            "embedding_lr_scale",
        ],
        Refused(reasons::NOT_SUPPORTED),
    ),
    row(
        OWN,
        &[
            "lora_fan_in_fan_out",
            "gptq",
            "overrides_of_model_config",
            "reinit_weights",
            "pretraining_sample_concatenation",
            "use_pose",
            "min_sample_len",
        ],
        Refused(reasons::NOT_SUPPORTED),
    ),
    row(
        OWN,
        &[
            "model_type",
            "tokenizer_type",
            "is_llama_derived_model",
            "is_mistral_derived_model",
            "is_qwen_derived_model",
            "tokenizer_use_fast",
            "tokenizer_legacy",
        ],
        Note(reasons::OWN_TOKENIZER),
    ),
    row(
        OWN,
        &[
            "strict",
            "dataset_prepared_path",
            "dataset_processes",
            "shuffle_merged_datasets",
            "skip_prepare_dataset",
            "dataset_keep_in_memory",
            "sample_packing_group_size",
            "sample_packing_bin_size",
        ],
        Note(reasons::ROWS_IN_MEMORY),
    ),
    row(
        OWN,
        &[
            "wandb_watch",
            "wandb_log_model",
            "use_mlflow",
            "mlflow_experiment_name",
            "mlflow_tracking_uri",
            "comet_project_name",
            "use_comet",
            "profiler_steps",
            "eval_table_size",
            "eval_max_new_tokens",
            "eval_causal_lm_metrics",
            "loss_watchdog_threshold",
            "loss_watchdog_patience",
            "save_first_step",
        ],
        Note(reasons::EVERY_STEP),
    ),
    row(
        OWN,
        &[
            "liger_rope",
            "liger_rms_norm",
            "liger_rms_norm_gated",
            "liger_layer_norm",
            "liger_swiglu",
            "liger_glu_activation",
            "liger_cross_entropy",
            "liger_fused_linear_cross_entropy",
            "cut_cross_entropy",
            "lora_mlp_kernel",
            "lora_qkv_kernel",
            "lora_o_kernel",
            "flash_attention",
            "xformers_attention",
            "sdp_attention",
            "eager_attention",
            "flex_attention",
            "s2_attention",
            "bfloat16",
            "device_map",
            "max_memory",
            "low_cpu_mem_usage",
            "lora_on_cpu",
        ],
        Note(reasons::KERNELS),
    ),
];
