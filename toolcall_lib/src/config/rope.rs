//! Frequencies of the rotary position embedding.

use super::{Llama3RopeScaling, ModelConfig};
use std::f64::consts::TAU;

impl ModelConfig {
    /// Radians per position for each pair of elements of a head: `theta^(-2i / head_dim)`, slowed down where the model says so.
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
    /// Slow frequencies are divided by `factor`, fast ones kept, those between blended (Llama 3.1, `rope_type: "llama3"`).
    fn apply(&self, frequency: f64) -> f64 {
        let turns = self.original_max_position_embeddings as f64 * frequency / TAU;
        let kept = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor);
        let kept = kept.clamp(0.0, 1.0);
        frequency * (kept + (1.0 - kept) / self.factor)
    }
}
