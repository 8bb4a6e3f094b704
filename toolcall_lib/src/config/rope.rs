//! Frequencies of the rotary position embedding (RoPE, Su et al., 2021).

use super::{Llama3RopeScaling, ModelConfig};
use std::f64::consts::TAU;

impl ModelConfig {
    /// Returns radians per position for each pair of elements of a head, `[head_dim / 2]`:
    /// `theta^(-2i / head_dim)`, slowed down if the model has a scaling.
    pub fn inverse_frequencies(&self) -> Vec<f32> {
        (0..self.head_dim / 2)
            .map(|i| self.rope_theta.powf(-2.0 * i as f64 / self.head_dim as f64))
            .map(|frequency| {
                self.rope_scaling
                    .as_ref()
                    .map_or(frequency, |scaling| scaling.apply(frequency))
            })
            .map(|frequency| frequency as f32)
            .collect()
    }
}

impl Llama3RopeScaling {
    /// Scales a frequency like `_compute_llama3_parameters` of transformers: divides slow ones by
    /// `factor`, keeps fast ones, and blends those between.
    fn apply(&self, frequency: f64) -> f64 {
        let turns = self.original_max_position_embeddings as f64 * frequency / TAU;
        let kept = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor);
        let kept = kept.clamp(0.0, 1.0);
        frequency * (kept + (1.0 - kept) / self.factor)
    }
}
