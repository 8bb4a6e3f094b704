//! Weights that are NaN or infinite, and settings that are too large.

use super::tree;
use crate::common::tiny_model::tiny_model;
use crate::train::{config, timers};
use candle_core::quantized::gguf_file::Content;
use serde_json::{Value, json};
use std::io::Cursor;
use std::path::Path;
use toolcall_lib::evaluate::{EvaluateConfig, evaluate};
use toolcall_lib::generate::ToolChoice;
use toolcall_lib::train::{TrainConfig, train};
use toolcall_lib::weights::safetensors;
use toolcall_lib::{
    Dtype, GenerateConfig, LoraConfig, Message, Model, generate, load, load_as, save, save_as,
};

const TENSOR: &str = "model.layers.1.mlp.up_proj.weight";

/// The tiny model with one weight, in row 2 and column 3, that is NaN.
fn damaged(value: f32) -> Model {
    let mut model = tiny_model();
    let weights = model.decoder.trainable_mut().unwrap();
    weights.get_mut(TENSOR).unwrap()[2 * 64 + 3] = value;
    model
}

#[test]
fn weights_that_are_not_finite_are_not_saved_over_a_model() {
    let area = tempfile::tempdir().unwrap();
    save(&tiny_model(), area.path().join("out")).unwrap();
    let before = tree(area.path());
    for (value, shown) in [
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
        (f32::NEG_INFINITY, "-inf"),
    ] {
        for path in ["out", "new", "new.gguf"] {
            let said = save(&damaged(value), area.path().join(path))
                .unwrap_err()
                .to_string();
            let expected = format!("{TENSOR}[2, 3] is {shown}, so nothing is saved");
            assert!(said.contains(&expected), "{said}");
        }
    }
    assert!(tree(area.path()) == before);
    let mut model = tiny_model();
    model.add_adapter(LoraConfig::default(), 1).unwrap();
    model.decoder.trainable_mut().unwrap().buckets[0][0] = f32::NAN;
    let said = save(&model, area.path().join("adapter")).unwrap_err().to_string();
    assert!(said.contains("lora_A.weight[0, 0] is NaN"), "{said}");
}

const EVERY_TYPE: [Dtype; 7] = [
    Dtype::F32,
    Dtype::Bf16,
    Dtype::F16,
    Dtype::Q8_0,
    Dtype::Q4_0,
    Dtype::Q4KM,
    Dtype::Auto,
];

/// Overwrites the bytes of [`TENSOR`] in a GGUF file from byte `at` on.
fn overwrite(file: &Path, at: usize, with: &[u8]) {
    let mut bytes = std::fs::read(file).unwrap();
    let content = Content::read(&mut Cursor::new(&bytes)).unwrap();
    let info = &content.tensor_infos["blk.1.ffn_up.weight"];
    let start = (content.tensor_data_offset + info.offset) as usize + at;
    bytes[start..start + with.len()].copy_from_slice(with);
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_file_with_weights_that_are_not_finite_is_refused_in_any_type() {
    let area = tempfile::tempdir().unwrap();
    let out = area.path().join("out");
    save(&tiny_model(), &out).unwrap();
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let weights = damaged(value).decoder.weights.to_f32().into_owned();
        safetensors::save(&weights, &out.join("model.safetensors"), Dtype::F32).unwrap();
        for dtype in EVERY_TYPE {
            let said = load_as(out.to_str().unwrap(), dtype).unwrap_err().to_string();
            let expected = format!("{TENSOR}[2, 3] is {shown}");
            assert!(said.contains(&expected), "{dtype:?}: {said}");
        }
    }

    // a GGUF file too
    let file = area.path().join("f32.gguf");
    save(&tiny_model(), &file).unwrap();
    let element = 4 * (2 * 64 + 3); // rows are 64 numbers of 4 bytes
    overwrite(&file, element, &f32::NAN.to_le_bytes());
    for dtype in EVERY_TYPE {
        let said = load_as(file.to_str().unwrap(), dtype).unwrap_err().to_string();
        let expected = format!("{TENSOR}[2, 3] is NaN");
        assert!(said.contains(&expected), "{dtype:?}: {said}");
    }

    // in blocks too: a scale that is NaN
    let file = area.path().join("tiny.gguf");
    save_as(&tiny_model(), &file, Dtype::Q8_0).unwrap();
    let scale = 34 * 2 * 2; // rows are two blocks of 34 bytes
    overwrite(&file, scale, &half::f16::NAN.to_le_bytes());
    let loaded = load_as(file.to_str().unwrap(), Dtype::Auto);
    let said = loaded.map(drop).unwrap_err().to_string();
    assert!(said.contains(&format!("{TENSOR}[2, 0] is NaN")), "{said}");
}

