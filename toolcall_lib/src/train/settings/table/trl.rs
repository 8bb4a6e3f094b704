//! Names of TRL's `SFTConfig`, and of the model and data of its scripts.

use super::super::inputs::Input as Named;
use super::super::read::{boolean, text};
use super::inputs;
use super::reasons;
use super::row::Becomes::{Input, Note, Refused, Renamed, Same, Value};
use super::row::{Peer, Row, row};
use super::values as read;

const OWN: &[Peer] = &[Peer::Trl];
const FACTORY: &[Peer] = &[Peer::Trl, Peer::LlamaFactory];
/// Tools of names that TRL and those that build on it share.
const SHARED: &[Peer] = &[Peer::Trl, Peer::Axolotl, Peer::LlamaFactory];

pub(super) const ROWS: &[Row] = &[
    row(
        OWN,
        &["assistant_only_loss"],
        Value(
            "`loss`: `assistant` if true; if false as `completion_only_loss` says, `auto` where that is null",
            |said, value| boolean(value).map(|only| said.trained.assistant = Some(only)),
        ),
    ),
    row(
        OWN,
        &["completion_only_loss"],
        Value(
            "`loss`: `completion` if true and `assistant_only_loss` is not; `all` if both are false",
            |said, value| boolean(value).map(|only| said.trained.completion = Some(only)),
        ),
    ),
    row(OWN, &["max_length"], Same),
    row(
        &[Peer::Trl, Peer::Mlx],
        &["max_seq_length"],
        Renamed("max_length"),
    ),
    row(
        OWN,
        &["truncation_mode"],
        Value(
            "`overlong`: `truncate` for `keep_start`; `keep_end` is refused",
            read::truncation,
        ),
    ),
    row(
        OWN,
        &["shuffle_dataset"],
        Value(
            "`shuffle` if true; false is noted, because TRL shuffles the rows of every epoch anyway",
            read::shuffle_dataset,
        ),
    ),
    row(
        SHARED,
        &["packing", "sample_packing", "neat_packing"],
        Value(
            "noted with the conversations per step: they are always packed into a tree, where none attends \
             to another, and the batch size counts conversations",
            read::packing,
        ),
    ),
    row(
        SHARED,
        &[
            "packing_strategy",
            "eval_packing",
            "padding_free",
            "pad_to_multiple_of",
            "eval_sample_packing",
            "pad_to_sequence_len",
            "num_of_sequences",
        ],
        Note(
            "conversations are always packed into a tree, where none attends to another; the batch size \
             counts conversations",
        ),
    ),
    row(
        FACTORY,
        &["model_name_or_path"],
        Value("the model, as --model", inputs::model),
    ),
    row(
        OWN,
        &["dataset_name"],
        Input(
            Named::Data,
            "the data: a file, a folder or a name on the hub",
            |said, value| inputs::named_source(&text(value)?).map(|source| said.inputs.data.push(source)),
        ),
    ),
    row(
        OWN,
        &["dataset_config"],
        Input(Named::Part, "the config of the data set", |said, value| {
            text(value).map(|name| said.inputs.dataset_config = Some(name))
        }),
    ),
    row(
        OWN,
        &["dataset_train_split"],
        Input(
            Named::Part,
            "the split of the data set to train on",
            |said, value| inputs::split(value).map(|split| said.inputs.dataset_split = Some(split)),
        ),
    ),
    row(
        OWN,
        &["dataset_test_split"],
        Input(
            Named::Part,
            "the split of the data set to evaluate on",
            |said, value| inputs::split(value).map(|split| said.inputs.dataset_test_split = Some(split)),
        ),
    ),
    row(
        OWN,
        &["test_split_size"],
        Value("as `val_set_size`", inputs::validation_share),
    ),
    row(
        OWN,
        &["dtype", "torch_dtype"],
        Value(
            "--dtype of the frozen weights under an adapter; trained weights are f32",
            inputs::dtype,
        ),
    ),
    row(
        OWN,
        &["use_peft"],
        Value(
            "`lora` as in the recipe `lora` if true, none if false. If neither this nor `adapter` asks for an \
             adapter, `lora_r` and the other four below are noted",
            |said, value| boolean(value).map(|wanted| said.adapter = Some(wanted)),
        ),
    ),
    row(SHARED, &["lora_r"], Renamed("lora.r")),
    row(SHARED, &["lora_alpha"], Renamed("lora.lora_alpha")),
    row(SHARED, &["lora_dropout"], Renamed("lora.lora_dropout")),
    row(SHARED, &["lora_target_modules"], Renamed("lora.target_modules")),
    row(
        SHARED,
        &["use_rslora", "peft_use_rslora"],
        Renamed("lora.use_rslora"),
    ),
    row(
        SHARED,
        &["load_in_4bit"],
        Value(
            "--dtype q4_k_m if true (blocks of llama.cpp, not NF4)",
            inputs::load_in_4bit,
        ),
    ),
    row(
        SHARED,
        &["load_in_8bit"],
        Value("--dtype q8_0 if true", inputs::load_in_8bit),
    ),
    row(
        SHARED,
        &["peft_use_dora", "lora_modules_to_save", "lora_target_parameters"],
        Refused(reasons::PLAIN_LORA),
    ),
    row(
        SHARED,
        &["peft_init_lora_weights"],
        Value("must be true: A random and B zero", inputs::init_lora_weights),
    ),
    row(
        OWN,
        &["loss_type"],
        Value("must be `nll` or `chunked_nll`, which is the same", |_, value| {
            read::only(value, &["nll", "chunked_nll"])
        }),
    ),
    row(OWN, &["router_aux_loss_coef"], Refused(reasons::NO_EXPERTS)),
    row(
        OWN,
        &["chat_template_path"],
        Refused("the model's own template is used; put yours into the folder of the model"),
    ),
    row(
        OWN,
        &["dataset_streaming"],
        Refused("a data set is read into memory; leave it out"),
    ),
    row(
        SHARED,
        &["model_revision", "revision_of_model"],
        Value("the revision of the model: owner/name@revision", read::revision),
    ),
    row(
        OWN,
        &[
            "dataset_text_field",
            "dataset_num_proc",
            "dataset_batch_size",
            "dataset_kwargs",
            "ignore_bias_buffers",
        ],
        Note("rows are conversations with known keys"),
    ),
    row(
        OWN,
        &["pad_token", "trust_remote_code"],
        Note(reasons::OWN_TOKENIZER),
    ),
    row(
        OWN,
        &["eos_token"],
        Value(
            "must be a token that ends the model's replies; a masked one, as in a dump of settings, is noted",
            inputs::eos_token,
        ),
    ),
    row(
        OWN,
        &["env"],
        Value(
            "`WANDB_PROJECT`, `WANDB_ENTITY`, `WANDB_MODE`, `WANDB_RUN_ID`, `WANDB_NAME` and \
             `TENSORBOARD_LOGGING_DIR` as the settings of these names; others of the hub, the trackers and the \
             GPUs are refused, and the rest is noted",
            read::environment,
        ),
    ),
    row(
        OWN,
        &[
            "accelerate_config",
            "num_processes",
            "num_machines",
            "machine_rank",
            "main_process_ip",
            "main_process_port",
        ],
        Note(reasons::RANKS),
    ),
    row(
        OWN,
        &["model_init_kwargs"],
        Value(
            "`revision` as `model_revision`, `dtype` as `dtype`; keys about kernels and devices are noted, \
             others are refused",
            inputs::model_init_kwargs,
        ),
    ),
    row(
        OWN,
        &[
            "lora_task_type",
            "bnb_4bit_quant_type",
            "bnb_4bit_quant_storage",
            "use_bnb_nested_quant",
        ],
        Note(reasons::KERNELS),
    ),
];
