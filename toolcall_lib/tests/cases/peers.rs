//! Settings that were written for other tools: each file of the folder `peers` becomes the
//! configuration in a table here, and runs.

use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use toolcall_lib::data_source::DataSource;
use toolcall_lib::device::Device;
use toolcall_lib::model::{LoraConfig, Recompute, TargetModule, TargetModules};
use toolcall_lib::optimizer::Schedule;
use toolcall_lib::tokens::{LossMode, Overlong};
use toolcall_lib::track::{ReportTo, WandbMode};
use toolcall_lib::train::settings::{Evaluated, Given, Input, Inputs, Push, markdown, take_flags};
use toolcall_lib::train::{Metric, Settings};
use toolcall_lib::{Dtype, PushConfig, Result, TrainConfig};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases/peers")
}

fn read(name: &str) -> Settings {
    let given = Given::read(folder().join(name)).unwrap();
    Settings::from(TrainConfig::default()).with(&given, 1).unwrap()
}

fn of(value: Value) -> Result<Settings> {
    let values: Map<String, Value> = value.as_object().unwrap().clone();
    TrainConfig::default().with_file(values, 1)
}

fn of_yaml(text: &str) -> Result<Settings> {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), text).unwrap();
    Settings::from(TrainConfig::default()).with(&Given::read(file.path())?, 1)
}

fn of_flags(arguments: &[&str]) -> Result<Settings> {
    let (rest, given) = take_flags(arguments.iter().map(Into::into), &["out", "chat-template-kwargs"])?;
    assert!(rest.is_empty(), "{rest:?}");
    Settings::from(TrainConfig::default()).with(&given, 1)
}

fn layer(settings: Settings, value: Value) -> Settings {
    let values: Map<String, Value> = value.as_object().unwrap().clone();
    settings.with(&Given::from(values), 1).unwrap()
}

/// Returns the problem of settings that can be read, but do not fit a run.
fn unsound(value: Value) -> String {
    of(value).unwrap().config.check().unwrap_err().to_string()
}

fn inputs(model: &str, data: &[&str]) -> Inputs {
    Inputs {
        model: Some(model.to_string()),
        data: data.iter().map(DataSource::file).collect(),
        ..Inputs::default()
    }
}

fn noted(settings: &Settings, name: &str) -> bool {
    let notes = [settings.notes.clone(), settings.closing_notes()].concat();
    notes.iter().any(|note| note.contains(name))
}

#[test]
fn arguments_of_trl() {
    let read = read("trl.yaml");
    let expected = TrainConfig {
        output_dir: Some("out/trl".into()),
        learning_rate: 1e-4,
        num_train_epochs: 2.0,
        max_steps: None,
        per_device_train_batch_size: 4,
        gradient_accumulation_steps: 4,
        recompute: Recompute::Block,
        max_length: Some(2048),
        overlong: Overlong::Truncate,
        loss: LossMode::Assistant,
        lr_scheduler_type: Schedule::ConstantWithWarmup,
        warmup_ratio: Some(0.03),
        weight_decay: 0.01,
        max_grad_norm: 0.3,
        bf16: true,
        eval_steps: Some(50),
        save_steps: None,
        saves_per_epoch: Some(1),
        save_total_limit: Some(2),
        load_best_model_at_end: true,
        metric_for_best_model: Metric::EvalLoss,
        lora: Some(LoraConfig {
            r: 32,
            lora_alpha: 64.0,
            lora_dropout: 0.1,
            target_modules: vec![TargetModule::QProj, TargetModule::VProj].into(),
            ..LoraConfig::default()
        }),
        report_to: Some(ReportTo::default()),
        run_name: Some("timers".into()),
        ..TrainConfig::default()
    };
    assert_eq!(read.config, expected);
    let expected = Inputs {
        dtype: Some(Dtype::Bf16),
        evaluated: Some(Evaluated::ByStrategy),
        ..inputs("models/small", &["data/timers.json"])
    };
    assert_eq!(read.inputs, expected);
    for name in ["shuffle_dataset", "dataloader_num_workers"] {
        assert!(noted(&read, name), "{name}: {:?}", read.notes);
    }
    assert!(
        !noted(&read, "report_to") && !noted(&read, "packing"),
        "{:?}",
        read.notes
    );
}

#[test]
fn a_config_of_trl_as_json() {
    let read = read("sft_config.json");
    let expected = TrainConfig {
        output_dir: Some("out/sft".into()),
        loss: LossMode::Auto,
        max_length: Some(1024),
        learning_rate: 2e-5,
        weight_decay: 0.0,
        adam_beta2: 0.95,
        num_train_epochs: 3.0,
        lr_scheduler_type: Schedule::Cosine,
        warmup_steps: 20,
        warmup_ratio: None,
        recompute: Recompute::Norms,
        eval_steps: None,
        evals_per_epoch: 1,
        save_steps: Some(500),
        seed: 7,
        bf16: false,
        ..TrainConfig::default()
    };
    assert_eq!(read.config, expected);
    assert_eq!(
        (
            read.inputs.push.wanted,
            read.inputs.push.target(Path::new("out")).unwrap()
        ),
        (Some(false), None)
    );
    for name in [
        "packing",
        "per_device_eval_batch_size",
        "dataloader_pin_memory",
        "optim",
    ] {
        assert!(noted(&read, name), "{name}: {:?}", read.notes);
    }
}

#[test]
fn flags_of_training_arguments() {
    let read = of_flags(&[
        "--model_name_or_path",
        "Qwen/Qwen3-0.6B",
        "--dataset_name=rows.json",
        "--output-dir",
        "7",
        "--learning-rate",
        "1e-4",
        "--weight_decay=0.1",
        "--max_steps",
        "-1",
        "--warmup_steps",
        "0.1",
        "--per-device-train-batch-size",
        "2",
        "--gradient_checkpointing",
        "--bf16",
        "False",
        "--no_shuffle",
        "--lr_scheduler_type",
        "COSINE",
        "--eval_strategy",
        "no",
        "--save_strategy",
        "steps",
        "--save_steps",
        "1e2",
        "--use_cpu",
        "--seed",
        "5",
        "--lora_target_modules",
        "q_proj",
        "v_proj",
        "--lora.r",
        "4",
        "--logging_steps",
        "10",
        "--report_to",
        "none",
        "--optim",
        "adamw_torch",
        "--resume_from_checkpoint",
        "false",
    ])
    .unwrap();
    let TrainConfig { lora, .. } = TrainConfig::lora();
    let expected = TrainConfig {
        output_dir: Some("7".into()),
        learning_rate: 1e-4,
        weight_decay: 0.1,
        warmup_ratio: Some(0.1),
        per_device_train_batch_size: 2,
        recompute: Recompute::Block,
        bf16: false,
        shuffle: false,
        lr_scheduler_type: Schedule::Cosine,
        save_steps: Some(100),
        device: Device::Cpu,
        seed: 5,
        lora: Some(LoraConfig {
            r: 4,
            target_modules: vec![TargetModule::QProj, TargetModule::VProj].into(),
            ..lora.unwrap()
        }),
        report_to: Some(ReportTo::default()),
        ..TrainConfig::default()
    };
    assert_eq!(read.config, expected);
    let expected = Inputs {
        evaluated: Some(Evaluated::No),
        ..inputs("Qwen/Qwen3-0.6B", &["rows.json"])
    };
    assert_eq!(read.inputs, expected);
    assert!(!noted(&read, "eval"), "no validation set: {:?}", read.notes);
    let with_one = layer(read, json!({"val_set_size": 0.1}));
    assert!(noted(&with_one, "--eval-strategy"), "{:?}", with_one.notes);
}