#[test]
fn weights_that_are_too_large_for_a_type_are_neither_saved_nor_loaded_in_it() {
    let area = tempfile::tempdir().unwrap();
    for (value, path, dtype, shown) in [
        (1e6, "m.gguf", Dtype::F16, "1e6, which is too large for f16"),
        (
            3.4e38,
            "m.gguf",
            Dtype::Bf16,
            "3.4e38, which is too large for bf16",
        ),
        (3.4e38, "m", Dtype::Bf16, "3.4e38, which is too large for bf16"),
        (1e8, "m.gguf", Dtype::Q8_0, "1e8, which is too large for q8_0"),
        (1e8, "m.gguf", Dtype::Q4_0, "1e8, which is too large for q4_0"),
        (1e8, "m.gguf", Dtype::Q4KM, "1e8, which is too large for q"),
    ] {
        let said = save_as(&damaged(value), area.path().join(path), dtype).unwrap_err();
        let expected = format!("{TENSOR}[2, 3] is {shown}");
        assert!(said.to_string().contains(&expected), "{said}");
    }
    assert!(tree(area.path()).is_empty());

    let out = area.path().join("finite");
    save(&damaged(1e6), &out).unwrap();
    let load = |dtype| load_as(out.to_str().unwrap(), dtype).map(drop);
    load(Dtype::Bf16).unwrap();
    let said = load(Dtype::F16).unwrap_err().to_string();
    let expected = format!("{TENSOR}[2, 3] is 1e6, which is too large for f16; load it as f32");
    assert!(said.ends_with(&expected), "{said}");
}

#[test]
fn an_update_that_makes_weights_infinite_ends_the_run_and_saves_nothing() {
    let area = tempfile::tempdir().unwrap();
    let settings = TrainConfig {
        weight_decay: 1e300, // the weights are multiplied with this in the first step that has a learning rate
        warmup_steps: 0,
        output_dir: Some(area.path().join("out")),
        save_steps: Some(1),
        ..config(1)
    };
    let mut model = tiny_model();
    let said = train(&mut model, &timers(4), &settings, |_| {})
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with("training: after step 1: model.embed_tokens.weight[0, 0] is "),
        "{said}"
    );
    assert!(tree(area.path()).is_empty(), "the checkpoint");
}

#[test]
fn a_model_of_zeros_is_right_by_chance_only() {
    let mut model = tiny_model();
    let weights = model.decoder.trainable_mut().unwrap();
    weights
        .buckets
        .iter_mut()
        .flatten()
        .for_each(|weight| *weight = 0.0);
    let report = train(&mut model, &timers(4), &config(1), |_| {}).unwrap();
    assert_eq!(report.steps[0].token_accuracy, 0.0); // token 0 is not a target
}

