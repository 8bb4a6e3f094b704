//! `config.json`.

use super::{assert_says, golden, read_json, tiny};
use serde_json::{Map, Value, json};
use std::path::Path;
use toolcall_lib::config::{Llama3RopeScaling, ModelConfig};
use toolcall_lib::error::Result;

const FAMILIES: [&str; 4] = ["llama", "mistral", "qwen2", "qwen3"];

fn changed(model_type: &str, field: &str, value: Value) -> Result<ModelConfig> {
    let mut json = tiny(model_type).to_json(&[2]);
    json.insert(field.into(), value);
    ModelConfig::from_json(&json, Path::new("some/config.json"))
}

#[test]
fn configs_that_transformers_5_wrote_are_read() {
    let read = |name| {
        let file = golden(name).join("config.json");
        ModelConfig::from_json(&read_json(&file), &file).unwrap()
    };
    let llama = read("llama");
    let scaling = Llama3RopeScaling {
        factor: 4.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 32,
    };
    assert_eq!((llama.rope_theta, llama.rope_scaling), (100.0, Some(scaling)));
    assert!(llama.tie_word_embeddings && !llama.attention_bias && !llama.qk_norm);
    assert!(!read("llama_untied").tie_word_embeddings);
    assert!(read("qwen2").attention_bias && !read("qwen2").qk_norm);
    assert!(read("qwen3").qk_norm && !read("qwen3").attention_bias);
}

#[test]
fn what_is_written_is_read_back() {
    for mut config in FAMILIES.map(tiny) {
        for scaling in [
            None,
            Some(Llama3RopeScaling {
                factor: 8.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_max_position_embeddings: 64,
            }),
        ] {
            config.rope_scaling = scaling;
            let json = config.to_json(&[2, 1]);
            assert_eq!(
                ModelConfig::from_json(&json, Path::new("config.json")).unwrap(),
                config
            );
            assert_eq!(json["eos_token_id"], json!([2, 1]));
        }
    }
    assert_eq!(tiny("qwen3").to_json(&[2])["eos_token_id"], json!(2));
}

#[test]
fn rope_is_read_in_the_forms_of_transformers_4_and_5() {
    let scaling = json!({"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0});
    let merged = |more: Value| {
        let both: Map<_, _> = [&scaling, &more]
            .into_iter()
            .flat_map(|x| x.as_object().unwrap().clone())
            .collect();
        Value::from(both)
    };
    let new = changed(
        "llama",
        "rope_parameters",
        merged(json!({"rope_type": "llama3", "rope_theta": 5e5})),
    )
    .unwrap();
    let old = changed("llama", "rope_scaling", merged(json!({"rope_type": "llama3"}))).unwrap();
    let oldest = changed("llama", "rope_scaling", merged(json!({"type": "llama3"}))).unwrap();
    assert_eq!(
        new.rope_scaling
            .as_ref()
            .unwrap()
            .original_max_position_embeddings,
        128
    );
    assert!(new == old && old == oldest);
    assert_eq!(
        changed("llama", "rope_parameters", json!({"rope_theta": 7.0}))
            .unwrap()
            .rope_theta,
        7.0
    );
}

#[test]
fn a_setting_that_we_do_not_have_is_refused_by_name() {
    for (model_type, field, value, says) in [
        (
            "llama",
            "model_type",
            json!("gemma3_text"),
            "`gemma3_text` is not supported; supported are llama",
        ),
        ("llama", "hidden_act", json!("gelu"), "supported is \"silu\""),
        ("llama", "mlp_bias", json!(true), "supported is false"),
        ("llama", "attention_bias", json!(true), "supported is false"),
        ("qwen3", "attention_bias", json!(true), "supported is false"),
        ("qwen3", "attention_dropout", json!(0.1), "supported is 0.0"),
        (
            "qwen3",
            "quantization_config",
            json!({"quant_method": "gptq"}),
            "`gptq` weights",
        ),
        (
            "qwen3",
            "layer_types",
            json!(["full_attention", "sliding_attention"]),
            "`sliding_attention`",
        ),
        (
            "mistral",
            "sliding_window",
            json!(4096),
            "a window of 4096 tokens",
        ),
        (
            "llama",
            "rope_scaling",
            json!({"rope_type": "yarn", "factor": 4.0}),
            "rope_type: `yarn` is not supported",
        ),
        (
            "llama",
            "rope_scaling",
            json!({"type": "linear", "factor": 4.0}),
            "supported are default and llama3",
        ),
        (
            "llama",
            "rope_scaling",
            json!({"rope_type": "llama3"}),
            "factor: is missing",
        ),
        (
            "llama",
            "rope_parameters",
            json!({"partial_rotary_factor": 0.5}),
            "partial_rotary_factor",
        ),
        (
            "llama",
            "num_key_value_heads",
            json!(3),
            "does not divide the 4 attention heads",
        ),
        ("llama", "head_dim", json!(7), "7 is odd"),
        ("llama", "num_hidden_layers", json!(1_000_000), "is not a size"),
        ("llama", "vocab_size", json!("many"), "expected usize"),
        ("llama", "hidden_size", json!(null), "is missing"),
        ("llama", "rope_theta", json!(-1.0), "is not a positive number"),
    ] {
        let error = changed(model_type, field, value).unwrap_err();
        assert_says(error, &["some/config.json: ", field, says]);
    }
}

#[test]
fn a_sliding_window_that_is_switched_off_is_fine() {
    assert!(changed("qwen2", "sliding_window", json!(32768)).is_ok());
    let mut json = tiny("mistral").to_json(&[2]);
    json.remove("sliding_window"); // Mistral has one by default
    assert_says(
        ModelConfig::from_json(&json, Path::new("config.json")).unwrap_err(),
        &["sliding_window", "4096"],
    );
}