#[test]
fn a_file_of_axolotl() {
    let read = read("axolotl.yaml");
    let expected = TrainConfig {
        output_dir: Some("./outputs/timers".into()),
        loss: LossMode::Assistant,
        lora: Some(LoraConfig {
            r: 32,
            lora_alpha: 16.0,
            lora_dropout: 0.05,
            target_modules: TargetModules::all(),
            ..LoraConfig::default()
        }),
        max_length: Some(4096),
        gradient_accumulation_steps: 4,
        per_device_train_batch_size: 2,
        num_train_epochs: 4.0,
        lr_scheduler_type: Schedule::Cosine,
        learning_rate: 2e-4,
        bf16: true,
        recompute: Recompute::Block,
        warmup_steps: 10,
        evals_per_epoch: 4,
        saves_per_epoch: Some(1),
        weight_decay: 0.0,
        logging_steps: 1,
        ..TrainConfig::default()
    };
    assert_eq!(read.config, expected);
    let expected = Inputs {
        dtype: Some(Dtype::Q4KM),
        validation_share: Some(0.05),
        evaluated: Some(Evaluated::PerEpoch),
        ..inputs("models/small", &["data/timers.jsonl", "data/reminders.jsonl"])
    };
    assert_eq!(read.inputs, expected);
    for name in ["sample_packing", "flash_attention", "special_tokens", "optimizer"] {
        assert!(noted(&read, name), "{name}: {:?}", read.notes);
    }
    assert!(!noted(&read, "wandb_project"), "an empty line says nothing");
}

#[test]
fn a_file_of_llama_factory() {
    let read = read("llama_factory.yaml");
    let expected = TrainConfig {
        output_dir: Some("saves/small/lora".into()),
        lora: Some(LoraConfig {
            r: 8,
            lora_alpha: 16.0, // twice the rank, as there
            lora_dropout: 0.0,
            target_modules: TargetModules::all(),
            ..LoraConfig::default()
        }),
        max_length: Some(2048),
        chat_template_kwargs: json!({"enable_thinking": false}).as_object().unwrap().clone(),
        save_steps: Some(500),
        per_device_train_batch_size: 1,
        gradient_accumulation_steps: 8,
        learning_rate: 1e-4,
        num_train_epochs: 3.0,
        lr_scheduler_type: Schedule::Cosine,
        warmup_ratio: Some(0.1),
        bf16: true,
        ddp_timeout: 365 * 24 * 60 * 60,
        eval_steps: Some(500),
        report_to: Some(ReportTo::default()),
        ..TrainConfig::default()
    };
    assert_eq!(read.config, expected);
    let files = [
        "tests/cases/peers/timers.json",
        "tests/cases/peers/reminders.jsonl",
    ];
    let expected = Inputs {
        max_samples: Some(1000),
        validation_share: Some(0.1),
        evaluated: Some(Evaluated::ByStrategy),
        ..inputs("models/small", &files)
    };
    assert_eq!(read.inputs, expected);
    for name in [
        "template",
        "preprocessing_num_workers",
        "plot_loss",
        "ddp_timeout",
    ] {
        assert!(noted(&read, name), "{name}: {:?}", read.notes);
    }
}

#[test]
fn a_file_of_mlx() {
    let read = read("mlx.yaml");
    let keys = ["self_attn.q_proj", "self_attn.v_proj"].map(str::to_string);
    let expected = TrainConfig {
        adam_beta2: 0.98,
        adam_epsilon: 1e-6,
        weight_decay: 0.05,
        seed: 3,
        per_device_train_batch_size: 4,
        max_steps: Some(1000),
        learning_rate: 1e-5,
        lr_scheduler_type: Schedule::Cosine,
        warmup_steps: 100,
        eval_steps: Some(200),
        save_steps: Some(100),
        output_dir: Some("adapters".into()),
        max_length: Some(2048),
        recompute: Recompute::Block,
        loss: LossMode::Last,
        lora: Some(LoraConfig {
            r: 8,
            lora_alpha: 160.0, // scale · rank
            lora_dropout: 0.0,
            target_modules: TargetModules::Names(keys.to_vec()),
            ..LoraConfig::default()
        }),
        ..TrainConfig::default()
    };
    assert_eq!(read.config, expected);
    assert_eq!(read.inputs, inputs("models/small", &["data/timers.jsonl"]));
    assert!(noted(&read, "val_batches"));
    assert!(!noted(&read, "bias_correction"), "{:?}", read.notes);
}

#[test]
fn what_would_change_the_result_is_refused_by_name_all_at_once() {
    for (file, says) in [
        (
            json!({"lerning_rate": 1}),
            "settings: lerning_rate: is not a setting; did you mean `learning_rate`?",
        ),
        (json!({"micro_batch_sice": 1}), "did you mean `micro_batch_size`?"),
        (
            json!({"quite_another_thing": 1}),
            "quite_another_thing: is not a setting; docs/settings.md",
        ),
        (json!({"fp16": true}), "fp16: matrix products are in bf16 or f32"),
        (
            json!({"optim": "adafactor"}),
            "optim: `adafactor` is not supported; expected `adamw`",
        ),
        (
            json!({"lr_scheduler_type": "polynomial"}),
            "lr_scheduler_type: found \"polynomial\", expected one of linear",
        ),
        (
            json!({"learning_rate": "fast"}),
            "learning_rate: found \"fast\", expected a number",
        ),
        (
            json!({"fine_tune_type": "dora"}),
            "fine_tune_type: found \"dora\", expected lora or full",
        ),
        (
            json!({"num_layers": 0}),
            "num_layers: found 0, expected a number of layers",
        ),
        (
            json!({"num_layers": 16, "fine_tune_type": "full"}),
            "num_layers: without an adapter all layers are trained; expected -1",
        ),
        (json!({"stage": "dpo"}), "stage: found \"dpo\", expected sft"),
        (json!({"rl": "dpo"}), "rl: only supervised fine-tuning"),
        (
            json!({"neftune_noise_alpha": 5}),
            "neftune_noise_alpha: changes the loss",
        ),
        (
            json!({"save_strategy": "best"}),
            "save_strategy: `best` is not supported",
        ),
        (
            json!({"greater_is_better": true}),
            "greater_is_better: true does not fit `eval_loss`",
        ),
        (
            json!({"cutoff_len": 512, "max_length": 1024}),
            "`cutoff_len` sets it to 512; leave one of them out",
        ),
        (
            json!({"datasets": [{"path": "a.json", "type": "jeopardy"}]}),
            "datasets: [0]: type: found \"jeopardy\", expected chat_template",
        ),
        (
            json!({"datasets": [{"path": "a.json", "train_on_eos": "all"}]}),
            "datasets: [0]: train_on_eos: found \"all\", expected turn",
        ),
        (
            json!({"datasets": [{"path": "me/tools", "data_files": "train.jsonl"}]}),
            "datasets: [0]: data_files: files of me/tools on the hub are chosen by `split`",
        ),
        (
            json!({"lora_target_modules": ["c_attn"], "lora_target_linear": true}),
            "`c_attn` is not known",
        ),
        (
            json!({"peft_init_lora_weights": "gaussian"}),
            "peft_init_lora_weights: found \"gaussian\", expected true",
        ),
        (
            json!({"lora": {"r": 8, "modules_to_save": ["embed_tokens"]}}),
            "lora: modules_to_save: an adapter is plain LoRA",
        ),
        (
            json!({"env": {"HF_HOME": "/data"}}),
            "env: HF_HOME: set it in the environment of the command",
        ),
        (
            json!({"use_mlflow": true}),
            "use_mlflow: a run is sent to TensorBoard and Weights & Biases only",
        ),
        (json!({"use_swanlab": true}), "use_swanlab: a run is sent to"),
        (
            json!({"processor_type": "AutoProcessor"}),
            "processor_type: only text models are trained",
        ),
        (
            json!({"dataset": "alpaca_en_demo", "eval_dataset": "nobody"}),
            "dataset: `alpaca_en_demo` is not a file",
        ),
        (
            json!({"datasets": [{"type": "chat_template"}]}),
            "datasets: [0]: has no `path`",
        ),
        (
            json!({"lora_parameters": {"rank": 8, "scal": 2}}),
            "lora_parameters: scal: is not known",
        ),
        (
            json!({"adapter": "lora", "lora_target_modules": ["c_attn"]}),
            "`c_attn` is not known",
        ),
        (
            json!({"lora": {"rank": 8}}),
            "lora: unknown field `rank`; expected some of r, lora_alpha",
        ),
        (json!({"deepspeed": "nowhere.json"}), "deepspeed: nowhere.json: "),
        (
            json!({"deepspeed": "tests/cases/peers/sft_config.json"}),
            "sft_config.json is not a configuration of DeepSpeed",
        ),
        (
            json!({"iters": 1000, "grad_accumulation_steps": 3}),
            "iters: 1000 batches, as mlx-lm counts them, are not a full number of steps",
        ),
        (
            json!({"eval_steps": 10, "eval_ratio": 0.1}),
            "eval_ratio: is given besides `eval_steps`",
        ),
        (
            json!({"plugins": [
                "axolotl.integrations.liger.LigerPlugin",
                "axolotl.integrations.kd.KDPlugin",
            ]}),
            "plugins: `axolotl.integrations.kd.KDPlugin` is not supported",
        ),
        (
            json!({"model_init_kwargs": {"rope_scaling": {"factor": 2}}}),
            "model_init_kwargs: rope_scaling: is not read",
        ),
        (
            json!({"model_revision": "v2"}),
            "model_revision: `v2` is that of a model that is not named",
        ),
        (
            json!({"model_revision": "v2", "model_init_kwargs": {"revision": "v1"}, "model_name_or_path": "me/small"}),
            "is not the revision `v2` that another setting names",
        ),
        (
            json!({"model_revision": "v2", "model_name_or_path": "me/small@v1"}),
            "model_revision: `v2` is not that of me/small@v1",
        ),
        (
            json!({"datasets": [{"path": "a.json", "roles_to_train": []}]}),
            "datasets: [0]: roles_to_train: found [], expected [\"assistant\"]",
        ),
        (
            json!({"dataset_train_split": "train[all]"}),
            "dataset_train_split: `train[all]` cannot be read; expected a split such as train, train[:20%]",
        ),
        (
            json!({"datasets": [{"path": "a.json", "split": "train+test"}]}),
            "datasets: [0]: split: the splits `train+test` cannot be combined",
        ),
        (
            json!({"hf_dataset": {"path": "me/x", "prompt_feature": "question"}}),
            "hf_dataset: [0]: prompt_feature: found \"question\", expected prompt",
        ),
        (
            json!({"hf_dataset": {"train_split": "train"}}),
            "hf_dataset: [0]: has no `path`",
        ),
        (json!({"past_index": 2}), "past_index: found 2, expected -1"),
        (
            json!({"split_batches": true}),
            "split_batches: changes the rows of a step",
        ),
        (
            json!({"accelerator_config": {"split_batches": true, "even_batches": true}}),
            "accelerator_config: `split_batches` changes the rows of a step",
        ),
        (
            json!({"model_init_kwargs": {"token": "hf_x"}}),
            "model_init_kwargs: token: a token does not belong among settings",
        ),
        (
            json!({"mp_parameters": "x"}),
            "mp_parameters: a model is not divided",
        ),
        (
            json!({"wandb_mode": "sometimes"}),
            "wandb_mode: found \"sometimes\", expected one of online",
        ),
        (
            json!({"dataset": "pairs", "dataset_dir": "tests/cases/peers"}),
            "dataset: `pairs` has `ranking` in tests/cases/peers/dataset_info.json, which is not read",
        ),
        (
            json!({"dataset": "alpaca_en_demo"}),
            "dataset: `alpaca_en_demo` is not a file, and data/dataset_info.json",
        ),
        (
            json!({"lr_schedule": {"name": "cosine_decay", "arguments": [1e-4, 50, 1e-5]}}),
            "lr_schedule: the learning rate rises",
        ),
        (
            json!({"lr_schedule": {"name": "cosine_decay", "arguments": [1e-4, 50]}, "iters": 70}),
            "falls over 50 steps, and the run has 70",
        ),
        (
            json!({"lr_schedule": {"name": "cosine_decay", "arguments": [1e-4, 50.5]}}),
            "lr_schedule: found 50.5, expected an integer",
        ),
        (
            json!({"lr_schedule": {"name": "cosine_decay", "arguments": [1e-4, u64::MAX], "warmup": 1}}),
            "lr_schedule: too many steps",
        ),
    ] {
        let error = of(file).unwrap_err().to_string();
        assert!(error.contains(says), "{error}\nis not\n{says}");
    }
    let error = of_yaml("learning_rate: 1e-4\nrl: grpo\n\nseeed: 3\n")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 2: rl: only") && error.contains("; line 4: seeed: is not a setting"),
        "{error}"
    );
    let error = of_flags(&["--lerning-rate", "1"]).unwrap_err().to_string();
    assert_eq!(
        error,
        "command line: --lerning-rate: is not a setting; did you mean `--learning-rate`?"
    );
    let error = of_flags(&["--learning-rate"]).unwrap_err().to_string();
    assert_eq!(
        error,
        "command line: --learning-rate: found true, expected a number"
    );
    let error = of_flags(&["--seed", "1", "--seed", "2"]).unwrap_err().to_string();
    assert_eq!(error, "--seed: is given twice; expected one value");
}

