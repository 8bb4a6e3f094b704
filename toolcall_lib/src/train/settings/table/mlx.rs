//! Names of mlx-lm's YAML.

use super::super::inputs::Input as Named;
use super::groups;
use super::inputs;
use super::reasons;
use super::row::Becomes::{Input, Note, Refused, Renamed, Value};
use super::row::{Peer, Row, row};
use super::values as read;

const OWN: &[Peer] = &[Peer::Mlx];

pub(super) const ROWS: &[Row] = &[
    row(OWN, &["model"], Value("the model, as --model", inputs::model)),
    row(
        OWN,
        &["data"],
        Input(
            Named::Data,
            "the data, as --data. A folder has `train.jsonl`, and `valid.jsonl` for --validation. Any other \
             name is a data set on the hub with the splits `train` and `valid`",
            inputs::data_folder,
        ),
    ),
    row(
        OWN,
        &["validation"],
        Input(
            Named::Validation,
            "the validation set, as --validation",
            inputs::validation,
        ),
    ),
    row(OWN, &["train"], Value("must be true", read::must_be_true)),
    row(
        OWN,
        &["training_mode"],
        Value("must be `normal`", |_, value| read::only(value, &["normal"])),
    ),
    row(
        OWN,
        &["grad_checkpoint"],
        Value("`recompute`: `block` if true, `norms` if false", read::recompute),
    ),
    row(OWN, &["test"], Refused(reasons::MEASURED_LATER)),
    row(
        OWN,
        &["fine_tune_type"],
        Value(
            "for `lora`, `lora` as in the recipe `lora`; for `full`, none",
            inputs::finetuning_type,
        ),
    ),
    row(OWN, &["batch_size"], Renamed("per_device_train_batch_size")),
    row(
        OWN,
        &["grad_accumulation_steps"],
        Renamed("gradient_accumulation_steps"),
    ),
    row(
        OWN,
        &["iters"],
        Value(
            "`max_steps`, which is `iters` / `grad_accumulation_steps`",
            |said, value| read::iterations(said, value, "max_steps"),
        ),
    ),
    row(
        OWN,
        &["steps_per_eval"],
        Value("`eval_steps`, divided like `iters`", |said, value| {
            read::iterations(said, value, "eval_steps")
        }),
    ),
    row(
        OWN,
        &["save_every"],
        Value("`save_steps`, divided like `iters`", |said, value| {
            read::iterations(said, value, "save_steps")
        }),
    ),
    row(
        OWN,
        &["steps_per_report"],
        Value("`logging_steps`, divided like `iters`", |said, value| {
            read::iterations(said, value, "logging_steps")
        }),
    ),
    row(OWN, &["adapter_path"], Renamed("output_dir")),
    row(
        OWN,
        &["num_layers", "lora_layers"],
        Value("`lora.last_layers`; -1 is all", read::num_layers),
    ),
    row(
        OWN,
        &["lora_parameters"],
        Value(
            "`lora`: `rank`, `dropout`, `keys` (its target modules) and `scale`, which is alpha / rank",
            groups::lora_parameters,
        ),
    ),
    row(
        OWN,
        &["mask_prompt"],
        Value("`loss`: `last` if true, `all` if false", read::mask_prompt),
    ),
    row(
        OWN,
        &["optimizer_config"],
        Value(
            "`adam_beta1`, `adam_beta2`, `adam_epsilon`, `weight_decay`, from its group `adam` or `adamw`",
            groups::optimizer_config,
        ),
    ),
    row(
        OWN,
        &["lr_schedule"],
        Value(
            "`lr_scheduler_type`, `learning_rate`, `warmup_steps`: `cosine_decay` or `linear_schedule` that \
             ends at 0",
            groups::lr_schedule,
        ),
    ),
    row(
        OWN,
        &["resume_adapter_file"],
        Refused("name the adapter's folder with --model to train it on"),
    ),
    row(
        OWN,
        &["hf_dataset"],
        Input(
            Named::Data,
            "the data and the validation set, on the hub: `path`, `train_split`, `valid_split`, `config` of \
             each",
            groups::hf_dataset,
        ),
    ),
    row(
        OWN,
        &["prompt_feature"],
        Value("must be `prompt`", |_, value| {
            groups::feature("prompt_feature", value)
        }),
    ),
    row(
        OWN,
        &["completion_feature"],
        Value("must be `completion`", |_, value| {
            groups::feature("completion_feature", value)
        }),
    ),
    row(
        OWN,
        &["chat_feature"],
        Value("must be `messages` or `conversations`", |_, value| {
            groups::feature("chat_feature", value)
        }),
    ),
    row(
        OWN,
        &["text_feature"],
        Refused("rows of plain text are not supported; give conversations"),
    ),
    row(
        OWN,
        &["wandb"],
        Value(
            "`wandb_project`, and `report_to` names wandb",
            read::wandb_project,
        ),
    ),
    row(OWN, &["project_name"], Renamed("wandb_project")),
    row(OWN, &["clear_cache_threshold"], Note(reasons::KERNELS)),
    row(
        OWN,
        &["val_batches", "test_batches"],
        Note("the whole validation set is evaluated, and no other"),
    ),
];