#[test]
fn absurd_sizes_are_refused() {
    let refusal = |changes: Value| {
        let settings = config(1).with(changes.as_object().unwrap().clone()).unwrap();
        let said = train(&mut tiny_model(), &timers(1), &settings, |_| {}).unwrap_err();
        said.to_string()
    };
    for (batch, accumulation) in [
        (1u64 << 32, 1u64 << 32),
        (u64::MAX, 2),
        (1 << 32, 1),
        (1, u64::MAX),
    ] {
        let sizes =
            json!({"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation});
        let said = refusal(sizes);
        assert!(
            said.contains(&format!("{batch} · {accumulation} · 1, is too large")),
            "{said}"
        );
    }
    let said = refusal(json!({"max_steps": null, "num_train_epochs": 1e300}));
    assert!(
        said.contains("num_train_epochs: gives 18446744073709551615 steps"),
        "{said}"
    );
    let said = refusal(json!({"max_steps": 1u64 << 33}));
    assert!(
        said.contains("max_steps: gives 8589934592 steps, which are too many; expected at most 4294967295"),
        "{said}"
    );
    let said = refusal(json!({"ddp_timeout": u64::MAX}));
    assert!(
        said.contains("ddp_timeout: 18446744073709551615 s is too long"),
        "{said}"
    );
    let said = refusal(json!({"adam_epsilon": 1e-200}));
    assert!(
        said.contains(
            "adam_epsilon: 1e-200 is out of range; expected a number of at least 1.1754943508222875e-38"
        ),
        "{said}"
    );
    let said = refusal(json!({"learning_rate": 1e308}));
    assert_eq!(
        said,
        "learning_rate: 1e308 is out of range; expected a number of at least 0 and at most 1"
    );
    for setting in [
        "max_tokens_per_tree",
        "group_by_prefix",
        "warmup_steps",
        "save_steps",
        "eval_steps",
        "max_length",
    ] {
        let settings = config(1)
            .with(json!({setting: u64::MAX}).as_object().unwrap().clone())
            .unwrap();
        train(&mut tiny_model(), &timers(2), &settings, |_| {}).unwrap();
    }

    let file = |micro: u64, accumulation: u64| {
        json!({
            "train_batch_size": 8,
            "train_micro_batch_size_per_gpu": micro,
            "gradient_accumulation_steps": accumulation,
        })
    };
    let most = 1u64 << 48;
    let read = |ranks| config(1).with_deepspeed(file(most, 1 << 16).as_object().unwrap(), ranks);
    for ranks in [1, 2, usize::MAX] {
        let said = read(ranks).unwrap_err().to_string();
        assert!(said.contains("(ranks) = too many"), "{said}");
    }
}

#[test]
fn numbers_in_messages_are_short() {
    let generate_config = GenerateConfig {
        temperature: -1e308,
        ..GenerateConfig::default()
    };
    let said = generate(&tiny_model(), &[Message::user("Hi.")], &[], &generate_config).unwrap_err();
    assert!(
        said.to_string().contains("temperature: -1e308 is negative"),
        "{said}"
    );
}

#[test]
fn prompts_that_are_longer_than_the_model_takes_are_refused() {
    let (mut model, data) = (tiny_model(), timers(3));
    model.decoder.config.max_position_embeddings = 300;
    let long = Message::user("timer ".repeat(3000));
    let said = generate(
        &model,
        std::slice::from_ref(&long),
        &[],
        &GenerateConfig::default(),
    )
    .unwrap_err()
    .to_string();
    assert!(
        said.contains("tokens, but prompt and reply together may have at most 300"),
        "{said}"
    );
    let mut rows = data.rows.clone();
    rows[2].messages[0] = long;
    model.decoder.config.max_position_embeddings = 1200;
    let settings = EvaluateConfig {
        generate: GenerateConfig {
            max_new_tokens: usize::MAX, // limited to what the model can read
            tool_choice: ToolChoice::None,
            ..GenerateConfig::default()
        },
        ..EvaluateConfig::default()
    };
    let said = evaluate(&model, &rows, &settings).unwrap_err().to_string();
    assert!(
        said.starts_with("row 2: the prompt of messages[1] has "),
        "{said}"
    );
    assert_eq!(evaluate(&model, &rows[..1], &settings).unwrap().rows, 1);

    let area = tempfile::tempdir().unwrap();
    save(&tiny_model(), area.path()).unwrap();
    load(area.path().to_str().unwrap()).unwrap();
}
