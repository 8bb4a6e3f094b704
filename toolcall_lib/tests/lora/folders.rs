//! Adapters as folders.

use super::{load_adapter, peft_folder, set};
use crate::common::golden::Golden;
use crate::common::tiny_model::tiny_model;
use crate::train::timers;
use serde_json::{Value, json};
use std::path::Path;
use toolcall_lib::generate::Generator;
use toolcall_lib::train::{TrainConfig, train};
use toolcall_lib::{Dtype, GenerateConfig, LoraConfig, Model, generate, load, load_as, save, save_as};

/// A tiny model that was saved and loaded, so that an adapter can name it.
fn saved_model(folder: &Path) -> Model {
    let base = folder.join("base");
    save(&tiny_model(), &base).unwrap();
    load(base.to_str().unwrap()).unwrap()
}

fn trained(folder: &Path) -> Model {
    let mut model = saved_model(folder);
    let config = TrainConfig {
        max_steps: Some(12),
        lora: Some(LoraConfig::default()),
        ..TrainConfig::lora()
    };
    train(&mut model, &timers(4), &config, |_| {}).unwrap();
    model
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_adapter_is_saved_as_peft_saves_it_and_comes_back_with_its_base() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained(folder.path());
    let out = folder.path().join("adapter");
    save(&model, &out).unwrap();
    assert_eq!(
        files(&out),
        [
            "README.md",
            "adapter_config.json",
            "adapter_model.safetensors",
            "chat_template.jinja",
            "tokenizer.json",
            "tokenizer_config.json",
            "toolcall.json",
            "toolcall_training.json",
            "tools.json"
        ]
    );
    let config: Value =
        serde_json::from_slice(&std::fs::read(out.join("adapter_config.json")).unwrap()).unwrap();
    assert_eq!(
        config["base_model_name_or_path"],
        folder.path().join("base").to_str().unwrap()
    );
    assert_eq!(config["peft_type"], "LORA");
    let loaded = load(out.to_str().unwrap()).unwrap();
    assert_eq!(loaded.origin, out.to_str().unwrap());
    let (ours, theirs) = (
        model.decoder.adapter.unwrap(),
        loaded.decoder.adapter.as_ref().unwrap(),
    );
    assert_eq!(
        (&ours.config, &ours.parameters.buckets),
        (&theirs.config, &theirs.parameters.buckets)
    );

    // and is saved again with the same base
    let again = folder.path().join("again");
    save(&loaded, &again).unwrap();
    assert_eq!(
        load(again.to_str().unwrap())
            .unwrap()
            .decoder
            .adapter
            .unwrap()
            .base,
        ours.base
    );
}

#[test]
fn an_adapter_of_peft_keeps_its_names_and_numbers() {
    for name in super::MODELS {
        let folder = peft_folder(name);
        let out = folder.path().join("ours");
        save(&load_adapter(&folder, Dtype::F32), &out).unwrap();
        let tensors =
            |folder: &Path| crate::common::golden::tensors(&folder.join("adapter_model.safetensors"));
        assert_eq!(tensors(&out), tensors(&folder.path().join("adapter")), "{name}");
    }
}

#[test]
fn replies_with_an_adapter_are_those_of_the_merged_model() {
    let folder = tempfile::tempdir().unwrap();
    let (mut model, data) = (trained(folder.path()), timers(3));
    let settings = GenerateConfig {
        max_new_tokens: 8,
        ..GenerateConfig::default()
    };
    let prompts: Vec<_> = data
        .rows
        .iter()
        .map(|row| (&row.messages[..1], &row.tools[..]))
        .collect();
    let replies = |model: &Model| {
        let alone: Vec<_> = prompts
            .iter()
            .map(|(messages, tools)| generate(model, messages, tools, &settings).unwrap().ids)
            .collect();
        let together = Generator::new(model, settings.clone()).replies(&prompts).unwrap();
        assert_eq!(
            together.into_iter().map(|reply| reply.ids).collect::<Vec<_>>(),
            alone
        );
        alone
    };
    let before = replies(&model);
    let out = folder.path().join("adapter");
    save(&model, &out).unwrap();
    assert_eq!(replies(&load(out.to_str().unwrap()).unwrap()), before);
    model.merge();
    assert_eq!(replies(&model), before);

    // a whole model replaces the adapter: nothing of the adapter may be left
    save(&model, &out).unwrap();
    assert!(files(&out).contains(&"config.json".to_string()));
    assert!(!files(&out).iter().any(|file| file.starts_with("adapter_")));
    let loaded = load(out.to_str().unwrap()).unwrap();
    assert!(loaded.decoder.adapter.is_none());
    assert_eq!(replies(&loaded), before);
}

#[test]
fn a_model_is_saved_in_bf16_too() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (tiny_model(), folder.path().join("bf16"));
    save_as(&model, &out, Dtype::Bf16).unwrap();
    let config: Value = serde_json::from_slice(&std::fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["dtype"], "bfloat16");
    let loaded = load(out.to_str().unwrap()).unwrap();
    let rounded = |x: f32| half::bf16::from_f32(x).to_f32();
    for (got, want) in loaded
        .decoder
        .weights
        .to_f32()
        .buckets
        .iter()
        .zip(&model.decoder.weights.to_f32().buckets)
    {
        assert!(got.iter().zip(want).all(|(&got, &want)| got == rounded(want)));
    }
    let refusal = save_as(&model, &out, Dtype::Q4_0).unwrap_err().to_string();
    assert!(refusal.contains("expected f32 or bf16"), "{refusal}");
}

#[test]
fn adapters_that_we_do_not_have_are_refused_by_field() {
    for (field, value, says) in [
        ("use_dora", json!(true), "use_dora: true is not supported"),
        ("bias", json!("all"), "bias: \"all\" is not supported"),
        (
            "modules_to_save",
            json!(["lm_head"]),
            "modules_to_save: [\"lm_head\"] is not supported",
        ),
        ("rank_pattern", json!({"q_proj": 4}), "rank_pattern: "),
        (
            "init_lora_weights",
            json!("pissa"),
            "init_lora_weights: `pissa` changes the weights of the base",
        ),
        ("peft_type", json!("IA3"), "peft_type: \"IA3\" is not supported"),
        (
            "target_modules",
            json!(["q_proj", "c_attn"]),
            "`c_attn` is not known",
        ),
        (
            "target_modules",
            json!(["q_proj", "k_proj"]),
            "v_proj.lora_A.weight",
        ),
        (
            "base_model_name_or_path",
            json!("nowhere/at/all"),
            "base_model_name_or_path: ",
        ),
        (
            "base_model_name_or_path",
            Value::Null,
            "base_model_name_or_path: is missing",
        ),
        ("r", json!(0), "lora.r: 0 is not a rank"),
    ] {
        let folder = peft_folder("qwen2");
        let adapter = folder.path().join("adapter");
        set(&adapter, field, value);
        let refusal = load_as(adapter.to_str().unwrap(), Dtype::F32)
            .unwrap_err()
            .to_string();
        assert!(refusal.contains(says), "{refusal}");
        assert!(refusal.contains("adapter"), "{refusal}");
    }
}

#[test]
fn an_adapter_without_a_tokenizer_has_that_of_its_base() {
    let folder = peft_folder("llama");
    let model = load_adapter(&folder, Dtype::F32);
    let base = load(folder.path().join("base").to_str().unwrap()).unwrap();
    assert_eq!(
        model.tokenizer.to_json().unwrap(),
        base.tokenizer.to_json().unwrap()
    );
    assert_eq!(model.decoder.config, Golden::model("llama").decoder().config);
}
