//! Models that are written as GGUF files come back the same.

use super::assert_says;
use crate::common::tiny_model::tiny_model;
use serde_json::json;
use toolcall_lib::config::{Llama3RopeScaling, ModelConfig};
use toolcall_lib::model::Decoder;
use toolcall_lib::weights::{Parameters, Weights};
use toolcall_lib::{Dtype, LoraConfig, Model, ToolSchema, load, load_as, save_as};

/// A tiny model of this kind.
fn tiny(model_type: &str, change: impl Fn(&mut ModelConfig)) -> Model {
    let mut model = tiny_model();
    let mut config = ModelConfig {
        model_type: model_type.to_string(),
        qk_norm: model_type == "qwen3",
        attention_bias: model_type == "qwen2",
        ..model.decoder.config
    };
    change(&mut config);
    let parameters = Parameters::random(&config, 3);
    model.decoder = Decoder::new(config, parameters).unwrap();
    model
}

/// Writes a model and reads it again.
fn again(model: &Model, dtype: Dtype, as_dtype: Dtype) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    save_as(model, &file, dtype).unwrap();
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "it and its Modelfile"
    );
    load_as(file.to_str().unwrap(), as_dtype).unwrap()
}

fn logits(model: &Model) -> Vec<f32> {
    model.decoder.logits(&[5, 100, 7, 300, 42, 8]).unwrap()
}

fn difference(a: &Model, b: &Model) -> f32 {
    let pairs = logits(a).into_iter().zip(logits(b));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_architecture_comes_back_with_the_same_logits_and_tokens() {
    let scaling = Llama3RopeScaling {
        factor: 32.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    for model in [
        tiny("qwen3", |_| {}),
        tiny("qwen2", |config| config.tie_word_embeddings = false),
        tiny("llama", |_| {}),
        tiny("llama", |config| config.rope_scaling = Some(scaling.clone())),
    ] {
        let name = &model.decoder.config.model_type;
        let same = again(&model, Dtype::F32, Dtype::F32);
        assert_eq!(same.decoder.config, model.decoder.config);
        assert_eq!(logits(&same), logits(&model), "{name}");
        assert_eq!(same.tokenizer.eos_token_ids, model.tokenizer.eos_token_ids);
        assert_eq!(same.template.source(), model.template.source());
        let text =
            "<|im_start|>user\nSet a timer for 1320 s, 日本 <tool_call>{\"a\": 1}</tool_call><|im_end|>";
        assert_eq!(
            same.tokenizer.encode(text).unwrap(),
            model.tokenizer.encode(text).unwrap()
        );
        let half = again(&model, Dtype::F16, Dtype::F32);
        let lost = difference(&half, &model);
        assert!(lost > 0.0 && lost < 1e-2, "{name}: {lost}");
    }
}

/// Tensors keep their blocks when the file is loaded packed; results are those of the unpacked
/// values.
#[test]
fn every_type_is_written_and_read_as_it_is() {
    let model = tiny("llama", |config| {
        (config.hidden_size, config.intermediate_size) = (256, 512);
    });
    for (dtype, bytes) in [
        (Dtype::F16, 2.0),
        (Dtype::Bf16, 2.0),
        (Dtype::Q8_0, 1.07),
        (Dtype::Q4_0, 0.7),
        (Dtype::Q4KM, 0.75),
    ] {
        let packed = again(&model, dtype, Dtype::Auto);
        assert!(matches!(packed.decoder.weights, Weights::Frozen(_)));
        let per_element = packed.decoder.weights.bytes() as f64 / packed.decoder.weights.len() as f64;
        assert!(
            per_element < bytes + 0.05,
            "{dtype:?}: {per_element} bytes an element"
        );
        let mut unpacked = packed.clone();
        unpacked.decoder.weights = packed.decoder.weights.to_f32().into_owned().into();
        let rounding = difference(&packed, &unpacked);
        assert!(rounding < 5e-2, "{dtype:?}: {rounding}");
        let lost = difference(&unpacked, &model);
        assert!(lost > 0.0 && lost < 1.5, "{dtype:?}: {lost}");
    }
}

#[test]
fn tools_that_are_too_long_are_a_note() {
    let mut model = tiny_model();
    let tool = |length| {
        let schema = json!({"name": "f", "description": "x".repeat(length), "parameters": {"type": "object", "properties": {}}});
        ToolSchema::new(schema).unwrap()
    };
    model.tools = vec![tool(1000)];
    assert_eq!(again(&model, Dtype::F32, Dtype::F32).tools, model.tools);
    model.tools = vec![tool(1 << 20)];
    let same = again(&model, Dtype::F32, Dtype::F32);
    assert!(same.tools.is_empty());
    assert_says(
        same.notes.concat(),
        &["tiny.gguf: toolcall.tools", "expected at most 1048576"],
    );
}

#[test]
fn a_gguf_file_is_known_by_its_ending_in_any_case() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.GGUF");
    save_as(&tiny_model(), &file, Dtype::F16).unwrap();
    assert!(file.is_file());
    load(file.to_str().unwrap()).unwrap();
}

/// An adapter has its own tools, or none.
#[test]
fn an_adapter_does_not_take_the_tools_of_its_base() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let mut model = tiny_model();
    let schema =
        json!({"name": "f", "description": "Does it.", "parameters": {"type": "object", "properties": {}}});
    model.tools = vec![ToolSchema::new(schema).unwrap()];
    save_as(&model, place("base.gguf"), Dtype::F32).unwrap();
    let mut model = load(&place("base.gguf")).unwrap();
    model.add_adapter(LoraConfig::default(), 1).unwrap();
    model.tools.clear();
    save_as(&model, place("adapter"), Dtype::F32).unwrap();
    assert!(load(&place("adapter")).unwrap().tools.is_empty());
}

#[test]
fn what_a_file_cannot_hold_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.gguf");
    let mut model = tiny_model();
    let refusal = save_as(&model, &file, Dtype::Auto).unwrap_err();
    assert_says(refusal, &["`auto` takes the type of an existing file"]);
    model.add_adapter(LoraConfig::default(), 1).unwrap();
    let refusal = save_as(&model, &file, Dtype::F16).unwrap_err();
    assert_says(refusal, &["tiny.gguf", "merge it first"]);
    model.merge();
    save_as(&model, &file, Dtype::F16).unwrap();
    load(file.to_str().unwrap()).unwrap();
}