#[test]
fn words_of_yaml_1_1_mean_what_the_setting_has() {
    let text =
        "eval_strategy: no\nshuffle: no\nbf16: on\nlearning_rate: 2e-4\nadam_epsilon: '1e-7'\nmax_steps: ~\n";
    let config = of_yaml(text).unwrap().config;
    assert_eq!((config.shuffle, config.bf16), (false, true));
    assert_eq!((config.learning_rate, config.adam_epsilon), (2e-4, 1e-7));
    let error = of_yaml("learning_rate: [1\nseed: 2\n").unwrap_err().to_string();
    assert!(
        error.contains(".yaml: line ") && error.contains("not valid YAML: "),
        "{error}"
    );
}

#[test]
fn data_sets_of_the_hub_and_their_splits() {
    let hub = DataSource::named("me/tools").unwrap();
    let trl = of(json!({
        "dataset_name": "me/tools", "dataset_config": "small",
        "dataset_train_split": "train[:20%]", "dataset_test_split": "test",
    }));
    let inputs = trl.unwrap().inputs;
    assert_eq!(inputs.data, std::slice::from_ref(&hub));
    let said = [
        &inputs.dataset_config,
        &inputs.dataset_split,
        &inputs.dataset_test_split,
    ];
    assert_eq!(
        said.map(|text| text.as_deref().unwrap()),
        ["small", "train[:20%]", "test"]
    );

    let axolotl = of(json!({
        "datasets": [
            {"path": "me/tools", "name": "small", "split": "train", "type": "chat_template"},
            {"path": "x.csv", "ds_type": "csv"},
        ],
        "test_datasets": [{"path": "me/tools", "revision": "v2", "split": "validation"}],
    }));
    let inputs = axolotl.unwrap().inputs;
    let named = |config: Option<&str>, split: &str, source: DataSource| DataSource {
        config: config.map(String::from),
        split: Some(split.to_string()),
        ..source
    };
    assert_eq!(
        inputs.data,
        [named(Some("small"), "train", hub), DataSource::file("x.csv")]
    );
    let at = DataSource::named("me/tools@v2").unwrap();
    assert_eq!(inputs.validation, [named(None, "validation", at)]);

    let revised = of(json!({"datasets": [{"path": "json", "data_files": "x.json", "revision": "v2"}]}));
    assert!(
        revised
            .unwrap_err()
            .to_string()
            .contains("[0]: revision: files have none")
    );
}

#[test]
fn an_iteration_of_mlx_is_a_batch() {
    let read = of(json!({
        "iters": 1000, "grad_accumulation_steps": 4, "steps_per_eval": 200, "save_every": 100,
        "steps_per_report": 10, "num_layers": 16, "optimizer": "adam",
    }));
    let read = read.unwrap();
    let TrainConfig {
        max_steps,
        eval_steps,
        save_steps,
        logging_steps,
        ..
    } = read.config;
    assert_eq!(
        (max_steps, eval_steps, save_steps),
        (Some(250), Some(50), Some(25))
    );
    assert_eq!(
        (logging_steps, read.config.lora.clone().unwrap().last_layers),
        (3, Some(16))
    );
    let told = read
        .notes
        .iter()
        .filter(|note| note.contains("does not correct its moments"));
    assert_eq!(told.count(), 1, "{:?}", read.notes);
    assert!(noted(&read, "iters: 1000 batches"), "{:?}", read.notes);
    let all = of(json!({"num_layers": -1, "fine_tune_type": "full"})).unwrap();
    assert_eq!(all.config.lora, None);
}

