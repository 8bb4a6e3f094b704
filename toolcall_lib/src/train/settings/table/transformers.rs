//! Names of transformers' `TrainingArguments`.

use super::super::read::boolean;
use super::inputs;
use super::reasons;
use super::row::Becomes::{Note, Refused, Same, Value};
use super::row::{Peer, Row, row};
use super::values as read;

const ALL: &[Peer] = &[Peer::Transformers, Peer::Axolotl];
const OWN: &[Peer] = &[Peer::Transformers];

pub(super) const ROWS: &[Row] = &[
    row(
        ALL,
        &[
            "per_device_train_batch_size",
            "gradient_accumulation_steps",
            "learning_rate",
            "weight_decay",
            "adam_beta1",
            "adam_beta2",
            "adam_epsilon",
            "max_grad_norm",
            "num_train_epochs",
            "seed",
            "save_total_limit",
            "load_best_model_at_end",
            "early_stopping_patience",
            "output_dir",
            "predict_with_generate",
        ],
        Same,
    ),
    row(
        ALL,
        &["eval_steps"],
        Value("`eval_steps`; a number below 1 is `eval_ratio`", |said, value| {
            read::steps_or_share(said, value, ["eval_steps", "eval_ratio"])
        }),
    ),
    row(
        ALL,
        &["save_steps"],
        Value("`save_steps`; a number below 1 is `save_ratio`", |said, value| {
            read::steps_or_share(said, value, ["save_steps", "save_ratio"])
        }),
    ),
    row(
        ALL,
        &["logging_steps"],
        Value(
            "`logging_steps`; a number below 1 is `logging_ratio`",
            |said, value| read::steps_or_share(said, value, ["logging_steps", "logging_ratio"]),
        ),
    ),
    row(
        ALL,
        &["max_steps"],
        Value("`max_steps`; -1 is none", read::max_steps),
    ),
    row(
        ALL,
        &["warmup_steps"],
        Value(
            "`warmup_steps`; a number below 1 is `warmup_ratio`. Above 0 it overrides a separate \
             `warmup_ratio`",
            |said, value| read::steps_or_share(said, value, ["warmup_steps", "warmup_ratio"]),
        ),
    ),
    row(ALL, &["warmup_ratio"], Same),
    row(
        ALL,
        &["lr_scheduler_type", "lr_scheduler"],
        Value(
            "`lr_scheduler_type`: `linear`, `cosine`, `constant`, which has no warmup, or \
             `constant_with_warmup`; others are refused",
            |said, value| said.set("lr_scheduler_type", value),
        ),
    ),
    row(
        ALL,
        &["optim"],
        Value(
            "any implementation of AdamW: `adamw_torch`, `adamw_torch_fused`, `adamw_hf` and the like. \
             Variants with 8-bit or paged state are noted, because the state is f32. Other optimizers are \
             refused",
            read::optimizer,
        ),
    ),
    row(ALL, &["bf16"], Value("`bf16`; `auto` is true", read::bf16)),
    row(
        ALL,
        &["fp16", "float16", "fp8"],
        Refused("matrix products are in bf16 or f32, which need no loss scaling; set `bf16`"),
    ),
    row(
        ALL,
        &["gradient_checkpointing", "activation_checkpointing"],
        Value("`recompute`: `block` if true, `norms` if false", read::recompute),
    ),
    row(
        ALL,
        &["eval_strategy", "evaluation_strategy"],
        Value(
            "`steps`: every `eval_steps` steps (default: `logging_steps`, else 500); `epoch`: \
             `evals_per_epoch` is 1. If no validation set is named, it is the split `test` of the data, as \
             in TRL; without one nothing is measured, with a note. `no`: `dataset_test_split` is not \
             evaluated; a validation set is, at the end of each epoch, with a note",
            read::eval_strategy,
        ),
    ),
    row(
        ALL,
        &["save_strategy"],
        Value(
            "`steps`: every `save_steps` steps (default: 500); `epoch`: `saves_per_epoch` is 1; `no`: no \
             checkpoints",
            read::save_strategy,
        ),
    ),
    row(
        ALL,
        &["metric_for_best_model"],
        Value(
            "`metric_for_best_model`; without `eval_` at the beginning, too",
            read::metric,
        ),
    ),
    row(
        ALL,
        &["greater_is_better"],
        Value("must fit `metric_for_best_model`", |said, value| {
            boolean(value).map(|greater| said.greater_is_better = Some(greater))
        }),
    ),
    row(
        ALL,
        &["resume_from_checkpoint"],
        Value(
            "`resume_from_checkpoint`; true stands for the latest checkpoint of `output_dir`",
            read::resume,
        ),
    ),
    row(
        ALL,
        &["ddp_timeout"],
        Value("`ddp_timeout`, at most a year", read::ddp_timeout),
    ),
    row(OWN, &["use_cpu", "no_cuda"], Value("`device`", read::use_cpu)),
    row(
        OWN,
        &["train_sampling_strategy"],
        Value(
            "`shuffle`: `random` or `sequential`; `group_by_length` is noted",
            read::sampling,
        ),
    ),
    row(
        OWN,
        &["generation_max_length"],
        Refused("set `generation_max_new_tokens`, which counts only the tokens of the answer"),
    ),
    row(
        OWN,
        &["do_train"],
        Value("noted if false: this command trains", read::do_train),
    ),
    row(
        OWN,
        &["do_predict", "generation_num_beams"],
        Refused(reasons::MEASURED_LATER),
    ),
    row(
        ALL,
        &["deepspeed"],
        Value(
            "DeepSpeed's file, or its content; the settings in this file override it",
            |_, _| Ok(()), // read before all other settings, which override it
        ),
    ),
    row(
        ALL,
        &["push_to_hub"],
        Value(
            "push the saved model to `hub_model_id` at the end, as `toolcall push` does; not after Ctrl-C. \
             Without that name, the repository has the name of `output_dir`",
            |said, value| boolean(value).map(|wanted| said.inputs.push.wanted = Some(wanted)),
        ),
    ),
    row(
        ALL,
        &["hub_model_id"],
        Value(
            "owner/name on the hub, for `push_to_hub`; without owner, that of the token",
            |said, value| inputs::named(value).map(|repo| said.inputs.push.repo = repo),
        ),
    ),
    row(
        ALL,
        &["hub_private_repo"],
        Value(
            "whether a new repository is private; the default is true",
            |said, value| boolean(value).map(|private| said.inputs.push.private = Some(private)),
        ),
    ),
    row(
        ALL,
        &["hub_revision"],
        Value("the branch to push to", |said, value| {
            inputs::named(value).map(|branch| said.inputs.push.revision = branch)
        }),
    ),
    row(
        ALL,
        &["hub_token", "push_to_hub_token"],
        Value(
            "refused, because a token does not belong among settings: set HF_TOKEN. A masked token, as in a \
             dump of settings, is noted",
            read::token,
        ),
    ),
    row(
        ALL,
        &[
            "label_smoothing_factor",
            "neftune_noise_alpha",
            "noisy_embedding_alpha",
            "optim_args",
            "optim_target_modules",
        ],
        Refused("changes the loss or the update, and is not supported; leave it out"),
    ),
    row(
        OWN,
        &["adafactor"],
        Refused("the optimizer is AdamW; leave it out"),
    ),
    row(
        OWN,
        &["lr_scheduler_kwargs", "eval_delay", "eval_on_start"],
        Refused(reasons::NOT_SUPPORTED),
    ),
    row(OWN, &["past_index"], Value("must be below 0", read::past_index)),
    row(
        OWN,
        &["push_to_hub_model_id", "push_to_hub_organization"],
        Refused("set `hub_model_id`, owner/name"),
    ),
    row(
        OWN,
        &["per_gpu_train_batch_size"],
        Refused("set `per_device_train_batch_size`"),
    ),
    row(
        OWN,
        &["mp_parameters", "sharded_ddp"],
        Refused("a model is not divided among ranks in this way; leave it out, or set `zero_stage`"),
    ),
    row(
        OWN,
        &["split_batches"],
        Refused("changes the rows of a step; set `per_device_train_batch_size`"),
    ),
    row(
        ALL,
        &["accelerator_config"],
        Value(
            "noted; `split_batches` and `gradient_accumulation_kwargs` in it are refused",
            read::accelerator_config,
        ),
    ),
    row(
        ALL,
        &["data_seed"],
        Value("`seed`; must equal it", |said, value| said.set("seed", value)),
    ),
    row(
        ALL,
        &["logging_strategy"],
        Value(
            "`epoch` and `no` are noted: the log has an entry every `logging_steps` steps",
            read::logging_strategy,
        ),
    ),
    row(
        ALL,
        &[
            "logging_nan_inf_filter",
            "log_level",
            "log_level_replica",
            "log_on_each_node",
            "disable_tqdm",
            "include_num_input_tokens_seen",
            "include_tokens_per_second",
            "include_for_metrics",
            "include_inputs_for_metrics",
            "batch_eval_metrics",
            "prediction_loss_only",
            "skip_memory_metrics",
            "do_eval",
            "eval_do_concat_batches",
            "ray_scope",
            "tpu_metrics_debug",
        ],
        Note(reasons::EVERY_STEP),
    ),
    row(
        ALL,
        &[
            "project",
            "trackio_space_id",
            "trackio_bucket_id",
            "trackio_static_space_id",
        ],
        Note(reasons::OF_OTHER_TRACKER),
    ),
    row(
        ALL,
        &[
            "dataloader_num_workers",
            "dataloader_pin_memory",
            "dataloader_prefetch_factor",
            "dataloader_persistent_workers",
            "dataloader_drop_last",
            "group_by_length",
            "length_column_name",
            "remove_unused_columns",
            "label_names",
            "dataloader_multiprocessing_context",
            "dataloader_in_order",
            "sortish_sampler",
            "dispatch_batches",
            "ignore_data_skip",
        ],
        Note(reasons::ROWS_IN_MEMORY),
    ),
    row(
        ALL,
        &[
            "per_device_eval_batch_size",
            "eval_batch_size",
            "per_gpu_eval_batch_size",
            "eval_accumulation_steps",
            "eval_use_gather_object",
            "auto_find_batch_size",
            "gradient_checkpointing_kwargs",
            "activation_checkpointing_kwargs",
            "gc_steps",
            "torch_empty_cache_steps",
            "activation_offloading",
        ],
        Note("memory is bounded by `max_tokens_per_tree` and `recompute`"),
    ),
    row(
        ALL,
        &[
            "tf32",
            "jit_mode_eval",
            "torch_compile",
            "torch_compile_backend",
            "torch_compile_mode",
            "use_liger_kernel",
            "liger_kernel_config",
            "use_liger",
            "fp16_opt_level",
            "fp16_backend",
            "half_precision_backend",
            "use_ipex",
            "use_mps_device",
            "torchdynamo",
            "fp16_full_eval",
            "bf16_full_eval",
            "attn_implementation",
            "use_cache",
            "debug",
            "full_determinism",
        ],
        Note(reasons::KERNELS),
    ),
    row(
        ALL,
        &[
            "fsdp",
            "fsdp_config",
            "fsdp_version",
            "fsdp_min_num_params",
            "fsdp_transformer_layer_cls_to_wrap",
            "tpu_num_cores",
            "ddp_static_graph",
            "parallelism_config",
            "ddp_backend",
            "ddp_find_unused_parameters",
            "ddp_bucket_cap_mb",
            "ddp_broadcast_buffers",
            "local_rank",
            "average_tokens_across_devices",
        ],
        Note(reasons::RANKS),
    ),
    row(
        ALL,
        &[
            "save_safetensors",
            "save_only_model",
            "save_on_each_node",
            "overwrite_output_dir",
            "restore_callback_states_from_checkpoint",
            "enable_jit_checkpoint",
            "hub_strategy",
            "hub_always_push",
        ],
        Note("a checkpoint is a complete folder of safetensors from which a run can resume"),
    ),
];
