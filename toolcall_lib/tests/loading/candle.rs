//! A saved folder and a model in memory, run by the models of candle-transformers.

use crate::common::golden::{Golden, assert_close};
use crate::common::tiny_model::tiny_model;
use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{llama, qwen2, qwen3};
use serde_json::{Value, json};
use toolcall_lib::model::Decoder;
use toolcall_lib::weights::{Weights, safetensors};
use toolcall_lib::{Dtype, LoraConfig, Model, save};

#[test]
fn candle_transformers_computes_the_same_logits_from_what_is_saved() {
    for name in NAMES {
        let golden = Golden::model(name);
        let model = Model {
            decoder: golden.decoder(),
            ..tiny_model()
        };
        let folder = tempfile::tempdir().unwrap();
        save(&model, folder.path()).unwrap();
        let config = std::fs::read(folder.path().join("config.json")).unwrap();
        let weights = std::fs::read(folder.path().join("model.safetensors")).unwrap();
        let ids = golden.sequences()[0].ids.clone();

        let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu).unwrap();
        let got = last_logits(serde_json::from_slice(&config).unwrap(), weights, &ids).unwrap();
        assert_last_row(name, &got, &model.decoder.logits(&ids).unwrap());
    }
}

#[test]
fn candle_transformers_computes_the_same_logits_from_the_weights_in_memory() {
    for name in NAMES {
        let golden = Golden::model(name);
        let (decoder, ids) = (golden.decoder(), &golden.sequences()[0].ids);
        let want = decoder.logits(ids).unwrap();
        assert_last_row(name, &in_candle(decoder, ids), &want);
    }
}

#[test]
fn an_adapter_is_merged_and_packed_weights_are_unpacked() {
    let golden = Golden::model("llama");
    let ids = &golden.sequences()[0].ids;
    let mut decoder = golden.decoder();
    decoder.weights = safetensors::read(&golden.folder, &decoder.config, Dtype::Bf16).unwrap();
    let mut model = Model {
        decoder,
        ..tiny_model()
    };
    model.add_adapter(LoraConfig::default(), 1).unwrap();
    let trained = model.decoder.trainable_mut().unwrap();
    trained.buckets.iter_mut().flatten().for_each(|x| *x += 0.01);
    let before = golden.decoder().logits(ids).unwrap();
    let got = in_candle(model.decoder.clone(), ids);
    assert_ne!(got, before[before.len() - got.len()..]);
    model.merge();
    assert_last_row("merged", &got, &model.decoder.logits(ids).unwrap());
}

#[test]
fn f32_weights_are_not_copied() {
    let decoder = Golden::model("llama").decoder();
    let Weights::Full(parameters) = &decoder.weights else {
        panic!("packed");
    };
    let place = |name: &str| parameters.get(name).unwrap().as_ptr() as usize;
    let names = ["model.layers.1.mlp.up_proj.weight", "model.norm.weight"];
    let before = names.map(place);
    let tensors = decoder.into_candle().unwrap();
    let after = names.map(|name| {
        let (storage, layout) = tensors[name].storage_and_layout();
        match &*storage {
            Storage::Cpu(CpuStorage::F32(values)) => values[layout.start_offset()..].as_ptr() as usize,
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(after, before);
}

const NAMES: [&str; 4] = ["qwen3", "qwen2", "llama", "llama_untied"];

/// The last row of the logits of a decoder, moved into a model of candle-transformers.
fn in_candle(decoder: Decoder, ids: &[u32]) -> Vec<f32> {
    let config = Value::Object(decoder.config.to_json(&[2]));
    let tensors = decoder.into_candle().unwrap();
    let weights = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    last_logits(config, weights, ids).unwrap()
}

fn assert_last_row(name: &str, got: &[f32], all: &[f32]) {
    let want = &all[all.len() - got.len()..];
    assert_close(&format!("{name}, last row"), got, want, 1e-5);
}

fn last_logits(mut config: Value, weights: VarBuilder<'_>, ids: &[u32]) -> candle_core::Result<Vec<f32>> {
    // fields that candle requires and that have defaults in transformers
    for (key, value) in [
        ("sliding_window", json!(4096)),
        ("max_window_layers", json!(0)),
        ("use_sliding_window", json!(false)),
        ("attention_bias", json!(false)),
    ] {
        if config[key].is_null() {
            config[key] = value;
        }
    }
    let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
    let logits = match config["model_type"].as_str() {
        Some("qwen3") => {
            let config: qwen3::Config = serde_json::from_value(config).unwrap();
            qwen3::ModelForCausalLM::new(&config, weights)?.forward(&ids, 0)?
        }
        Some("qwen2") => {
            let config: qwen2::Config = serde_json::from_value(config).unwrap();
            qwen2::ModelForCausalLM::new(&config, weights)?.forward(&ids, 0)?
        }
        _ => {
            let config: llama::LlamaConfig = serde_json::from_value(config).unwrap();
            let config = config.into_config(false);
            let mut cache = llama::Cache::new(false, DType::F32, &config, &Device::Cpu)?;
            llama::Llama::load(weights, &config)?.forward(&ids, 0, &mut cache)?
        }
    };
    logits.flatten_all()?.to_vec1()
}