#[test]
fn data_sets_of_mlx_are_on_the_hub_where_nothing_is_here() {
    let part = |name: &str, split: &str| DataSource {
        split: Some(split.to_string()),
        ..DataSource::named(name).unwrap()
    };
    let inputs = of(json!({"data": "me/tools"})).unwrap().inputs;
    assert_eq!(inputs.data, [DataSource::named("me/tools").unwrap()]);
    assert_eq!(inputs.validation, [part("me/tools", "valid")]);

    let hf = json!({"hf_dataset": [
        {"path": "me/tools"},
        {"path": "me/more", "train_split": "train[:1000]", "valid_split": "test", "config": {"name": "small"},
            "prompt_feature": "prompt", "chat_feature": "messages"},
    ]});
    let inputs = of(hf).unwrap().inputs;
    let small = |split| DataSource {
        config: Some("small".into()),
        ..part("me/more", split)
    };
    assert_eq!(
        inputs.data,
        [part("me/tools", "train[:80%]"), small("train[:1000]")]
    );
    assert_eq!(
        inputs.validation,
        [part("me/tools", "train[-10%:]"), small("test")]
    );
}

#[test]
fn names_of_llama_factory_may_be_on_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let names = json!({
        "ours": {"hf_hub_url": "me/tools", "subset": "small", "split": "test", "ranking": false},
        "some": {"file_name": "rows.json", "num_samples": 5, "formatting": "sharegpt"},
    });
    std::fs::write(folder.path().join("dataset_info.json"), names.to_string()).unwrap();
    let read = of(json!({"dataset": "ours,some", "dataset_dir": folder.path()})).unwrap();
    let ours = DataSource {
        config: Some("small".into()),
        split: Some("test".into()),
        ..DataSource::named("me/tools").unwrap()
    };
    let some = DataSource {
        split: Some("train[:5]".into()),
        ..DataSource::file(folder.path().join("rows.json"))
    };
    assert_eq!(read.inputs.data, [ours, some]);
    assert!(noted(&read, "num_samples: the first 5 rows"), "{:?}", read.notes);
}

#[test]
fn a_split_that_is_measured_is_left_out_where_nothing_is_evaluated() {
    let test = |eval: &str| {
        let settings =
            json!({"dataset_name": "me/tools", "dataset_test_split": "test", "eval_strategy": eval});
        of(settings).unwrap().inputs.test_split().cloned()
    };
    assert_eq!((test("no"), test("epoch").as_deref()), (None, Some("test")));
    let before = of(json!({"dataset_test_split": "test"})).unwrap();
    let later = layer(before, json!({"eval_strategy": "no"}));
    assert_eq!(later.inputs.test_split(), None);
    let last = layer(later, json!({"eval_strategy": "epoch"}));
    assert_eq!(last.inputs.test_split().map(String::as_str), Some("test"));
}

#[test]
fn weights_and_biases_gets_what_a_file_says_of_it() {
    let track = |value: Value| of(value).unwrap().config;
    let wandb = serde_json::from_value::<ReportTo>(json!("wandb")).unwrap();
    let axolotl = track(json!({
        "wandb_project": "timers", "wandb_entity": "me", "wandb_name": "first", "wandb_mode": "offline",
        "wandb_run_id": "", "use_tensorboard": false,
    }));
    assert_eq!(axolotl.report_to, Some(wandb.clone()));
    assert_eq!(axolotl.wandb_project.as_deref(), Some("timers"));
    assert_eq!(
        (axolotl.wandb_entity.as_deref(), axolotl.wandb_run_id),
        (Some("me"), None)
    );
    assert_eq!(
        (axolotl.run_name.as_deref(), axolotl.wandb_mode),
        (Some("first"), Some(WandbMode::Offline))
    );
    let both = track(json!({"use_wandb": true, "use_tensorboard": true})).report_to;
    assert_eq!(
        both,
        serde_json::from_value(json!(["wandb", "tensorboard"])).unwrap()
    );
    assert_eq!(
        track(json!({"use_wandb": false})).report_to,
        Some(ReportTo::default())
    );
    let mlx = track(json!({"wandb": "timers"}));
    assert_eq!(
        (mlx.report_to, mlx.wandb_project.as_deref()),
        (Some(wandb), Some("timers"))
    );
    let named = track(json!({"project_name": "timers"}));
    assert_eq!(
        (named.report_to, named.wandb_project.as_deref()),
        (None, Some("timers"))
    );
    let off = of(json!({"report_to": "none", "wandb_project": "timers"})).unwrap();
    assert_eq!(off.config.report_to, Some(ReportTo::default()));
    assert!(noted(&off, "`report_to` overrides"), "{:?}", off.notes);
    let error = unsound(json!({"wandb_run_id": "../x"}));
    assert!(error.contains("wandb_run_id: `../x` is not an id"), "{error}");
}

#[test]
fn settings_of_an_adapter_do_not_ask_for_one_in_trl_and_axolotl() {
    let alone =
        of(json!({"adapter": null, "lora_r": 64, "lora_alpha": 8, "lora_target_linear": true})).unwrap();
    assert_eq!(alone.config.lora, None);
    assert!(
        noted(
            &alone,
            "no adapter is trained by lora_r, lora_alpha, lora_target_linear alone; `use_peft: true`"
        ),
        "{:?}",
        alone.notes
    );
    // A later layer may ask for it, as flags do.
    let asked = layer(alone.clone(), json!({"use_peft": true}))
        .config
        .lora
        .unwrap();
    assert_eq!((asked.r, asked.lora_alpha), (64, 8.0));
    let refused = layer(alone, json!({"use_peft": false})).config.lora;
    assert_eq!(refused, None);
    // The recipe may have an adapter already.
    let recipe = layer(TrainConfig::lora().into(), json!({"lora_r": 64, "adapter": null}));
    assert_eq!(recipe.config.lora.unwrap().r, 64);
    assert!(recipe.notes.is_empty(), "{:?}", recipe.notes);
    for asks in [
        json!({"lora_rank": 64}),
        json!({"lora_parameters": {"rank": 64}}),
        json!({"lora": {"r": 64}}),
        json!({"r": 64, "target_modules": ["q_proj"]}),
    ] {
        assert_eq!(of(asks.clone()).unwrap().config.lora.unwrap().r, 64, "{asks}");
    }
}

#[test]
fn all_linear_layers_are_the_union_with_those_that_are_named() {
    let read = of(json!({"adapter": "lora", "lora_target_modules": ["q_proj"], "lora_target_linear": true}));
    assert_eq!(
        read.unwrap().config.lora.unwrap().target_modules,
        TargetModules::all()
    );
}

#[test]
fn what_is_trained_is_what_trl_trains_where_it_says_nothing() {
    let loss = |value: Value| of(value).unwrap().config.loss;
    let (none, yes, no) = (Value::Null, json!(true), json!(false));
    for (assistant, completion, expected) in [
        (&no, &none, LossMode::Auto),
        (&no, &no, LossMode::All),
        (&none, &no, LossMode::All),
        (&no, &yes, LossMode::Completion),
        (&yes, &none, LossMode::Assistant),
        (&none, &none, LossMode::Assistant),
    ] {
        let said = json!({"assistant_only_loss": assistant, "completion_only_loss": completion});
        assert_eq!(loss(said), expected, "{assistant} {completion}");
    }
    assert_eq!(TrainConfig::trl().loss, LossMode::Auto);
}

