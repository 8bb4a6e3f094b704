//! Names of Axolotl's YAML.

use super::super::inputs::Input as Named;
use super::super::read::{boolean, whole};
use super::groups;
use super::inputs;
use super::reasons;
use super::row::Becomes::{Input, Note, Refused, Renamed, Same, Value};
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
        Input(
            Named::Data,
            "the data, as --data: `path` (or `data_files`), `name`, `split` and `columns` of each; `type` must \
             be `chat_template`, or `alpaca` for rows with `instruction` and `output`",
            |said, value| groups::sources_of(said, value).map(|sources| said.inputs.data.extend(sources)),
        ),
    ),
    row(
        OWN,
        &["test_datasets"],
        Input(
            Named::Validation,
            "the validation set, as --validation",
            |said, value| {
                groups::sources_of(said, value).map(|sources| said.inputs.validation.extend(sources))
            },
        ),
    ),
    row(
        OWN,
        &["val_set_size"],
        Value(
            "the share of the data, or the number of rows, to hold out as the validation set if no file is \
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
            "as `optim`; mlx-lm's `adam` becomes AdamW without weight decay, which is the same",
            read::optimizer,
        ),
    ),
    row(
        OWN,
        &["adapter"],
        Value(
            "for `lora`, `lora` as in the recipe `lora`; for `qlora`, 4-bit weights too (--dtype q4_k_m)",
            inputs::adapter,
        ),
    ),
    row(
        OWN,
        &["lora_target_linear"],
        Value(
            "`lora.target_modules`: all linear layers if true, also beside `lora_target_modules`",
            inputs::target_linear,
        ),
    ),
    row(
        OWN,
        &["evals_per_epoch"],
        Value(
            "`evals_per_epoch`; 0 is 1. Without a validation set nothing is measured, which is noted",
            read::evals_per_epoch,
        ),
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
            "noted: the model's own template is used, as `tokenizer_default` asks; `jinja` is refused",
            inputs::chat_template,
        ),
    ),
    row(
        OWN,
        &["special_tokens"],
        Value(
            "`eos_token` must be one that ends the model's replies, `bos_token` and `unk_token` must be the \
             model's; `pad_token` is noted, others are refused",
            inputs::special_tokens,
        ),
    ),
    row(
        OWN,
        &["eot_tokens"],
        Value("must be tokens that end the model's replies", |said, value| {
            inputs::names(value).map(|tokens| said.inputs.eot_tokens = tokens)
        }),
    ),
    row(
        OWN,
        &[
            "chat_template_jinja",
            "tokens",
            "added_tokens_overrides",
            "tokenizer_config",
            "base_model_config",
            "default_system_message",
        ],
        Refused(reasons::IN_MODEL_FOLDER),
    ),
    row(
        OWN,
        &["processor_type"],
        Refused("only text models are trained; leave it out"),
    ),
    row(OWN, &["quantize_moe_experts"], Refused(reasons::NO_EXPERTS)),
    row(
        OWN,
        &[
            "rl",
            "reward_model",
            "process_reward_model",
            "kto_desirable_weight",
            "pretraining_dataset",
        ],
        Refused("only supervised fine-tuning is supported"),
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
            "`resume_from_checkpoint`: the latest checkpoint of `output_dir`, if there is one; a name in the same \
             file counts more",
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
            "of equal rows, only the first is trained and evaluated",
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
            "tokenizer_use_mistral_common",
            "tokenizer_save_jinja_files",
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
            "shuffle_before_merging_datasets",
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
            "use_mlflow",
            "mlflow_experiment_name",
            "use_comet",
            "comet_project_name",
            "use_trackio",
            "trackio_project_name",
            "use_otel_metrics",
        ],
        Refused(reasons::OTHER_TRACKER),
    ),
    row(
        OWN,
        &[
            "mlflow_tracking_uri",
            "mlflow_run_name",
            "hf_mlflow_log_artifacts",
            "comet_workspace",
            "comet_mode",
            "comet_online",
            "comet_experiment_key",
            "comet_experiment_config",
            "trackio_run_name",
            "otel_metrics_host",
            "otel_metrics_port",
        ],
        Note(reasons::OF_OTHER_TRACKER),
    ),
    row(
        OWN,
        &[
            "context_parallel_size",
            "dp_shard_size",
            "dp_replicate_size",
            "tensor_parallel_size",
            "sequence_parallel_degree",
            "heads_k_stride",
            "ring_attn_func",
            "ddp",
            "world_size",
        ],
        Note(reasons::RANKS),
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
            "lora_embedding_kernel",
            "gpu_memory_limit",
            "experimental_skip_move_to_device",
            "use_kernels",
            "use_scattermoe",
            "use_sonicmoe",
            "fused_attn_kernel",
            "sage_attention",
            "flash_attn_cross_entropy",
            "flash_attn_rms_norm",
            "flash_attn_fuse_mlp",
            "flash_attn_fuse_qkv",
            "flash_optimum",
            "flex_attn_compile_kwargs",
            "tiled_mlp",
            "tiled_mlp_num_shards",
            "tiled_mlp_use_original_mlp",
            "chunked_cross_entropy",
            "chunked_cross_entropy_num_chunks",
            "torch_compile_options",
            "deepcompile",
            "layer_offloading",
            "gc_collect_steps",
        ],
        Note(reasons::KERNELS),
    ),
];
