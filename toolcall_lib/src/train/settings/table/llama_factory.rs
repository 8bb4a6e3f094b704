//! Names of LLaMA-Factory's YAML, besides those of transformers.

use super::super::inputs::Input as Named;
use super::super::read::{boolean, text, whole};
use super::inputs;
use super::reasons;
use super::row::Becomes::{Input, Note, Refused, Renamed, Value};
use super::row::{Peer, Row, row};
use super::values as read;
use serde_json::json;

const OWN: &[Peer] = &[Peer::LlamaFactory];

pub(super) const ROWS: &[Row] = &[
    row(
        OWN,
        &["stage"],
        Value("must be `sft`", |_, value| read::only(value, &["sft"])),
    ),
    row(
        OWN,
        &["finetuning_type"],
        Value(
            "for `lora`, `lora` as in the recipe `lora`; for `full`, none",
            inputs::finetuning_type,
        ),
    ),
    row(
        OWN,
        &["lora_rank"],
        Value(
            "`lora.r`; without `lora_alpha`, alpha is twice the rank",
            inputs::lora_rank,
        ),
    ),
    row(OWN, &["early_stopping_steps"], Renamed("early_stopping_patience")),
    row(
        OWN,
        &["lora_target"],
        Value(
            "`lora.target_modules`; `all` is all linear layers",
            inputs::lora_target,
        ),
    ),
    row(
        OWN,
        &["dataset"],
        Input(
            Named::Data,
            "the data, as --data: files, or names in `dataset_info.json` of `dataset_dir`",
            |said, value| inputs::names(value).map(|names| said.named_data[0] = names),
        ),
    ),
    row(
        OWN,
        &["eval_dataset"],
        Input(
            Named::Validation,
            "the validation set, as `dataset`",
            |said, value| inputs::names(value).map(|names| said.named_data[1] = names),
        ),
    ),
    row(
        OWN,
        &["dataset_dir"],
        Value(
            "the folder of `dataset_info.json`; default: `data`",
            |said, value| text(value).map(|folder| said.named_data_in = Some(folder.into())),
        ),
    ),
    row(
        OWN,
        &["val_size"],
        Value("as `val_set_size`", inputs::validation_share),
    ),
    row(
        OWN,
        &["max_samples"],
        Value(
            "the number of rows that are used from each data file",
            |said, value| whole(value).map(|rows| said.inputs.max_samples = Some(rows as usize)),
        ),
    ),
    row(OWN, &["cutoff_len"], Renamed("max_length")),
    row(
        OWN,
        &["train_on_prompt"],
        Value("`loss`: `all` if true, `assistant` if false", |said, value| {
            boolean(value).map(|all| said.trained.all = Some(all))
        }),
    ),
    row(
        OWN,
        &["mask_history"],
        Value("`loss`: `last` if true", |said, value| {
            boolean(value).map(|last| said.trained.last = Some(last))
        }),
    ),
    row(
        OWN,
        &["disable_shuffling"],
        Value("`shuffle`: off if true", |said, value| {
            said.put("shuffle", !boolean(value)?)
        }),
    ),
    row(OWN, &["template"], Note("the model's own template is used")),
    row(
        OWN,
        &["enable_thinking"],
        Value("`chat_template_kwargs.enable_thinking`", |said, value| {
            said.put(
                "chat_template_kwargs",
                json!({"enable_thinking": boolean(value)?}),
            )
        }),
    ),
    row(
        OWN,
        &["quantization_bit"],
        Value("--dtype: q4_k_m for 4, q8_0 for 8", inputs::quantization_bit),
    ),
    row(
        OWN,
        &["adapter_name_or_path"],
        Refused("name the adapter's folder with --model to train it on"),
    ),
    row(
        OWN,
        &["pure_bf16"],
        Refused("trained weights are f32; set `bf16` for products, and `bf16_stochastic_round`"),
    ),
    row(
        OWN,
        &[
            "rope_scaling",
            "resize_vocab",
            "new_special_tokens_config",
            "add_tokens",
            "add_special_tokens",
            "default_system",
            "tool_format",
            "shift_attn",
            "mixture_of_depths",
            "train_from_scratch",
        ],
        Refused(reasons::IN_MODEL_FOLDER),
    ),
    row(
        OWN,
        &[
            "pissa_init",
            "create_new_adapter",
            "additional_target",
            "use_galore",
            "use_apollo",
            "use_badam",
            "use_adam_mini",
            "use_muon",
            "use_llama_pro",
            "use_dft_loss",
            "use_asft_loss",
            "use_eaft_loss",
            "freeze_trainable_layers",
            "module_dropout",
            "mix_strategy",
            "interleave_probs",
            "streaming",
        ],
        Refused(reasons::NOT_SUPPORTED),
    ),
    row(
        OWN,
        &[
            "overwrite_cache",
            "preprocessing_num_workers",
            "preprocessing_batch_size",
            "tokenized_path",
            "cache_dir",
            "buffer_size",
            "data_shared_file_system",
            "ignore_pad_token_for_loss",
        ],
        Note(reasons::ROWS_IN_MEMORY),
    ),
    row(
        OWN,
        &[
            "plot_loss",
            "include_effective_tokens_per_second",
            "compute_accuracy",
        ],
        Note(reasons::EVERY_STEP),
    ),
    row(OWN, &["use_swanlab"], Refused(reasons::OTHER_TRACKER)),
    row(
        OWN,
        &[
            "swanlab_project",
            "swanlab_workspace",
            "swanlab_run_name",
            "swanlab_mode",
            "swanlab_logdir",
        ],
        Note(reasons::OF_OTHER_TRACKER),
    ),
    row(
        OWN,
        &["ray_num_workers", "ray_init_kwargs", "master_addr", "master_port"],
        Note(reasons::RANKS),
    ),
    row(
        OWN,
        &[
            "use_unsloth",
            "use_unsloth_gc",
            "enable_liger_kernel",
            "quantization_method",
            "quantization_type",
            "double_quantization",
            "upcast_layernorm",
            "upcast_lmhead_output",
            "infer_dtype",
            "flash_attn",
            "use_reentrant_gc",
            "image_max_pixels",
            "image_min_pixels",
            "video_max_pixels",
            "video_min_pixels",
            "print_param_status",
            "use_fast_tokenizer",
            "use_v1_kernels",
            "use_kv_cache",
        ],
        Note(reasons::KERNELS),
    ),
    row(
        OWN,
        &["disable_gradient_checkpointing"],
        Value("`recompute`: `norms` if true, `block` if false", |said, value| {
            said.put("recompute", if boolean(value)? { "norms" } else { "block" })
        }),
    ),
];