#[test]
fn data_that_the_command_line_names_takes_the_place_of_a_files() {
    let file = json!({
        "dataset": "alpaca_en_demo", "dataset_name": "me/tools", "dataset_config": "small",
        "dataset_test_split": "test", "eval_dataset": "tests/cases/peers/trl.yaml", "val_size": 0.1,
    });
    let read = |named: &[Input]| {
        let given = Given::from(file.as_object().unwrap().clone());
        Settings::from(TrainConfig::default())
            .without(named)
            .with(&given, 1)
    };
    assert!(read(&[]).is_err());
    let settings = read(&[Input::Data, Input::Part]).unwrap();
    let inputs = &settings.inputs;
    assert!(inputs.data.is_empty() && inputs.dataset_config.is_none());
    assert_eq!(inputs.dataset_test_split, None);
    assert_eq!((inputs.validation.len(), inputs.validation_share), (1, Some(0.1)));
    for name in ["dataset", "dataset_name", "dataset_test_split"] {
        assert!(noted(&settings, name), "{name}: {:?}", settings.notes);
    }
    let by_name = read(&[Input::Data, Input::Validation]).unwrap().inputs;
    assert_eq!(by_name.dataset_config.as_deref(), Some("small"), "as in TRL");
    assert!(by_name.validation.is_empty());
    // A flag may name a part of that data, and not other data.
    let flag = |named: Input, flag: &str| {
        let (_, given) = take_flags([flag.into(), "valid".into()], &["out"]).unwrap();
        let settings = Settings::from(TrainConfig::default()).without(&[named]);
        settings.with(&given, 1)
    };
    let part = flag(Input::Part, "--dataset-test-split").unwrap().inputs;
    assert_eq!(part.dataset_test_split.as_deref(), Some("valid"));
    for (named, name) in [(Input::Data, "--dataset"), (Input::Validation, "--eval-dataset")] {
        let refused = flag(named, name).unwrap_err().to_string();
        let problem = format!("{name}: the command line names other data; leave one of them out");
        assert!(refused.contains(&problem), "{refused}");
    }
    // A later file's data takes the place of a validation set that came with the data, too.
    let first = of(json!({"data": "me/tools"})).unwrap();
    assert_eq!(first.inputs.validation.len(), 1);
    let second = layer(first, json!({"dataset_name": "rows.json"}));
    assert!(second.inputs.validation.is_empty());
    let own = of(json!({"data": "rows.json", "validation": "held.json"})).unwrap();
    let second = layer(own, json!({"dataset_name": "rows.json"}));
    assert_eq!(second.inputs.validation, [DataSource::file("held.json")]);
}

#[test]
fn names_that_nobody_knows_are_noted_where_their_value_is_empty() {
    let read = of(json!({
        "push_dataset_to_hub": null, "gptq_groupsize": "", "hub_tags": [],
        "lora": {"r": 8, "some_pattern": {}},
    }));
    let read = read.unwrap();
    for name in ["push_dataset_to_hub", "gptq_groupsize", "hub_tags"] {
        assert!(noted(&read, name), "{name}: {:?}", read.notes);
    }
    for typo in [json!({"shufle": false}), json!({"lerning_rate": 0})] {
        assert!(of(typo.clone()).is_err(), "{typo}");
    }
}

#[test]
fn names_of_the_launcher_and_of_the_environment_are_read() {
    let read = of(json!({
        "env": {"WANDB_PROJECT": "timers", "OMP_NUM_THREADS": "4"}, "num_processes": 4,
        "accelerate_config": "zero3", "test_split_size": 0.2,
        "datasets": [{"path": "x.json", "columns": ["messages", "tools"], "message_field_training": "train"}],
        "peft_init_lora_weights": true,
    }));
    let read = read.unwrap();
    assert_eq!(read.config.wandb_project.as_deref(), Some("timers"));
    assert_eq!(
        read.config.report_to, None,
        "the project alone switches nothing on"
    );
    assert_eq!(read.inputs.validation_share, Some(0.2));
    let columns = ["messages", "tools"].map(str::to_string).to_vec();
    assert_eq!(read.inputs.data[0].columns, Some(columns));
    for name in ["OMP_NUM_THREADS", "num_processes", "accelerate_config"] {
        assert!(noted(&read, name), "{name}: {:?}", read.notes);
    }
}

#[test]
fn only_the_columns_that_are_named_are_read() {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    let messages = json!([{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]);
    let row = json!([{"messages": messages, "system": "Be short.", "chosen": "x"}]);
    std::fs::write(file.path(), row.to_string()).unwrap();
    let source = DataSource {
        columns: Some(vec!["messages".to_string()]),
        ..DataSource::file(file.path())
    };
    assert_eq!(source.load().unwrap().rows[0].messages.len(), 2);
}

#[test]
fn an_alpaca_data_set_of_axolotl_is_read_and_its_prompt_is_noted() {
    let read = of(json!({"datasets": [{"path": "a.json", "type": "alpaca"}]})).unwrap();
    assert_eq!(read.inputs.data, [DataSource::file("a.json")]);
    assert!(noted(&read, "### Instruction:"), "{:?}", read.notes);
}

#[test]
fn the_config_of_an_adapter_is_a_file_of_settings() {
    let peft = json!({
        "alpha_pattern": {}, "auto_mapping": null, "base_model_name_or_path": "models/small", "bias": "none",
        "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true, "layer_replication": null,
        "layers_to_transform": null, "loftq_config": {}, "lora_alpha": 16, "lora_dropout": 0.1,
        "megatron_core": "megatron.core", "modules_to_save": null, "peft_type": "LORA", "r": 8, "rank_pattern": {},
        "revision": null, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", "use_dora": false,
        "use_rslora": false,
    });
    let expected = LoraConfig {
        r: 8,
        lora_alpha: 16.0,
        lora_dropout: 0.1,
        target_modules: vec![TargetModule::QProj, TargetModule::VProj].into(),
        ..LoraConfig::default()
    };
    let read = of(peft.clone()).unwrap();
    assert_eq!(read.config.lora, Some(expected.clone()));
    assert_eq!(read.inputs.model.as_deref(), Some("models/small"));
    let group = of(json!({"lora": peft})).unwrap();
    assert_eq!(group.config.lora, Some(expected));
    let unsloth = of(json!({
        "r": 8, "bias": "none", "use_gradient_checkpointing": "unsloth", "random_state": 3407, "model_name": "a",
    }));
    let unsloth = unsloth.unwrap();
    assert_eq!(unsloth.config.recompute, Recompute::Block);
    assert!(noted(&unsloth, "random_state"), "{:?}", unsloth.notes);
}

#[test]
fn names_that_only_tune_the_other_engine_are_noted() {
    let read = of(json!({
        "context_parallel_size": 2, "dp_shard_size": 2, "gpu_memory_limit": 20, "tiled_mlp": true,
        "tokenizer_use_mistral_common": true, "mlflow_run_name": "x", "swanlab_mode": "local",
        "trackio_space_id": "trackio", "use_v1_kernels": true, "clear_cache_threshold": 1,
        "train_sampling_strategy": "group_by_length", "logging_strategy": "epoch",
    }));
    let read = read.unwrap();
    for name in [
        "context_parallel_size, dp_shard_size",
        "gpu_memory_limit",
        "mlflow_run_name, swanlab_mode, trackio_space_id (belongs to a tracker",
        "clear_cache_threshold",
        "train_sampling_strategy",
        "logging_strategy: the log still has an entry every `logging_steps` steps",
    ] {
        assert!(noted(&read, name), "{name}: {:?}", read.notes);
    }
    assert_eq!(read.config, TrainConfig::default());
    let metric = of(json!({"metric_for_best_model": "mean_token_accuracy", "greater_is_better": true}));
    let metric = metric.unwrap().config.metric_for_best_model;
    assert_eq!(metric, Metric::EvalMeanTokenAccuracy);
}

#[test]
fn plugins_of_kernels_are_noted() {
    let plugins = [
        "axolotl.integrations.liger.LigerPlugin",
        "axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin",
    ];
    let read = of(json!({"plugins": plugins, "liger_rms_norm": true, "cut_cross_entropy": true})).unwrap();
    for name in ["plugins", "liger_rms_norm", "cut_cross_entropy"] {
        assert!(noted(&read, name), "{name}: {:?}", read.notes);
    }
}

#[test]
fn dumps_of_all_training_arguments_are_read() {
    let read = read("training_arguments.json");
    assert_eq!(read.config.warmup_ratio, Some(0.1));
    assert_eq!(
        (read.config.save_steps, read.config.logging_steps),
        (Some(500), 500)
    );
    assert_eq!(
        (read.inputs.eos_token.as_deref(), read.inputs.push.wanted),
        (None, Some(false))
    );
    for name in [
        "half_precision_backend",
        "ray_scope",
        "hub_token",
        "eos_token",
        "do_train",
    ] {
        assert!(noted(&read, name), "{name}: {:?}", read.notes);
    }
}

#[test]
fn a_share_of_all_steps_is_resolved_when_they_are_known() {
    let read =
        of(json!({"eval_steps": 0.1, "save_steps": "0.25", "logging_steps": 0.05, "eval_strategy": "steps"}));
    let config = read.unwrap().config;
    assert_eq!((config.eval_ratio, config.save_ratio), (Some(0.1), Some(0.25)));
    assert_eq!((config.eval_steps, config.save_steps), (None, None));
    assert_eq!((config.log_every(101), config.log_every(3)), (6, 1));
    let later = layer(config.into(), json!({"eval_steps": 20})).config;
    assert_eq!((later.eval_steps, later.eval_ratio), (Some(20), None));
    let error = unsound(json!({"eval_ratio": 1.5}));
    assert!(
        error.starts_with("eval_ratio: 1.5 is out of range; expected a number above 0 and at most 1"),
        "{error}"
    );
}

#[test]
fn steps_without_a_number_are_those_of_transformers() {
    let times = |value: Value| {
        let read = of(value).unwrap();
        (read.config.eval_steps, read.config.save_steps, read.notes.len())
    };
    let both = json!({"eval_strategy": "steps", "save_strategy": "steps"});
    assert_eq!(times(both), (Some(500), Some(500), 2));
    let logged = json!({"eval_strategy": "steps", "logging_steps": 20, "eval_steps": null});
    assert_eq!(times(logged), (Some(20), None, 1));
    let before = of(json!({"logging_steps": 0.1})).unwrap();
    let later = layer(before, json!({"eval_strategy": "steps"})).config;
    assert_eq!((later.eval_steps, later.eval_ratio), (None, Some(0.1)));
}

#[test]
fn a_run_may_go_on_from_its_latest_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let from = |value: Value| of(value).unwrap().config.resume_from_checkpoint;
    let latest = json!({"resume_from_checkpoint": true, "output_dir": folder.path()});
    assert_eq!(from(latest), Some(folder.path().into()));
    let if_any = json!({"auto_resume_from_checkpoints": true, "output_dir": folder.path()});
    assert_eq!(from(if_any), None, "there is none");
    let named =
        json!({"auto_resume_from_checkpoints": true, "resume_from_checkpoint": "x", "output_dir": "y"});
    assert_eq!(from(named), Some("x".into()));
    let mut moved = of(json!({"resume_from_checkpoint": true})).unwrap();
    assert_eq!(moved.config.resume_from_checkpoint, None);
    moved.config.output_dir = Some("elsewhere".into());
    let moved = moved.with_latest_checkpoint().config;
    assert_eq!(moved.resume_from_checkpoint, Some("elsewhere".into()));
}

