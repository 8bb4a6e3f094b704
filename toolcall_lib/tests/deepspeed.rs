//! DeepSpeed's configuration files.

use serde_json::{Map, Value, json};
use toolcall_lib::TrainConfig;
use toolcall_lib::optimizer::{Schedule, Warmup};

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn read(file: Value, ranks: usize) -> (TrainConfig, Vec<String>) {
    let settings = TrainConfig::default().with_file(object(file), ranks).unwrap();
    (settings.config, settings.notes)
}

fn refusal(file: Value, ranks: usize) -> String {
    let refused = TrainConfig::default().with_file(object(file), ranks);
    refused.unwrap_err().to_string()
}

/// Returns the configuration of the workflow that this project replaces.
fn usual() -> Value {
    json!({
        "train_batch_size": 16,
        "train_micro_batch_size_per_gpu": 4,
        "gradient_accumulation_steps": 2,
        "optimizer": {
            "type": "AdamW",
            "params": {"lr": 3e-5, "betas": [0.8, 0.95], "eps": 1e-7, "weight_decay": "auto"}
        },
        "scheduler": {
            "type": "WarmupLR",
            "params": {"warmup_min_lr": 0, "warmup_max_lr": 3e-5, "warmup_num_steps": 100}
        },
        "gradient_clipping": 0.5,
        "fp16": {"enabled": false},
        "bf16": {"enabled": false},
        "zero_optimization": {
            "stage": 2,
            "offload_optimizer": {"device": "none"},
            "allgather_bucket_size": 2e8,
            "overlap_comm": true
        },
        "steps_per_print": 10
    })
}

#[test]
fn a_group_that_is_null_is_absent() {
    let file = json!({"zero_optimization": null, "optimizer": null, "train_batch_size": 8});
    let (config, notes) = read(file, 1);
    assert_eq!(
        (config.zero_stage, notes),
        (TrainConfig::default().zero_stage, vec![])
    );
}

#[test]
fn every_setting_has_its_place() {
    let (config, notes) = read(usual(), 2);
    let expected = TrainConfig {
        per_device_train_batch_size: 4,
        gradient_accumulation_steps: 2,
        learning_rate: 3e-5,
        adam_beta1: 0.8,
        adam_beta2: 0.95,
        adam_epsilon: 1e-7,
        lr_scheduler_type: Schedule::ConstantWithWarmup,
        warmup_steps: 100,
        warmup_type: Warmup::Log,
        max_grad_norm: 0.5,
        bf16: false,
        zero_stage: 2,
        ..TrainConfig::default()
    };
    assert_eq!(config, expected);
    let keys = "zero_optimization.allgather_bucket_size, zero_optimization.overlap_comm, steps_per_print";
    assert_eq!(
        notes,
        [format!("these keys of DeepSpeed have no effect here: {keys}")]
    );
}

#[test]
fn batch_sizes_that_contradict_each_other_are_refused_with_the_numbers() {
    let expected = "settings: DeepSpeed configuration: train_batch_size: 16 is not 4 (train_micro_batch_size_per_gpu) · 2 \
                    (gradient_accumulation_steps) · 1 (ranks) = 8";
    assert_eq!(refusal(usual(), 1), expected);
    let odd = json!({"train_batch_size": 10, "train_micro_batch_size_per_gpu": 4});
    assert!(refusal(odd, 1).ends_with("= 8"));
}

#[test]
fn a_batch_size_that_is_missing_follows_from_the_others() {
    let sizes = |file| {
        let (config, _) = read(file, 2);
        (
            config.per_device_train_batch_size,
            config.gradient_accumulation_steps,
        )
    };
    assert_eq!(sizes(json!({"train_batch_size": 16})), (8, 1));
    assert_eq!(
        sizes(json!({"train_batch_size": 16, "gradient_accumulation_steps": 4})),
        (2, 4)
    );
    assert_eq!(
        sizes(json!({"train_batch_size": 16, "train_micro_batch_size_per_gpu": 2})),
        (2, 4)
    );
    assert_eq!(
        sizes(json!({"train_batch_size": "auto", "train_micro_batch_size_per_gpu": 3})),
        (3, 1)
    );
}

#[test]
fn schedulers_are_known_by_name() {
    let schedule = |file| {
        let (config, _) = read(json!({"scheduler": file}), 1);
        (config.lr_scheduler_type, config.warmup_type, config.max_steps)
    };
    let decay = json!({"type": "WarmupDecayLR", "params": {"warmup_type": "linear", "total_num_steps": 50}});
    assert_eq!(schedule(decay), (Schedule::Linear, Warmup::Linear, Some(50)));
    let cosine = json!({"type": "WarmupCosineLR", "params": {"total_num_steps": "auto"}});
    assert_eq!(schedule(cosine), (Schedule::Cosine, Warmup::Log, None));
}

#[test]
fn stage_3_has_the_result_of_stage_2() {
    let (config, notes) = read(json!({"zero_optimization": {"stage": 3}}), 2);
    assert_eq!(config.zero_stage, 2);
    assert!(
        notes[0].starts_with("zero_optimization.stage: 3 shards the weights, too"),
        "{notes:?}"
    );
}

#[test]
fn what_cannot_be_done_is_refused_by_name_all_at_once() {
    let file = json!({
        "optimizer": {"type": "Lamb", "params": {"lr": 1e-3}},
        "scheduler": {"type": "WarmupLR", "params": {"warmup_max_lr": 1e-4}},
        "zero_optimization": {"stage": 4, "offload_param": {"device": "nvme"}},
        "fp16": {"enabled": true},
        "wandb": {"enabled": true, "project": "calls"},
        "gradient_cliping": 1.0
    });
    let said = refusal(file, 1);
    for problem in [
        "optimizer.type: \"Lamb\" is not supported; expected one of adam, adamw",
        "optimizer.params.lr: 1e-3 is not 1e-4, scheduler.params.warmup_max_lr",
        "zero_optimization.stage: 4 is not supported; expected 0, 1, 2 or 3",
        "zero_optimization.offload_param.device: nvme is not supported",
        "fp16.enabled: is not supported; enable bf16 instead",
        "wandb.enabled: is DeepSpeed's own log; set `report_to` in a file of settings",
        "gradient_cliping: is not a known key",
    ] {
        assert!(said.contains(problem), "{problem}\nis not in\n{said}");
    }
}

#[test]
fn an_empty_group_says_nothing_and_an_empty_value_is_refused() {
    let groups = json!({"optimizer": {}, "zero_optimization": {"offload_param": {}}, "aio": {}, "bf16": {"enabled": "auto"}});
    assert_eq!(read(groups, 1).0, TrainConfig::default());
    let said = refusal(
        json!({"gradient_clipping": {}, "zero_optimization": {"stage": {}}}),
        1,
    );
    for problem in [
        "gradient_clipping: found {}, expected a number",
        "zero_optimization.stage: found {}, expected an integer",
    ] {
        assert!(said.contains(problem), "{said}");
    }
}

#[test]
fn our_own_settings_are_told_apart() {
    let own = json!({"bf16": false, "gradient_accumulation_steps": 3, "max_steps": 7});
    let (config, notes) = read(own, 4);
    assert_eq!(
        (config.bf16, config.gradient_accumulation_steps, config.max_steps),
        (false, 3, Some(7))
    );
    assert!(notes.is_empty());
}
