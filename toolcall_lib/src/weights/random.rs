//! Weights of an untrained model.

use super::{Layout, Parameters};
use crate::config::ModelConfig;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use rayon::prelude::*;
use std::sync::Arc;

/// Standard deviation of matrices, `initializer_range` in transformers.
const STD: f32 = 0.02;

/// Elements that share one stream of random numbers. Fixed, so that the weights do not depend on
/// the number of threads.
const CHUNK: usize = 1 << 16;

impl Parameters {
    /// Draws weights like transformers initializes them: normal with standard deviation 0.02 for
    /// matrices, ones for norms, zeros for biases. The same seed gives the same weights on every
    /// machine.
    pub fn random(config: &ModelConfig, seed: u64) -> Self {
        let mut parameters = Self::zeros(Arc::new(Layout::new(config)));
        let layout = parameters.layout.clone();
        for (index, slot) in layout.slots().iter().enumerate() {
            let values = &mut parameters.buckets[slot.bucket][slot.range()];
            match slot.shape.len() {
                2 => fill_normal(values, seed, index as u64),
                _ if slot.name.ends_with("norm.weight") => values.fill(1.0),
                _ => {}
            }
        }
        parameters
    }
}

fn fill_normal(values: &mut [f32], seed: u64, tensor: u64) {
    let Ok(normal) = Normal::new(0.0, STD) else { return };
    values
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(chunk, values)| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream((tensor << 32) | chunk as u64);
            values.fill_with(|| normal.sample(&mut rng));
        });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny_config::tiny_config;

    /// Makes a config with tensors of more than one chunk, and biases.
    fn config() -> ModelConfig {
        let tiny = tiny_config();
        ModelConfig {
            vocab_size: 2 * CHUNK / tiny.hidden_size - 7,
            tie_word_embeddings: false,
            attention_bias: true,
            ..tiny
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_weights_on_any_number_of_threads() {
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let alone = one.install(|| Parameters::random(&config(), 7));
        let together = Parameters::random(&config(), 7);
        assert_eq!(alone.buckets, together.buckets);
        assert_ne!(alone.buckets, Parameters::random(&config(), 8).buckets);
    }

    #[test]
    fn matrices_are_normal_norms_are_one_and_biases_are_zero() {
        let parameters = Parameters::random(&config(), 0);
        for slot in parameters.layout.slots() {
            let values = parameters.get(&slot.name).unwrap();
            if slot.shape.len() == 2 {
                let n = values.len() as f32;
                let mean = values.iter().sum::<f32>() / n;
                let std = (values.iter().map(|x| x * x).sum::<f32>() / n).sqrt();
                assert!(mean.abs() < 5.0 * STD / n.sqrt(), "{}: mean {mean}", slot.name);
                assert!(
                    (std - STD).abs() < 5.0 * STD / n.sqrt(),
                    "{}: std {std}",
                    slot.name
                );
            } else {
                let expected = if slot.name.ends_with("bias") { 0.0 } else { 1.0 };
                assert!(values.iter().all(|&x| x == expected), "{}", slot.name);
            }
        }
        assert_ne!(
            parameters.get("model.embed_tokens.weight"),
            parameters.get("lm_head.weight")
        );
    }
}