/// The layer that speaks last decides which checkpoint a run goes on from. A requeued job of Slurm
/// goes on from its latest one, and from the one that its settings name before it has any.
#[test]
fn later_settings_choose_another_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let auto = |on: bool| json!({"auto_resume_from_checkpoints": on});
    let resume = |from: Value| json!({"resume_from_checkpoint": from});
    let (named, latest) = (Some("x".into()), Some(folder.into()));
    for (first, then, without, with) in [
        (auto(true), auto(true), None, latest.clone()),
        (auto(true), auto(false), None, None),
        (resume("x".into()), auto(true), named.clone(), latest.clone()),
        (resume("x".into()), auto(false), named.clone(), named.clone()),
        (resume(false.into()), auto(true), None, latest.clone()),
        (resume(true.into()), auto(false), latest.clone(), latest.clone()),
        (resume(true.into()), resume(Value::Null), None, None),
        (auto(true), resume("x".into()), named.clone(), named.clone()),
    ] {
        for has_checkpoint in [false, true] {
            let checkpoint = folder.join("checkpoint-4");
            let _ = std::fs::remove_dir_all(&checkpoint);
            if has_checkpoint {
                let files = json!({"files": {"trainer_state.json": {"bytes": 0, "sha256": ""}}});
                std::fs::create_dir(&checkpoint).unwrap();
                std::fs::write(checkpoint.join("toolcall.json"), files.to_string()).unwrap();
            }
            let settings = layer(of(json!({"output_dir": folder})).unwrap(), first.clone());
            let found = layer(settings, then.clone()).config.resume_from_checkpoint;
            let want = if has_checkpoint { &with } else { &without };
            assert_eq!(&found, want, "{first}, then {then}, {has_checkpoint}");
        }
    }
    let config = TrainConfig {
        resume_from_checkpoint: Some("x".into()),
        ..TrainConfig::default()
    };
    let settings = Settings::from(config);
    assert_eq!(layer(settings, auto(false)).config.resume_from_checkpoint, named);
}

#[test]
fn the_file_of_deepspeed_is_the_layer_below() {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    let deepspeed = json!({
        "zero_optimization": {"stage": 1}, "gradient_clipping": 0.5, "gradient_accumulation_steps": 2,
    });
    std::fs::write(file.path(), deepspeed.to_string()).unwrap();
    for given in [json!(file.path()), deepspeed] {
        let config = of(json!({"max_grad_norm": 0.7, "deepspeed": given}))
            .unwrap()
            .config;
        assert_eq!((config.zero_stage, config.gradient_accumulation_steps), (1, 2));
        assert_eq!(config.max_grad_norm, 0.7);
    }
    assert!(of(json!({"deepspeed": null, "seed": 1})).is_ok());
}

#[test]
fn tokens_and_revisions_are_those_of_the_model() {
    let mut model = crate::common::tiny_model::tiny_model();
    let own = json!({"bos_token": {"content": "<s>"}})
        .as_object()
        .unwrap()
        .clone();
    model.tokenizer = model.tokenizer.with_config(own);
    let end = model.tokenizer.eos_tokens()[0].clone();
    let said = |value: Value| of(value).unwrap().inputs;
    for same in [
        json!({"eos_token": end}),
        json!({"special_tokens": {"eos_token": end, "bos_token": "<s>", "pad_token": "<pad>"}}),
        json!({"eot_tokens": [end]}),
        json!({}),
    ] {
        said(same).check_model(&model).unwrap();
    }
    for (others, says) in [
        (
            json!({"eos_token": "<other>"}),
            "eos_token: is `<other>`, and the model's replies end with",
        ),
        (
            json!({"eot_tokens": [end, "<turn>"]}),
            "eot_tokens: is `<turn>`, and the model's replies end with",
        ),
        (
            json!({"special_tokens": {"bos_token": "<bos>"}}),
            "bos_token: is `<bos>`, and the model has `<s>`",
        ),
        (
            json!({"special_tokens": {"unk_token": "<unk>"}}),
            "unk_token: is `<unk>`, and the model has none",
        ),
    ] {
        let other = said(others).check_model(&model).unwrap_err().to_string();
        assert!(other.starts_with(says), "{other}");
    }
    let revised = json!({"model_name_or_path": "me/small", "model_revision": "v2"});
    assert_eq!(said(revised).model.as_deref(), Some("me/small@v2"));
    let within = json!({
        "model_name_or_path": "me/small", "model_init_kwargs": {"revision": "v2", "use_cache": false},
    });
    assert_eq!(said(within).model.as_deref(), Some("me/small@v2"));
    let main = json!({"model_name_or_path": "me/small", "model_revision": "main"});
    assert_eq!(said(main).model.as_deref(), Some("me/small"));
    assert_eq!(
        said(json!({"dataset_exact_deduplication": true})).dedup,
        Some(true)
    );
    let packed =
        of(json!({"packing": true, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}));
    assert!(noted(&packed.unwrap(), "a step has 8 (4 · 2)"));
}

#[test]
fn a_file_without_splits_is_train_and_may_be_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.json");
    crate::train::timers(10).save(&path).unwrap();
    let load = |split: &str| {
        let source = DataSource {
            split: Some(split.to_string()),
            ..DataSource::file(&path)
        };
        source.load()
    };
    let all = load("train").unwrap().rows;
    assert_eq!(all.len(), 10);
    assert_eq!(load("train[:20%]").unwrap().rows, all[..2]);
    assert_eq!(load("train[-3:]").unwrap().rows, all[7..]);
    let error = load("test").unwrap_err().to_string();
    assert!(error.contains("there is no split `test`"), "{error}");
    let error = load("train[5]").unwrap_err().to_string();
    assert!(error.contains("rows.json: `train[5]` cannot be read"), "{error}");
    let named = DataSource::of_path("hub:me/tools:small:train[1:2]").unwrap();
    assert_eq!(
        (named.config.as_deref(), named.split.as_deref()),
        (Some("small"), Some("train[1:2]"))
    );
    assert!(DataSource::of_path("hub:me/tools[1:2]").is_err());
}

