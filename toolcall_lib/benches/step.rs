//! A training step of a model with SmolLM2's widths and few layers, and its parts.

use crate::{HIDDEN, INTERMEDIATE, VOCABULARY};
use divan::Bencher;
use divan::counter::ItemsCount;
use toolcall_lib::Result;
use toolcall_lib::batch::TreeBatch;
use toolcall_lib::config::ModelConfig;
use toolcall_lib::model::{Decoder, Recompute, Workspace};
use toolcall_lib::ops::matmul::Precision;
use toolcall_lib::optimizer::{AdamW, AdamWConfig};
use toolcall_lib::tokens::Sequence;
use toolcall_lib::weights::Parameters;

/// Sequences of eight conversations: a common beginning, two assistant turns each.
fn sequences() -> Vec<Sequence> {
    let ids = |from: u32, len: u32| from..from + len;
    let trained = |prompt: usize, reply: usize| (0..prompt + reply).map(|i| i >= prompt).collect();
    (0..8)
        .flat_map(|row| {
            let first: Vec<u32> = ids(100, 286).chain(ids(1000 * (row + 1), 57)).collect();
            let second: Vec<u32> = first.iter().copied().chain(ids(20_000, 38)).collect();
            [(first, 318, 25), (second, 361, 20)]
        })
        .map(|(ids, prompt, reply)| Sequence {
            ids,
            trained: trained(prompt, reply),
        })
        .collect()
}

/// [`sequences`] as a tree.
pub fn tree() -> TreeBatch {
    TreeBatch::pack(&sequences().iter().collect::<Vec<_>>())
}

fn config() -> ModelConfig {
    ModelConfig {
        model_type: "llama".to_string(),
        vocab_size: VOCABULARY,
        hidden_size: HIDDEN,
        intermediate_size: INTERMEDIATE,
        num_hidden_layers: 3,
        num_attention_heads: 9,
        num_key_value_heads: 3,
        head_dim: 64,
        rms_norm_eps: 1e-5,
        rope_theta: 1e5,
        rope_scaling: None,
        max_position_embeddings: 1024,
        tie_word_embeddings: true,
        attention_bias: false,
        qk_norm: false,
    }
}

#[allow(clippy::expect_used)] // a layout from the config itself fits it
fn decoder() -> Decoder {
    let parameters = Parameters::random(&config(), 0);
    Decoder::new(config(), parameters).expect("the layout is that of the config")
}

#[divan::bench]
fn pack(bencher: Bencher<'_, '_>) {
    let sequences = sequences();
    let sequences: Vec<&Sequence> = sequences.iter().collect();
    bencher.bench_local(|| TreeBatch::pack(&sequences));
}

#[divan::bench]
fn adamw(bencher: Bencher<'_, '_>) {
    let mut parameters = Parameters::random(&config(), 0);
    let mut gradients = parameters.clone();
    let mut optimizer = AdamW::new(AdamWConfig::default(), &parameters);
    bencher
        .counter(ItemsCount::new(parameters.len()))
        .bench_local(|| optimizer.step(&mut parameters, &mut gradients.buckets, 1.0, 1e-5));
}

#[divan::bench(args = [Precision::F32, Precision::Bf16], sample_count = 20)]
fn loss_and_gradients(bencher: Bencher<'_, '_>, precision: Precision) {
    let (decoder, tree) = (decoder(), tree());
    let mut gradients = Parameters::zeros(decoder.weights.layout().clone());
    let mut workspace = Workspace::new(Recompute::Norms, precision);
    bencher
        .counter(ItemsCount::new(tree.ids.len()))
        .bench_local(|| decoder.loss_and_gradients(&tree, &mut gradients, &mut workspace));
}

#[divan::bench(args = [Precision::F32, Precision::Bf16], sample_count = 20)]
fn step(bencher: Bencher<'_, '_>, precision: Precision) {
    let (mut decoder, tree) = (decoder(), tree());
    let mut gradients = Parameters::zeros(decoder.weights.layout().clone());
    let mut workspace = Workspace::new(Recompute::Norms, precision);
    let mut optimizer = AdamW::new(AdamWConfig::default(), &gradients);
    bencher
        .counter(ItemsCount::new(tree.ids.len()))
        .bench_local(|| -> Result<_> {
            let sum = decoder.loss_and_gradients(&tree, &mut gradients, &mut workspace)?;
            let scale = 1.0 / tree.trained_tokens();
            optimizer.step(decoder.trainable_mut()?, &mut gradients.buckets, scale, 1e-6);
            Ok(sum)
        });
}
