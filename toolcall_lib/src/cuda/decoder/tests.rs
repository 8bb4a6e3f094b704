//! Whole training steps, compared with the CPU's engine.

use super::DeviceDecoder;
use crate::batch::TreeBatch;
use crate::config::ModelConfig;
use crate::cuda::optimizer::DeviceOptimizer;
use crate::cuda::ranks::Alone;
use crate::cuda::testing::{assert_near, assert_near_number, driver, shapes};
use crate::model::lora::{Adapter, LoraConfig, PassId, TargetModule};
use crate::model::{Decoder, Recompute, Workspace};
use crate::ops::cross_entropy::LossSum;
use crate::ops::matmul::Precision;
use crate::ops::testing::random;
use crate::optimizer::{AdamW, AdamWConfig, clip_coefficient, norm};
use crate::tiny_config::tiny_config;
use crate::tokens::Sequence;
use crate::weights::{Dtype, Parameters, Weights};
use std::sync::Arc;

/// Small configurations of Qwen3, Qwen2 and Llama.
pub(in crate::cuda) fn configs() -> [ModelConfig; 3] {
    let qwen3 = ModelConfig {
        hidden_size: 48,
        intermediate_size: 72,
        head_dim: 64,
        ..tiny_config()
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

/// Configurations of Qwen3-0.6B and SmolLM2-135M.
fn real_configs() -> [ModelConfig; 2] {
    let qwen3 = ModelConfig {
        vocab_size: 151_936,
        hidden_size: 1024,
        intermediate_size: 3072,
        num_hidden_layers: 28,
        num_attention_heads: 16,
        num_key_value_heads: 8,
        head_dim: 128,
        rope_theta: 1e6,
        ..tiny_config()
    };
    let smollm2 = ModelConfig {
        model_type: "llama".into(),
        vocab_size: 49_152,
        hidden_size: 576,
        intermediate_size: 1536,
        num_hidden_layers: 30,
        num_attention_heads: 9,
        num_key_value_heads: 3,
        head_dim: 64,
        rms_norm_eps: 1e-5,
        rope_theta: 1e5,
        qk_norm: false,
        ..tiny_config()
    };
    [qwen3, smollm2]
}

/// Makes random weights; those of a small model are large enough to tell everything apart.
pub(in crate::cuda) fn decoder(config: &ModelConfig) -> Decoder {
    let mut weights = Parameters::random(config, 1);
    if config.hidden_size > 500 {
        return Decoder::new(config.clone(), weights).unwrap();
    }
    for (i, bucket) in weights.buckets.iter_mut().enumerate() {
        let noise = random(bucket.len(), 100 + i as u64);
        bucket.iter_mut().zip(noise).for_each(|(w, x)| *w += 0.1 * x);
    }
    Decoder::new(config.clone(), weights).unwrap()
}

/// Makes two trees: one with shared prefixes, tokens with several targets and more rows than a
/// tile, and one with a single sequence.
fn trees(config: &ModelConfig) -> [TreeBatch; 2] {
    let sequence = |seed: u32, shared: usize, len: usize| Sequence {
        ids: (0..len as u32)
            .map(|i| (i * 37 + if i as usize >= shared { seed * 13 } else { 0 }) % 101)
            .collect(),
        trained: (0..len).map(|i| i > 3 && i % 3 != 0).collect(),
    };
    // a real model gets as many rows as a training step has
    let times = if config.hidden_size > 500 { 10 } else { 1 };
    let rows = [
        sequence(1, 20 * times, 45 * times),
        sequence(2, 20 * times, 30 * times),
        sequence(3, 7 * times, 40 * times),
        sequence(3, 7 * times, 40 * times),
    ];
    let alone = sequence(5, 0, 9);
    [
        TreeBatch::pack(&rows.iter().collect::<Vec<_>>()),
        TreeBatch::pack(&[&alone]),
    ]
}

/// Settings of a comparison.
struct Case {
    precision: Precision,
    /// Tolerance, relative to the largest number of a tensor.
    exact: f32,
    recompute: Recompute,
    steps: usize,
}

const F32: Case = Case {
    precision: Precision::F32,
    exact: 1e-4,
    recompute: Recompute::Norms,
    steps: 2,
};

const BF16: Case = Case {
    precision: Precision::Bf16Stochastic,
    exact: 6e-2,
    steps: 1,
    ..F32
};

/// Compares loss, gradients, norm, weights and moments of some steps with the CPU's.
fn check_steps(mut cpu: Decoder, case: &Case) {
    let &Case { precision, exact, .. } = case;
    let settings = AdamWConfig {
        weight_decay: 0.1,
        // Large, or gradients that are zero but for rounding, such as those of K's bias, would move
        // weights by whole steps.
        eps: 1e-4,
        ..AdamWConfig::default()
    };
    let mut cpu_optimizer = AdamW::new(settings, cpu.trainable().unwrap());
    let mut optimizer = cpu_optimizer.clone();
    let mut device = DeviceDecoder::new(driver(), &cpu, precision).unwrap();
    device.recompute = case.recompute;
    let mut state = DeviceOptimizer::new(&device, &optimizer, Arc::new(Alone), 2).unwrap();
    let mut workspace = Workspace::new(Recompute::Norms, Precision::F32);
    let trees = trees(&cpu.config);
    let tokens: f64 = trees.iter().map(TreeBatch::trained_tokens).sum();
    let mut downloaded = cpu.trainable().unwrap().clone();
    for step in 0..case.steps {
        let mut gradients = Parameters::zeros(Arc::clone(&downloaded.layout));
        let mut want = LossSum::default();
        for (number, tree) in trees.iter().enumerate() {
            let pass = PassId {
                seed: 5,
                step: step as u32,
                tree: number as u16,
            };
            workspace.begin(pass);
            want += cpu
                .loss_and_gradients(tree, &mut gradients, &mut workspace)
                .unwrap();
            device.add_gradients(tree, &mut state.gradients, pass).unwrap();
        }
        let what = format!("{} in {precision:?}, step {step}", cpu.config.model_type);
        let [loss, _] = device.take_total().unwrap();
        assert_near_number(loss, want.loss, f64::from(exact) / 10.0, &format!("{what}: loss"));
        for slot in downloaded.layout.slots() {
            let mut got = vec![0.0f32; slot.len()];
            let bucket = state.gradients.own()[slot.bucket];
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
        state
            .step(&mut device, &mut optimizer, tokens, 0.5, 1e-3)
            .unwrap();
        let got = state.norm(&device).unwrap();
        assert_near_number(got, want_norm, f64::from(exact), &format!("{what}: norm"));
    }
    state.download(&device, &mut downloaded, &mut optimizer).unwrap();
    assert_eq!(optimizer.steps, cpu_optimizer.steps);
    if precision == Precision::F32 {
        let pairs = downloaded.buckets.iter().zip(&cpu.trainable().unwrap().buckets);
        pairs.for_each(|(got, want)| assert_near(got, want, 2e-4, &cpu.config.model_type));
        let moments = optimizer.first.iter().zip(&cpu_optimizer.first);
        moments.for_each(|(got, want)| assert_near(got, want, 1e-3, "first moment"));
    }
}

#[test]
fn whole_steps_are_those_of_the_cpu() {
    for config in shapes(configs(), real_configs()) {
        check_steps(decoder(&config), &F32);
    }
}

#[test]
fn ten_steps_are_those_of_the_cpu() {
    let case = Case { steps: 10, ..F32 };
    check_steps(decoder(&configs()[0]), &case);
}

#[test]
fn whole_steps_in_bf16_are_those_of_the_cpu() {
    for config in shapes(configs(), real_configs()) {
        check_steps(decoder(&config), &BF16);
    }
}

/// Adds an adapter without zero matrices to the decoder.
pub(in crate::cuda) fn adapted(mut decoder: Decoder, lora: LoraConfig) -> Decoder {
    let mut adapter = Adapter::new(lora, decoder.weights.layout(), "base", 3).unwrap();
    for (i, bucket) in adapter.parameters.buckets.iter_mut().enumerate() {
        let noise = random(bucket.len(), 200 + i as u64);
        bucket.iter_mut().zip(noise).for_each(|(w, x)| *w += 0.1 * x);
    }
    decoder.adapter = Some(adapter);
    decoder
}

/// Adapters of all layers, of some layers, with dropout, of odd rank and with either scale.
pub(in crate::cuda) fn adapters() -> [LoraConfig; 3] {
    let all = LoraConfig {
        r: 4,
        lora_alpha: 4.0,
        lora_dropout: 0.25,
        ..LoraConfig::default()
    };
    let some = LoraConfig {
        r: 3,
        use_rslora: true,
        lora_dropout: 0.0,
        target_modules: vec![TargetModule::QProj, TargetModule::VProj, TargetModule::DownProj].into(),
        ..all.clone()
    };
    let rank_stabilized = LoraConfig {
        use_rslora: true,
        ..all.clone()
    };
    [all, some, rank_stabilized]
}

#[test]
fn steps_of_an_adapter_are_those_of_the_cpu() {
    for (config, lora) in configs().iter().zip(adapters()) {
        check_steps(adapted(decoder(config), lora), &F32);
    }
}

#[test]
fn an_adapter_trains_beside_packed_weights() {
    let [lora, ..] = adapters();
    for (config, dtype) in configs().iter().zip([None, Some(Dtype::Bf16), Some(Dtype::Q8_0)]) {
        let mut cpu = decoder(config);
        if let Some(dtype) = dtype {
            cpu.weights = Weights::packed_for_test(cpu.trainable().unwrap(), dtype);
        }
        check_steps(adapted(cpu, lora.clone()), &BF16);
    }
}

#[test]
fn what_is_not_kept_is_computed_again() {
    let (config, [lora, ..]) = (&configs()[0], adapters());
    let case = Case {
        recompute: Recompute::Block,
        steps: 1,
        ..F32
    };
    check_steps(decoder(config), &case);
    check_steps(adapted(decoder(config), lora), &case);
}

#[test]
fn loss_alone_is_that_of_a_training_pass() {
    let cpu = decoder(&configs()[0]);
    let mut device = DeviceDecoder::new(driver(), &cpu, Precision::F32).unwrap();
    let [tree, _] = trees(&cpu.config);
    device.add_loss(&tree).unwrap();
    let want = cpu.loss(&tree, &mut Workspace::default()).unwrap();
    let [loss, correct] = device.take_total().unwrap();
    assert_near_number(loss, want.loss, 1e-5, "loss");
    assert_eq!(correct, want.correct);
}

#[test]
fn what_no_kernel_is_made_for_is_refused() {
    let config = ModelConfig {
        head_dim: 32,
        ..configs()[0].clone()
    };
    let refusal = DeviceDecoder::new(driver(), &decoder(&config), Precision::F32).unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("head_dim: 32 is not supported on a GPU; expected 64 or 128")
    );
}
