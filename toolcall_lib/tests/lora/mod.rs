//! LoRA: against PEFT (`scripts/dev/golden/lora.py`), and properties of every adapter.

mod folders;
mod packed;
mod peft;
mod training;

use crate::common::golden::Golden;
use crate::loading::words;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;
use toolcall_lib::batch::TreeBatch;
use toolcall_lib::model::lora::{LoraConfig, PassId};
use toolcall_lib::model::{Decoder, Model, Recompute, Workspace};
use toolcall_lib::ops::matmul::Precision;
use toolcall_lib::tokens::Sequence;
use toolcall_lib::weights::Parameters;
use toolcall_lib::{Dtype, load_as};

const MODELS: [&str; 4] = ["qwen3", "qwen2", "llama", "llama_untied"];

fn pack(sequences: &[Sequence]) -> TreeBatch {
    TreeBatch::pack(&sequences.iter().collect::<Vec<_>>())
}

/// A folder with the tiny model as `base`, and as `adapter` what PEFT saved for it.
fn peft_folder(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (base, adapter) = (folder.path().join("base"), folder.path().join("adapter"));
    for (from, to) in [(Golden::model(name), &base), (Golden::adapter(name), &adapter)] {
        std::fs::create_dir(to).unwrap();
        for file in std::fs::read_dir(&from.folder).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    words().save(base.join("tokenizer.json"), false).unwrap();
    std::fs::write(base.join("generation_config.json"), r#"{"eos_token_id": 1}"#).unwrap();
    set(&adapter, "base_model_name_or_path", json!(base.to_str().unwrap()));
    folder
}

/// Changes a field of an `adapter_config.json`.
fn set(adapter: &Path, field: &str, value: Value) {
    let file = adapter.join("adapter_config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config[field] = value;
    std::fs::write(file, config.to_string()).unwrap();
}

fn load_adapter(folder: &TempDir, dtype: Dtype) -> Model {
    load_as(folder.path().join("adapter").to_str().unwrap(), dtype).unwrap()
}

/// The tiny model with PEFT's adapter.
fn peft_decoder(name: &str) -> Decoder {
    load_adapter(&peft_folder(name), Dtype::F32).decoder
}

/// The same model with other settings that fit the matrices.
fn with(mut decoder: Decoder, change: impl FnOnce(&mut LoraConfig)) -> Decoder {
    change(&mut decoder.adapter.as_mut().unwrap().config);
    decoder
}

/// Loss and gradient, both of the sum over the targets, of the given step of a run.
fn gradients(decoder: &Decoder, batches: &[TreeBatch], recompute: Recompute, step: u32) -> (f64, Parameters) {
    let mut gradients = Parameters::zeros(decoder.trainable().unwrap().layout.clone());
    let mut workspace = Workspace::new(recompute, Precision::F32);
    workspace.begin(PassId {
        seed: 5,
        step,
        tree: 0,
    });
    let mut loss = |tree| {
        decoder
            .loss_and_gradients(tree, &mut gradients, &mut workspace)
            .unwrap()
            .loss
    };
    let sum = batches.iter().map(&mut loss).sum();
    (sum, gradients)
}
