//! Whole steps, emulated on the host, against the CPU's engine.

use super::DeviceDecoder;
use crate::batch::TreeBatch;
use crate::config::ModelConfig;
use crate::cuda::driver::Element;
use crate::cuda::emulate::emulated;
use crate::cuda::optimizer::DeviceOptimizer;
use crate::cuda::ranks::Alone;
use crate::cuda::tests::assert_near;
use crate::model::{Decoder, Recompute, Workspace};
use crate::ops::cross_entropy::LossSum;
use crate::ops::matmul::Precision;
use crate::ops::testing::random;
use crate::optimizer::{AdamW, AdamWConfig, clip_coefficient, norm};
use crate::tokens::Sequence;
use crate::weights::Parameters;
use std::sync::Arc;

/// Qwen3, Qwen2 and Llama in small, with a vocabulary that is not a multiple of anything.
fn configs() -> [ModelConfig; 3] {
    let qwen3 = ModelConfig {
        model_type: "qwen3".into(),
        vocab_size: 101,
        hidden_size: 48,
        intermediate_size: 72,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 64,
        rms_norm_eps: 1e-6,
        rope_theta: 1e4,
        rope_scaling: None,
        max_position_embeddings: 64,
        tie_word_embeddings: true,
        attention_bias: false,
        qk_norm: true,
    };
    let qwen2 = ModelConfig {
        model_type: "qwen2".into(),
        attention_bias: true,
        qk_norm: false,
        ..qwen3.clone()
    };
    let llama = ModelConfig {
        model_type: "llama".into(),
        qk_norm: false,
        tie_word_embeddings: false,
        num_attention_heads: 3,
        num_key_value_heads: 3,
        ..qwen3.clone()
    };
    [qwen3, qwen2, llama]
}

fn decoder(config: &ModelConfig) -> Decoder {
    let mut weights = Parameters::random(config, 1);
    for (i, bucket) in weights.buckets.iter_mut().enumerate() {
        let noise = random(bucket.len(), 100 + i as u64);
        bucket.iter_mut().zip(noise).for_each(|(w, x)| *w += 0.1 * x);
    }
    Decoder::new(config.clone(), weights).unwrap()
}

/// Two trees: with shared prefixes, rows of several targets, and more than a tile of rows; and a single sequence.
fn trees() -> [TreeBatch; 2] {
    let sequence = |seed: u32, shared: usize, len: usize| Sequence {
        ids: (0..len as u32)
            .map(|i| (i * 37 + if i as usize >= shared { seed * 13 } else { 0 }) % 101)
            .collect(),
        trained: (0..len).map(|i| i > 3 && i % 3 != 0).collect(),
    };
    let rows = [
        sequence(1, 20, 45),
        sequence(2, 20, 30),
        sequence(3, 7, 40),
        sequence(3, 7, 40),
    ];
    let alone = sequence(5, 0, 9);
    [
        TreeBatch::pack(&rows.iter().collect::<Vec<_>>()),
        TreeBatch::pack(&[&alone]),
    ]
}

#[test]
fn whole_steps_are_those_of_the_cpu() {
    for (element, exact) in [(Element::F32, 1e-4), (Element::Bf16, 6e-2)] {
        for config in configs() {
            let mut cpu = decoder(&config);
            let settings = AdamWConfig {
                weight_decay: 0.1,
                ..AdamWConfig::default()
            };
            let mut cpu_optimizer = AdamW::new(settings, cpu.trainable().unwrap());
            let mut optimizer = cpu_optimizer.clone();
            let mut device = DeviceDecoder::new(emulated(), &cpu, element).unwrap();
            let mut state = DeviceOptimizer::new(&device, &optimizer, Arc::new(Alone), 2).unwrap();
            let mut workspace = Workspace::new(Recompute::Norms, Precision::F32);
            let tokens: f64 = trees().iter().map(TreeBatch::trained_tokens).sum();
            let mut downloaded = cpu.trainable().unwrap().clone();
            let steps = if element == Element::F32 { 3 } else { 1 };
            for step in 0..steps {
                let mut gradients = Parameters::zeros(Arc::clone(&downloaded.layout));
                let mut want = LossSum::default();
                for tree in trees() {
                    want += cpu
                        .loss_and_gradients(&tree, &mut gradients, &mut workspace)
                        .unwrap();
                    device.add_tree(&tree, Some(&mut state.gradients)).unwrap();
                }
                let what = format!("{} in {element:?}, step {step}", config.model_type);
                let [loss, _] = device.take_total().unwrap();
                let error = (loss - want.loss).abs() / want.loss;
                assert!(
                    error < f64::from(exact) / 10.0,
                    "{what}: loss {loss}, not {}",
                    want.loss
                );
                for slot in downloaded.layout.slots() {
                    let mut got = vec![0.0f32; slot.len()];
                    let bucket = state.gradients.sums(slot.bucket);
                    bucket
                        .slice(slot.range())
                        .download(&*device.device.driver, &mut got)
                        .unwrap();
                    let name = format!("{what}: {}", slot.name);
                    assert!(got.iter().any(|&g| g != 0.0), "{name} has no gradient");
                    assert_near(&got, &gradients.buckets[slot.bucket][slot.range()], exact, &name);
                }
                let want_norm = norm(&gradients) / tokens;
                let scale = clip_coefficient(want_norm, 0.5) / tokens;
                cpu_optimizer.step(cpu.trainable_mut().unwrap(), &mut gradients.buckets, scale, 1e-3);
                let got = state
                    .step(&mut device, &mut optimizer, tokens, 0.5, 1e-3)
                    .unwrap();
                assert!(
                    (got - want_norm).abs() < f64::from(exact) * want_norm,
                    "{what}: norm {got}"
                );
            }
            state.download(&device, &mut downloaded, &mut optimizer).unwrap();
            assert_eq!(optimizer.steps, cpu_optimizer.steps);
            if element == Element::F32 {
                let pairs = downloaded.buckets.iter().zip(&cpu.trainable().unwrap().buckets);
                pairs.for_each(|(got, want)| assert_near(got, want, 2e-4, &config.model_type));
                let moments = optimizer.first.iter().zip(&cpu_optimizer.first);
                moments.for_each(|(got, want)| assert_near(got, want, 1e-3, "first moment"));
            }
        }
    }
}

#[test]
fn loss_alone_is_that_of_a_training_pass() {
    let cpu = decoder(&configs()[0]);
    let mut device = DeviceDecoder::new(emulated(), &cpu, Element::F32).unwrap();
    let [tree, _] = trees();
    device.add_tree(&tree, None).unwrap();
    let want = cpu.loss(&tree, &mut Workspace::default()).unwrap();
    let [loss, correct] = device.take_total().unwrap();
    assert!((loss - want.loss).abs() < 1e-5 * want.loss);
    assert_eq!(correct, want.correct);
}

#[test]
fn what_no_kernel_is_made_for_is_refused() {
    let config = ModelConfig {
        head_dim: 32,
        ..configs()[0].clone()
    };
    let refusal = DeviceDecoder::new(emulated(), &decoder(&config), Element::F32).unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("head_dim: 32 is not supported on a GPU; expected 64 or 128")
    );
}