#[test]
fn nulls_that_arrow_left_are_known_by_rows_outside_of_the_slice() {
    let row = |arguments: Value| {
        let call = json!({"function": {"name": "add", "arguments": arguments}});
        let messages = json!([
            {"role": "user", "content": "Add."}, {"role": "assistant", "tool_calls": [call]},
        ]);
        let parameters = json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}});
        json!({"messages": messages, "tools": [{"name": "add", "parameters": parameters}]})
    };
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    let rows = json!([row(json!({"a": 1, "b": null})), row(json!({"a": 1, "b": 2}))]);
    std::fs::write(file.path(), rows.to_string()).unwrap();
    let first = DataSource {
        split: Some("train[:1]".into()),
        ..DataSource::file(file.path())
    };
    let all = DataSource::file(file.path()).load().unwrap().rows;
    assert_eq!(first.load().unwrap().rows, all[..1]);
    assert_eq!(json!(all[0].messages[1].tool_calls[0].arguments), json!({"a": 1}));
}

#[test]
fn a_prompt_beside_messages_is_noted() {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    let row = json!([{"prompt": "Hello", "prompt_id": "a1", "messages": [
        {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."},
    ]}]);
    std::fs::write(file.path(), row.to_string()).unwrap();
    let data = toolcall_lib::Dataset::load(file.path()).unwrap();
    assert_eq!(data.rows[0].messages.len(), 2);
    let notes = data.notes().join("\n");
    assert!(notes.contains("the key `prompt` of rows is not read"), "{notes}");
}

#[test]
fn a_later_layer_counts_more_and_leaves_the_rest() {
    let first = layer(
        TrainConfig::default().into(),
        json!({
            "adapter": "lora", "lora_r": 8, "warmup_ratio": 0.1, "eval_steps": 10, "base_model": "a",
            "datasets": [{"path": "x.json"}],
        }),
    );
    assert_eq!(
        (
            first.config.lora.clone().unwrap().r,
            first.config.lora.clone().unwrap().lora_alpha
        ),
        (8, 32.0)
    );
    let second = layer(
        first,
        json!({"lora_alpha": 4, "warmup_steps": 3, "evals_per_epoch": 2, "dataset_name": "y.json"}),
    );
    let lora = second.config.lora.clone().unwrap();
    assert_eq!((lora.r, lora.lora_alpha), (8, 4.0));
    assert_eq!(
        (second.config.warmup_steps, second.config.warmup_ratio),
        (3, None)
    );
    assert_eq!(
        (second.config.eval_steps, second.config.evals_per_epoch),
        (None, 2)
    );
    let expected = Inputs {
        evaluated: Some(Evaluated::PerEpoch),
        ..inputs("a", &["y.json"])
    };
    assert_eq!(second.inputs, expected);
    let third = layer(second, json!({"use_peft": false, "lora_r": 16}));
    assert_eq!(third.config.lora, None);
    assert!(noted(&third, "no adapter is trained"));
    let packed = layer(TrainConfig::default().into(), json!({"dtype": "bfloat16"}));
    assert!(packed.inputs.dtype.is_none() && noted(&packed, "held as f32"));
}

#[test]
fn what_is_off_later_takes_back_what_was_on() {
    for (on, off) in [
        (json!({"load_in_4bit": true}), json!({"load_in_4bit": false})),
        (json!({"load_in_8bit": true}), json!({"load_in_8bit": false})),
        (
            json!({"quantization_bit": 4}),
            json!({"quantization_bit": "none"}),
        ),
        (json!({"adapter": "qlora"}), json!({"adapter": "lora"})),
        (json!({"adapter": "qlora"}), json!({"finetuning_type": "full"})),
    ] {
        let first = layer(TrainConfig::default().into(), on.clone());
        assert!(first.inputs.dtype.is_some(), "{on}");
        // another setting takes nothing back
        let same = layer(
            first.clone(),
            json!({"load_in_4bit": on["load_in_4bit"], "lora_r": 4}),
        );
        assert_eq!(same.inputs.dtype, first.inputs.dtype, "{on}");
        assert_eq!(layer(same, off.clone()).inputs.dtype, None, "{off}");
    }
    let first = layer(
        TrainConfig::default().into(),
        json!({"load_in_8bit": false, "load_in_4bit": true, "packing": true, "use_cpu": true}),
    );
    assert_eq!(first.inputs.dtype, Some(Dtype::Q4KM));
    assert_eq!(first.config.device, Device::Cpu);
    let last = layer(
        first,
        json!({"load_in_8bit": false, "packing": false, "use_cpu": false}),
    );
    assert_eq!(last.inputs.dtype, Some(Dtype::Q4KM));
    assert_eq!(last.config.device, Device::Auto);
    assert!(
        !noted(&last, "counts packed sequences"),
        "{:?}",
        last.closing_notes()
    );
}

#[test]
fn notes_fit_what_the_last_layer_leaves() {
    let first = layer(
        TrainConfig::default().into(),
        json!({
            "lora_r": 8, "dtype": "bfloat16", "lr_scheduler_type": "constant", "warmup_steps": 5,
            "eval_strategy": "steps", "packing": true,
        }),
    );
    let changeable = [
        "no adapter is trained by lora_r",
        "held as f32",
        "has no warmup",
        "is every 500 steps",
    ];
    for note in changeable {
        assert!(noted(&first, note), "{note}: {:?}", first.closing_notes());
    }
    let last = layer(
        first,
        json!({
            "use_peft": true, "lr_scheduler_type": "cosine", "eval_steps": 20, "per_device_train_batch_size": 3,
        }),
    );
    for note in changeable {
        assert!(!noted(&last, note), "{note}: {:?}", last.closing_notes());
    }
    assert!(noted(&last, "a step has 3 (3 · 1)"), "{:?}", last.closing_notes());
    assert_eq!(last.inputs.dtype, Some(Dtype::Bf16));
    // The settings of an adapter stay while none is trained.
    let without = layer(last, json!({"use_peft": false}));
    assert_eq!(without.config.lora, None);
    let again = layer(without, json!({"use_peft": true}));
    assert_eq!(again.config.lora.unwrap().r, 8);
}

#[test]
fn warmup_may_be_a_share_of_all_steps() {
    let read = |schedule: &str| {
        of(json!({"warmup_ratio": 0.25, "learning_rate": 1.0, "lr_scheduler_type": schedule})).unwrap()
    };
    let rates =
        |config: &TrainConfig| -> Vec<f64> { (0..4).map(|step| config.learning_rate_at(step, 10)).collect() };
    let config = read("constant_with_warmup").config;
    assert_eq!(config.warmup_steps_of(10), 3);
    assert_eq!(rates(&config), [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]);
    let without = read("constant");
    assert_eq!(rates(&without.config), [1.0; 4], "as in transformers");
    assert!(noted(&without, "has no warmup"), "{:?}", without.notes);
    let of_recipe = of(json!({"lr_scheduler_type": "constant"})).unwrap();
    assert!(of_recipe.config.warmup_steps > 0 && of_recipe.notes.is_empty());
    assert_eq!(of_recipe.config.warmup_steps_of(10), 0);
    let error = unsound(json!({"warmup_ratio": 1.5}));
    assert!(error.starts_with("warmup_ratio: 1.5 is out of range"), "{error}");
}

#[test]
fn flags_of_a_command_are_left_and_settings_are_taken() {
    let arguments = [
        "toolcall",
        "train",
        "--out",
        "o",
        "--chat_template_kwargs={}",
        "-h",
        "--seed=3",
        "--",
        "--bf16",
    ];
    let (rest, given) = take_flags(arguments.map(Into::into), &["out", "chat-template-kwargs"]).unwrap();
    assert_eq!(
        rest,
        [
            "toolcall",
            "train",
            "--out",
            "o",
            "--chat-template-kwargs={}",
            "-h",
            "--",
            "--bf16"
        ]
    );
    assert_eq!(Value::Object(given.values), json!({"seed": "3"}));
}

#[test]
fn a_run_pushes_where_transformers_says() {
    let said = |settings: Value| {
        let settings = settings.as_object().cloned().unwrap();
        TrainConfig::default()
            .with_file(settings, 1)
            .map(|read| read.inputs.push)
    };
    let push = said(json!({"push_to_hub": true, "hub_model_id": "me/tuned"})).unwrap();
    let out = Path::new("out/tuned");
    let (repo, config) = push.target(out).unwrap().unwrap();
    assert_eq!((repo.as_str(), config), ("me/tuned", PushConfig::default()));
    let public =
        json!({"push_to_hub": true, "hub_model_id": "me/x", "hub_private_repo": false, "hub_revision": "v2"});
    let (_, config) = said(public).unwrap().target(out).unwrap().unwrap();
    assert_eq!((config.private, config.revision.as_str()), (false, "v2"));
    let unnamed = said(json!({"push_to_hub": true})).unwrap();
    let (repo, _) = unnamed.target(out).unwrap().unwrap();
    assert_eq!(repo, "tuned", "the name of the folder");
    let nowhere = unnamed.target(Path::new("/")).unwrap_err().to_string();
    assert!(nowhere.starts_with("hub_model_id: is missing"), "{nowhere}");
    assert_eq!(said(json!({"hub_model_id": null})).unwrap(), Push::default());
    let refused = said(json!({"hub_token": "hf_secretSecret"}))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("set HF_TOKEN") && !refused.contains("hf_secret"),
        "{refused}"
    );
}

