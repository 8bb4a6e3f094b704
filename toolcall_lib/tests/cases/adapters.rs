//! Adapters whose layers are chosen in the ways that PEFT allows.

use crate::common::tiny_model::tiny_model;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use toolcall_lib::model::lora::{Adapter, LoraConfig};
use toolcall_lib::{Message, load, save};

/// A folder of an adapter for a tiny model of two blocks, with the given `target_modules`.
fn adapter(folder: &Path, targets: &Value) -> toolcall_lib::Result<PathBuf> {
    let base = folder.join("base");
    save(&tiny_model(), &base)?;
    let mut model = load(base.to_str().unwrap())?;
    let config = LoraConfig {
        r: 2,
        target_modules: serde_json::from_value(targets.clone()).unwrap(),
        ..LoraConfig::default()
    };
    model.add_adapter(config, 3)?;
    let trained = model.decoder.trainable_mut()?;
    trained
        .buckets
        .iter_mut()
        .flatten()
        .enumerate()
        .for_each(|(i, x)| *x += (i % 7) as f32 * 1e-3);
    let out = folder.join("adapter");
    save(&model, &out)?;
    Ok(out)
}

fn names(adapter: &Adapter) -> Vec<String> {
    let slots = adapter.parameters.layout.slots().iter();
    let a = slots.filter_map(|slot| slot.name.strip_suffix(".lora_A.weight"));
    a.map(|name| {
        name.trim_start_matches("base_model.model.model.layers.")
            .to_string()
    })
    .collect()
}

#[test]
fn layers_are_chosen_as_peft_does() {
    let block = |i: usize| -> Vec<String> {
        let attention = ["q", "k", "v", "o"].map(|p| format!("{i}.self_attn.{p}_proj"));
        let mlp = ["gate", "up", "down"].map(|p| format!("{i}.mlp.{p}_proj"));
        attention.into_iter().chain(mlp).collect()
    };
    let all = [block(0), block(1)].concat();
    let full: Vec<String> = block(0)
        .iter()
        .map(|name| format!("model.layers.{name}"))
        .collect();
    for (targets, expected) in [
        (
            json!(r"^model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)$"),
            all.clone(),
        ),
        (
            json!(["self_attn.q_proj", "mlp.down_proj"]),
            [
                "0.self_attn.q_proj",
                "0.mlp.down_proj",
                "1.self_attn.q_proj",
                "1.mlp.down_proj",
            ]
            .map(String::from)
            .to_vec(),
        ),
        (json!(full), block(0)),
        (json!(r".*\.1\.mlp\.up_proj"), vec!["1.mlp.up_proj".to_string()]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let out = adapter(folder.path(), &targets).unwrap();
        let model = load(out.to_str().unwrap()).unwrap();
        let loaded = model.decoder.adapter.as_ref().unwrap();
        assert_eq!(names(loaded), expected, "{targets}");
        let written: Value =
            serde_json::from_slice(&std::fs::read(out.join("adapter_config.json")).unwrap()).unwrap();
        assert_eq!(written["target_modules"], targets);

        // The merged model computes the same.
        let text = |model: &toolcall_lib::Model| {
            let config = toolcall_lib::GenerateConfig {
                max_new_tokens: 12,
                ..Default::default()
            };
            toolcall_lib::generate(model, &[Message::user("Set a timer.")], &[], &config)
                .unwrap()
                .ids
        };
        let mut merged = model.clone();
        merged.merge();
        assert_eq!(text(&model), text(&merged), "{targets}");
    }
}

#[test]
fn what_no_layer_has_is_refused_by_name() {
    for (targets, says) in [
        (
            json!(["q_proj", "model.layers.9.self_attn.q_proj"]),
            "`model.layers.9.self_attn.q_proj` is not the name of a linear layer",
        ),
        (
            json!("q_proj"),
            "selects no layer; expected a list of names, or a regular expression",
        ),
        (json!(".*proj|lm_head"), "selects `lm_head`"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = adapter(folder.path(), &targets).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn an_adapter_of_one_block_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    for targets in [
        json!(["model.layers.0.mlp.up_proj"]),
        json!(["model.layers.1.self_attn.v_proj"]),
    ] {
        let mut model = tiny_model();
        let config = toolcall_lib::TrainConfig {
            max_steps: Some(3),
            lora: Some(LoraConfig {
                target_modules: serde_json::from_value(targets.clone()).unwrap(),
                ..LoraConfig::default()
            }),
            output_dir: Some(folder.path().into()),
            ..toolcall_lib::TrainConfig::lora()
        };
        let report = toolcall_lib::train(&mut model, &crate::train::timers(4), &config, |_| {}).unwrap();
        let [first, .., last] = &report.steps[..] else {
            panic!()
        };
        assert!(last.loss < first.loss, "{targets}");
    }
}
