//! Models as they are found on disk: `config.json`, safetensors, GGUF.

mod candle;
mod checked;
mod config;
mod folder;
mod export;
mod gguf;
mod modelfile;
mod safetensors;

use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::{AddedToken, Tokenizer};
use toolcall_lib::Dtype;
use toolcall_lib::config::ModelConfig;
use toolcall_lib::weights::{Parameters, safetensors::save};

/// A config with every optional part of its family.
fn tiny(model_type: &str) -> ModelConfig {
    let json = json!({
        "model_type": model_type, "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "rms_norm_eps": 1e-5, "rope_theta": 5e5,
        "max_position_embeddings": 128, "sliding_window": null, "tie_word_embeddings": model_type != "mistral",
    });
    ModelConfig::from_json(json.as_object().unwrap(), Path::new("tiny.json")).unwrap()
}

/// The folder of a tiny model that transformers 5 saved.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/models")
        .join(name)
}

fn read_json(file: &Path) -> Map<String, Value> {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn write_json(folder: &Path, file: &str, json: Value) {
    std::fs::write(folder.join(file), json.to_string()).unwrap();
}

/// A tokenizer of three words, of which two are end tokens.
pub(crate) fn words() -> Tokenizer {
    let vocab = ["hello", "<|im_end|>", "<|endoftext|>"]
        .into_iter()
        .map(str::to_string)
        .zip(0..)
        .collect();
    let mut tokenizer = Tokenizer::new(
        WordLevel::builder()
            .vocab(vocab)
            .unk_token("hello".into())
            .build()
            .unwrap(),
    );
    let special = ["<|im_end|>", "<|endoftext|>"].map(|token| AddedToken::from(token, true));
    tokenizer.add_special_tokens(special).unwrap();
    tokenizer
}

/// A complete folder of random weights; the end token is in `config.json`.
fn write_model(folder: &Path, config: &ModelConfig) -> Parameters {
    let parameters = Parameters::random(config, 1);
    write_json(folder, "config.json", config.to_json(&[2]).into());
    words().save(folder.join("tokenizer.json"), false).unwrap();
    save(&parameters, &folder.join("model.safetensors"), Dtype::F32).unwrap();
    parameters
}

/// `message` holds each of `parts`.
#[track_caller]
fn assert_says(message: impl ToString, parts: &[&str]) {
    let message = message.to_string();
    parts
        .iter()
        .for_each(|part| assert!(message.contains(part), "`{part}` is not in: {message}"));
}