/// `TOOLCALL_WRITE_DOCS=1` rewrites the page.
#[test]
fn the_page_of_settings_is_what_the_table_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    if std::env::var_os("TOOLCALL_WRITE_DOCS").is_some() {
        std::fs::write(&page, markdown()).unwrap();
    }
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(
        text == markdown(),
        "docs/settings.md is old; run this test with TOOLCALL_WRITE_DOCS=1"
    );
}

#[cfg(feature = "cli")]
mod runs {
    use super::*;
    use crate::common::tiny_model::tiny_model;
    use crate::train::timers;
    use std::process::{Command, Output};
    use tempfile::TempDir;
    use toolcall_lib::save;

    /// A folder with the model and the data that the files name.
    fn place() -> TempDir {
        let place = tempfile::tempdir().unwrap();
        save(&tiny_model(), place.path().join("models/small")).unwrap();
        let named = "tests/cases/peers"; // where the file of LLaMA-Factory has its data
        for data in ["data", named].map(|name| place.path().join(name)) {
            std::fs::create_dir_all(&data).unwrap();
            for name in ["timers.json", "timers.jsonl", "reminders.jsonl"] {
                timers(4).save(data.join(name)).unwrap();
            }
        }
        let names = "dataset_info.json";
        std::fs::copy(folder().join(names), place.path().join(named).join(names)).unwrap();
        place
    }

    fn train(place: &TempDir, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolcall"));
        let command = command.arg("train").args(arguments).current_dir(place.path());
        command
            .env("RAYON_NUM_THREADS", "1")
            .env_remove("TOOLCALL_MODEL")
            .output()
            .unwrap()
    }

    fn said(output: &Output) -> String {
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
    }

    #[test]
    fn a_file_of_each_tool_runs() {
        let place = place();
        let settings = [
            "--max-steps",
            "2",
            "--generation_max_new_tokens=4",
            "--eval-steps",
            "1",
        ];
        let data: &[&str] = &["--data", "data/timers.json"];
        let validation: &[&str] = &["--validation", "data/timers.json"];
        for (file, more, out, rank) in [
            ("trl.yaml", validation, "out/trl", Some(32)),
            (
                "sft_config.json",
                &[data, &["--model", "models/small"]].concat(),
                "out/sft",
                None,
            ),
            ("axolotl.yaml", &[], "outputs/timers", Some(32)),
            ("llama_factory.yaml", &[], "saves/small/lora", Some(8)),
            ("mlx.yaml", &[], "adapters", Some(8)),
        ] {
            let config = folder().join(file).display().to_string();
            let output = train(&place, &[&["--config", &config], more, &settings].concat());
            assert!(output.status.success(), "{file}: {}", said(&output));
            let adapter = std::fs::read_to_string(place.path().join(out).join("adapter_config.json"));
            let adapter = adapter
                .ok()
                .map(|text| serde_json::from_str::<Value>(&text).unwrap());
            assert_eq!(
                adapter.map(|adapter| adapter["r"].clone()),
                rank.map(Value::from),
                "{file}"
            );
            assert!(
                place.path().join(out).join("train_report.json").is_file(),
                "{file}"
            );
        }
    }

    #[test]
    fn evaluations_that_are_asked_for_are_made_or_noted() {
        let place = place();
        let folder = place.path().join("split");
        std::fs::create_dir(&folder).unwrap();
        for name in ["train.jsonl", "test.jsonl", "valid.jsonl"] {
            timers(2).save(folder.join(name)).unwrap();
        }
        let evaluated = |settings: Value, more: &[&str]| {
            let file = place.path().join("evaluated.json");
            std::fs::write(&file, settings.to_string()).unwrap();
            let common = [
                "--config",
                "evaluated.json",
                "--model",
                "models/small",
                "--max-steps=1",
                "--no-predict-with-generate",
                "--out=out",
            ];
            let output = train(&place, &[&common, more].concat());
            assert!(output.status.success(), "{}", said(&output));
            said(&output)
        };
        let by_strategy = json!({"dataset_name": "split", "eval_strategy": "steps", "eval_steps": 1});
        let told = evaluated(by_strategy.clone(), &[]);
        assert!(
            told.contains("validation loss") && !told.contains("nothing is measured"),
            "{told}"
        );
        // Data of the command line has no split `test`.
        let told = evaluated(by_strategy, &["--data", "data/timers.json"]);
        assert!(!told.contains("validation loss"), "{told}");
        let note = "eval_strategy: nothing is measured, because no validation set is named and the data has no split";
        assert!(told.contains(note), "{told}");
        // A flag names the split of that data.
        let told = evaluated(json!({}), &["--data", "split", "--dataset-test-split", "valid"]);
        assert!(told.contains("validation loss"), "{told}");
        let both = [
            "--data=split",
            "--dataset-test-split=valid",
            "--validation=data/timers.json",
        ];
        let told = evaluated(json!({}), &both);
        assert!(
            told.contains("the split valid is not measured, because a validation set is named"),
            "{told}"
        );
        let told = evaluated(json!({"dataset_name": "split", "evals_per_epoch": 4}), &[]);
        assert!(told.contains("evals_per_epoch: nothing is measured"), "{told}");
        // mlx-lm's valid.jsonl belongs to its folder; a file that is named on its own stays.
        let told = evaluated(json!({"data": "split"}), &[]);
        assert!(told.contains("validation loss"), "{told}");
        let told = evaluated(json!({"data": "split"}), &["--data", "data/timers.json"]);
        assert!(!told.contains("validation loss"), "{told}");
        let named = json!({"data": "split", "validation": "data/timers.json"});
        let told = evaluated(named, &["--data", "data/timers.json"]);
        let note = "note: the validation set is that of the settings: data/timers.json";
        assert!(told.contains("validation loss") && told.contains(note), "{told}");
    }

    #[test]
    fn names_of_llama_factory_are_not_looked_up_beside_data_of_the_command_line() {
        let place = place();
        let config = place.path().join("factory.json");
        std::fs::write(
            &config,
            json!({"dataset": "alpaca_en_demo", "max_steps": 1}).to_string(),
        )
        .unwrap();
        let common = ["--config", "factory.json", "--model", "models/small", "--out=out"];
        let output = train(&place, &common);
        assert!(
            said(&output).contains("`alpaca_en_demo` is not a file"),
            "{}",
            said(&output)
        );
        let output = train(&place, &[&common[..], &["--data", "data/timers.json"]].concat());
        assert!(output.status.success(), "{}", said(&output));
        assert!(
            said(&output).contains("the command line names other data"),
            "{}",
            said(&output)
        );
    }

    #[test]
    fn the_help_lists_settings_and_errors_name_them() {
        let place = place();
        let help = said(&train(&place, &["--help"]));
        for part in [
            "--learning-rate <NUMBER>",
            "--lora.r <NUMBER>",
            "--lr-scheduler-type <linear|cosine|constant|constant_with_warmup>",
            "[default: 0.0002]",
        ] {
            assert!(help.contains(part), "{part} is not in\n{help}");
        }
        let output = train(&place, &["--out", "o", "--lerning_rate", "1"]);
        assert!(!output.status.success());
        assert!(
            said(&output).contains("--lerning-rate: is not a setting; did you mean `--learning-rate`?"),
            "{}",
            said(&output)
        );
        let output = train(&place, &["--seed", "1"]);
        assert!(said(&output).contains("--out: is missing"), "{}", said(&output));
    }
}
