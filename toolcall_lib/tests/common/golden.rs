//! Reads the reference files that the scripts in `scripts/dev/golden` make.

use safetensors::SafeTensors;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use toolcall_lib::Dtype;
use toolcall_lib::batch::TreeBatch;
use toolcall_lib::config::ModelConfig;
use toolcall_lib::model::{Decoder, Workspace};
use toolcall_lib::optimizer::{AdamW, AdamWConfig, Schedule, clip_coefficient, norm};
use toolcall_lib::tokens::Sequence;
use toolcall_lib::weights::{self, Parameters};

/// The tensors of a reference file, as f32.
pub fn tensors(path: &Path) -> HashMap<String, Vec<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |name: &str| -> Vec<f32> {
        let view = file.tensor(name).unwrap();
        match view.dtype() {
            safetensors::Dtype::F32 => view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                .collect(),
            safetensors::Dtype::I64 => view
                .data()
                .chunks_exact(8)
                .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f32)
                .collect(),
            other => panic!("{name} is {other:?}"),
        }
    };
    file.names()
        .into_iter()
        .map(|name| (name.to_string(), numbers(name)))
        .collect()
}

/// Fails if an element is off by more than `tolerance` of the largest one.
pub fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let scale = want.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!(
            (got - want).abs() <= tolerance * scale,
            "{what}: element {i} is {got}, not {want} (largest {scale})"
        );
    }
}

/// A tiny model, or an adapter of one, and what PyTorch computes with it.
pub struct Golden {
    pub folder: PathBuf,
    json: Value,
    tensors: HashMap<String, Vec<f32>>,
}

impl Golden {
    pub fn model(name: &str) -> Self {
        Self::read("models", name)
    }

    /// An adapter that PEFT saved for the model of this name.
    pub fn adapter(name: &str) -> Self {
        Self::read("lora", name)
    }

    fn read(kind: &str, name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(kind)
            .join(name);
        let json = serde_json::from_slice(&std::fs::read(folder.join("reference.json")).unwrap()).unwrap();
        let tensors = tensors(&folder.join("reference.safetensors"));
        Self {
            folder,
            json,
            tensors,
        }
    }

    pub fn decoder(&self) -> Decoder {
        let path = self.folder.join("config.json");
        let json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let config = ModelConfig::from_json(&json, &path).unwrap();
        let weights = weights::safetensors::read(&self.folder, &config, Dtype::F32).unwrap();
        Decoder::new(config, weights).unwrap()
    }

    pub fn sequences(&self) -> Vec<Sequence> {
        let sequence = |s: &Value| Sequence {
            ids: ids(&s["ids"]),
            trained: ids(&s["trained"]).into_iter().map(|t| t == 1).collect(),
        };
        self.json["sequences"]
            .as_array()
            .unwrap()
            .iter()
            .map(sequence)
            .collect()
    }

    pub fn number(&self, key: &str) -> f64 {
        self.json[key].as_f64().unwrap()
    }

    pub fn tensor(&self, name: &str) -> Vec<f32> {
        self.tensors
            .get(name)
            .unwrap_or_else(|| panic!("no tensor {name}"))
            .clone()
    }

    pub fn training(&self, key: &str) -> Vec<f64> {
        self.json["training"][key]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap())
            .collect()
    }

    /// Trains the decoder ten steps with AdamW, and fails if the numbers of a step or the trained
    /// tensors are not PyTorch's.
    pub fn check_ten_steps(&self, name: &str, mut decoder: Decoder, batch: &TreeBatch) {
        let (tokens, mut workspace) = (batch.trained_tokens(), Workspace::default());
        let settings = AdamWConfig {
            weight_decay: 0.1,
            ..AdamWConfig::default()
        };
        let mut optimizer = AdamW::new(settings, decoder.trainable().unwrap());
        let mut gradients = Parameters::zeros(decoder.trainable().unwrap().layout.clone());
        let peak = self.training("learning_rates").into_iter().fold(0.0, f64::max);
        for step in 0..10 {
            let sum = decoder
                .loss_and_gradients(batch, &mut gradients, &mut workspace)
                .unwrap();
            let grad_norm = norm(&gradients) / tokens;
            let learning_rate = peak * Schedule::Linear.factor(step, 2, 10);
            let near = |what: &str, got: f64, tolerance: f64| {
                let want = self.training(what)[step];
                let close = (got - want).abs() <= tolerance * want.abs().max(1e-3);
                assert!(close, "{name} step {step} {what}: {got}, not {want}");
            };
            near("losses", sum.loss / tokens, 2e-5);
            near("correct", sum.correct, 0.0);
            near("grad_norms", grad_norm, 1e-4);
            near("learning_rates", learning_rate, 1e-9);
            let scale = clip_coefficient(grad_norm, 1.0) / tokens;
            let trained = decoder.trainable_mut().unwrap();
            optimizer.step(trained, &mut gradients.buckets, scale, learning_rate);
        }
        let trained = decoder.trainable().unwrap();
        for slot in trained.layout.slots() {
            let want = self.tensor(&format!("final.{}", slot.name));
            let got = trained.get(&slot.name).unwrap();
            assert_close(&format!("{name} {}", slot.name), got, &want, 1e-3);
        }
    }

    pub fn generations(&self) -> Vec<(Vec<u32>, Vec<u32>)> {
        let pair = |g: &Value| (ids(&g["prompt"]), ids(&g["tokens"]));
        self.json["generation"]
            .as_array()
            .unwrap()
            .iter()
            .map(pair)
            .collect()
    }
}

fn ids(list: &Value) -> Vec<u32> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_u64().unwrap() as u32)
        .collect()
}
