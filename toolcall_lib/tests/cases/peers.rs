//! Settings that were written for other tools: each file of the folder `peers` becomes what a table
//! here says, and runs.

use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use toolcall_lib::data_source::DataSource;
use toolcall_lib::device::Device;
use toolcall_lib::model::{LoraConfig, Recompute, TargetModule, TargetModules};
use toolcall_lib::optimizer::Schedule;
use toolcall_lib::tokens::{LossMode, Overlong};
use toolcall_lib::track::ReportTo;
use toolcall_lib::train::settings::{Given, Inputs, Push, markdown, take_flags};
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

fn inputs(model: &str, data: &[&str]) -> Inputs {
    Inputs {
        model: Some(model.to_string()),
        data: data.iter().map(DataSource::file).collect(),
        ..Inputs::default()
    }
}

fn noted(settings: &Settings, name: &str) -> bool {
    settings.notes.iter().any(|note| note.contains(name))
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
        lr_scheduler_type: Schedule::Constant,
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
        loss: LossMode::All,
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
        (read.inputs.push.wanted, read.inputs.push.target().unwrap()),
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
    assert_eq!(read.inputs, inputs("Qwen/Qwen3-0.6B", &["rows.json"]));
    assert!(noted(&read, "--eval-strategy"), "{:?}", read.notes);
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
    assert!(noted(&read, "val_batches") && noted(&read, "steps_per_report"));
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
        (json!({"fp16": true}), "fp16: products are in bf16 or f32"),
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
        (json!({"num_layers": 16}), "num_layers: found 16, expected -1"),
        (json!({"stage": "dpo"}), "stage: found \"dpo\", expected sft"),
        (json!({"rl": "dpo"}), "rl: only supervised fine-tuning"),
        (
            json!({"neftune_noise_alpha": 5}),
            "neftune_noise_alpha: changes the loss",
        ),
        (
            json!({"eval_strategy": "steps"}),
            "eval_strategy: `steps` needs `eval_steps`",
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
            "`cutoff_len` says 512; leave one of them out",
        ),
        (
            json!({"datasets": [{"path": "a.json", "type": "alpaca"}]}),
            "datasets: [0]: type: found \"alpaca\", expected chat_template",
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
            json!({"lora_target_modules": ["c_attn"]}),
            "`c_attn` is not known",
        ),
        (
            json!({"lora": {"rank": 8}}),
            "lora: unknown field `rank`; expected some of r, lora_alpha",
        ),
        (
            json!({"resume_from_checkpoint": true}),
            "resume_from_checkpoint: true names no checkpoint",
        ),
        (
            json!({"deepspeed": "zero2.json"}),
            "deepspeed: give that file as another --config",
        ),
        (
            json!({"dataset": "pairs", "dataset_dir": "tests/cases/peers"}),
            "dataset: `pairs` has `ranking` in tests/cases/peers/dataset_info.json, which is not read",
        ),
        (
            json!({"dataset": "alpaca_en_demo"}),
            "dataset: `alpaca_en_demo` is no file, and data/dataset_info.json",
        ),
        (
            json!({"lr_schedule": {"name": "cosine_decay", "arguments": [1e-4, 50, 1e-5]}}),
            "lr_schedule: the learning rate rises",
        ),
        (
            json!({"lr_schedule": {"name": "cosine_decay", "arguments": [1e-4, 50]}, "iters": 70}),
            "falls over 50 steps, and the run has 70",
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
    assert_eq!(error, "--seed: stands twice; expected one value");
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
        "dataset_name": "me/tools", "dataset_config": "small", "dataset_train_split": "train[all]", "dataset_test_split": "test",
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
        ["small", "train[all]", "test"]
    );

    let axolotl = of(json!({
        "datasets": [{"path": "me/tools", "name": "small", "split": "train", "type": "chat_template"}, {"path": "x.csv", "ds_type": "csv"}],
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
fn a_later_layer_counts_more_and_leaves_the_rest() {
    let layer = |settings: Settings, value: Value| {
        let values: Map<String, Value> = value.as_object().unwrap().clone();
        settings.with(&Given::from(values), 1).unwrap()
    };
    let first = layer(
        TrainConfig::default().into(),
        json!({"adapter": "lora", "lora_r": 8, "warmup_ratio": 0.1, "eval_steps": 10, "base_model": "a", "datasets": [{"path": "x.json"}]}),
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
    assert_eq!(second.inputs, inputs("a", &["y.json"]));
    let third = layer(second, json!({"use_peft": false, "lora_r": 16}));
    assert_eq!(third.config.lora, None);
    assert!(noted(&third, "no adapter is trained"));
    let packed = layer(TrainConfig::default().into(), json!({"dtype": "bfloat16"}));
    assert!(packed.inputs.dtype.is_none() && noted(&packed, "held as f32"));
}

#[test]
fn warmup_may_be_a_share_of_all_steps() {
    let config = of(json!({"warmup_ratio": 0.25, "learning_rate": 1.0, "lr_scheduler_type": "constant"}));
    let config = config.unwrap().config;
    assert_eq!(config.warmup_steps_of(10), 3);
    let rates: Vec<f64> = (0..4).map(|step| config.learning_rate_at(step, 10)).collect();
    assert_eq!(rates, [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]);
    let error = of(json!({"warmup_ratio": 1.5}))
        .unwrap()
        .config
        .check()
        .unwrap_err();
    assert!(
        error.to_string().starts_with("warmup_ratio: 1.5 is not between"),
        "{error}"
    );
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
    let (repo, config) = push.target().unwrap().unwrap();
    assert_eq!((repo.as_str(), config), ("me/tuned", PushConfig::default()));
    let public =
        json!({"push_to_hub": true, "hub_model_id": "me/x", "hub_private_repo": false, "hub_revision": "v2"});
    let (_, config) = said(public).unwrap().target().unwrap().unwrap();
    assert_eq!((config.private, config.revision.as_str()), (false, "v2"));
    let nowhere = said(json!({"push_to_hub": true})).unwrap().target().unwrap_err();
    assert!(
        nowhere.to_string().starts_with("hub_model_id: is missing"),
        "{nowhere}"
    );
    assert_eq!(said(json!({"hub_model_id": null})).unwrap(), Push::default());
    let refused = said(json!({"hub_token": "hf_secretSecret"}))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("set HF_TOKEN") && !refused.contains("hf_secret"),
        "{refused}"
    );
}

/// `TOOLCALL_WRITE_DOCS=1` writes the page anew.
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
    fn the_help_lists_settings_and_errors_name_them() {
        let place = place();
        let help = said(&train(&place, &["--help"]));
        for part in [
            "--learning-rate <NUMBER>",
            "--lora.r <NUMBER>",
            "--lr-scheduler-type <linear|cosine|constant>",
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
