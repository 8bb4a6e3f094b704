//! A saved folder, loaded by the models of candle-transformers.

use crate::common::golden::{Golden, assert_close};
use crate::common::tiny_tokenizer::{END_OF_TURN, tiny_tokenizer};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{llama, qwen2, qwen3};
use serde_json::{Value, json};
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::{Model, save};

#[test]
fn candle_transformers_computes_the_same_logits_from_what_is_saved() {
    for name in ["qwen3", "qwen2", "llama", "llama_untied"] {
        let golden = Golden::model(name);
        let model = Model {
            decoder: golden.decoder(),
            tokenizer: tiny_tokenizer(),
            template: ChatTemplate::hermes(END_OF_TURN).unwrap(),
            generation_config: serde_json::Map::new(),
            tools: Vec::new(),
            training: None,
            license: None,
            origin: name.to_string(),
            notes: Vec::new(),
        };
        let folder = tempfile::tempdir().unwrap();
        save(&model, folder.path()).unwrap();
        let config = std::fs::read(folder.path().join("config.json")).unwrap();
        let weights = std::fs::read(folder.path().join("model.safetensors")).unwrap();
        let ids = golden.sequences()[0].ids.clone();

        let got = last_logits(serde_json::from_slice(&config).unwrap(), weights, &ids).unwrap();
        let all = model.decoder.logits(&ids).unwrap();
        let want = &all[all.len() - got.len()..];
        assert_close(&format!("{name}, last row"), &got, want, 1e-5);
    }
}

fn last_logits(mut config: Value, weights: Vec<u8>, ids: &[u32]) -> candle_core::Result<Vec<f32>> {
    // what candle asks for and transformers has defaults for
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
    let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)?;
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
