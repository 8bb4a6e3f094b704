//! The keys of DeepSpeed's files, by their treatment.

/// Keys that only DeepSpeed's files have.
pub(super) const ONLY_THERE: [&str; 4] = [
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_clipping",
    "zero_optimization",
];

/// Keys whose value is a group in DeepSpeed's files, and a plain one in those of others.
pub(super) const GROUPS: [&str; 4] = ["bf16", "fp16", "optimizer", "scheduler"];

/// Keys and groups that say how DeepSpeed works or what it prints, not what is computed.
const WITHOUT_MEANING: [&str; 40] = [
    "steps_per_print",
    "wall_clock_breakdown",
    "dump_state",
    "memory_breakdown",
    "zero_allow_untested_optimizer",
    "zero_force_ds_cpu_optimizer",
    "communication_data_type",
    "disable_allgather",
    "gradient_predivide_factor",
    "prescale_gradients",
    "flops_profiler",
    "comms_logger",
    "checkpoint",
    "aio",
    "amp",
    "comet",
    "csv_monitor",
    "data_efficiency",
    "tensorboard",
    "wandb",
    "optimizer.params.torch_adam",
    "optimizer.params.fused",
    "scheduler.params.last_batch_iteration",
    "fp16.auto_cast",
    "fp16.loss_scale",
    "fp16.loss_scale_window",
    "fp16.initial_scale_power",
    "fp16.hysteresis",
    "fp16.consecutive_hysteresis",
    "fp16.min_loss_scale",
    "zero_optimization.allgather_partitions",
    "zero_optimization.allgather_bucket_size",
    "zero_optimization.reduce_bucket_size",
    "zero_optimization.reduce_scatter",
    "zero_optimization.overlap_comm",
    "zero_optimization.contiguous_gradients",
    "zero_optimization.round_robin_gradients",
    "zero_optimization.sub_group_size",
    "zero_optimization.stage3_",
    "zero_optimization.ignore_unused_parameters",
];

/// Keys that have to be off, 0 or absent, because they are not supported.
const HAS_TO_BE_OFF: [&str; 11] = [
    "amp.enabled",
    "sparse_gradients",
    "optimizer.params.amsgrad",
    "scheduler.params.warmup_min_lr",
    "scheduler.params.warmup_min_ratio",
    "tensorboard.enabled",
    "wandb.enabled",
    "csv_monitor.enabled",
    "comet.enabled",
    "zero_optimization.cpu_offload",
    "data_efficiency.enabled",
];

/// Keys that set one of our settings.
const READ: [&str; 20] = [
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "gradient_accumulation_steps",
    "gradient_clipping",
    "optimizer.type",
    "optimizer.params.lr",
    "optimizer.params.betas",
    "optimizer.params.eps",
    "optimizer.params.weight_decay",
    "optimizer.params.adam_w_mode",
    "optimizer.params.bias_correction",
    "scheduler.type",
    "scheduler.params.warmup_max_lr",
    "scheduler.params.warmup_num_steps",
    "scheduler.params.warmup_type",
    "scheduler.params.total_num_steps",
    "scheduler.params.cos_min_ratio",
    "fp16.enabled",
    "bf16.enabled",
    "zero_optimization.stage",
];

/// Keys of `offload_optimizer` and `offload_param`.
const OFFLOAD: [&str; 10] = [
    "device",
    "nvme_path",
    "buffer_count",
    "buffer_size",
    "pin_memory",
    "pipeline_read",
    "pipeline_write",
    "fast_init",
    "max_in_cpu",
    "ratio",
];

/// Keys of `activation_checkpointing`.
const RECOMPUTED: [&str; 6] = [
    "partition_activations",
    "cpu_checkpointing",
    "contiguous_memory_optimization",
    "number_checkpoints",
    "synchronize_checkpoint_boundary",
    "profile",
];

/// Groups whose keys are in separate lists.
const OFFLOADED: [&str; 2] = [
    "zero_optimization.offload_optimizer",
    "zero_optimization.offload_param",
];
const CHECKPOINTED: &str = "activation_checkpointing";

/// A key of DeepSpeed, or a group of them.
pub(super) fn is_known(path: &str) -> bool {
    let (group, name) = path.rsplit_once('.').unwrap_or_default();
    is_group(path)
        || READ.contains(&path)
        || has_to_be_off(path)
        || (OFFLOADED.contains(&group) && OFFLOAD.contains(&name))
        || (group == CHECKPOINTED && RECOMPUTED.contains(&name))
}

/// Returns true for the name of a group, which may be empty. All other keys have a value.
pub(super) fn is_group(path: &str) -> bool {
    let mut all = READ.iter().chain(&HAS_TO_BE_OFF).chain(&WITHOUT_MEANING);
    let within = |known: &str| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    path == CHECKPOINTED
        || OFFLOADED.contains(&path)
        || is_without_meaning(path)
        || all.any(|known| within(known))
}

pub(super) fn has_to_be_off(path: &str) -> bool {
    HAS_TO_BE_OFF.contains(&path)
}

pub(super) fn is_without_meaning(path: &str) -> bool {
    let belongs = |key: &&str| {
        let rest = path.strip_prefix(*key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || key.ends_with('_'))
    };
    WITHOUT_MEANING.iter().any(belongs)
}
