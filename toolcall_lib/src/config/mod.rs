//! The configuration of a model of the Llama family, from `config.json`.

mod json;

use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// Shape of a decoder. Field names are those of `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Architecture: `qwen3`, `qwen2`, `llama` or `mistral` (`smollm` GGUF files are `llama`).
    pub model_type: String,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key and value heads.
    pub num_key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Number that RMSNorm adds to the mean square.
    pub rms_norm_eps: f64,
    /// Base of the rotary position embedding.
    pub rope_theta: f64,
    /// Frequency scaling of the rotary embedding, if the model has one.
    pub rope_scaling: Option<Llama3RopeScaling>,
    /// Longest sequence that the model was made for, in tokens.
    pub max_position_embeddings: usize,
    /// True if the output projection is the embedding.
    pub tie_word_embeddings: bool,
    /// True if the Q, K and V projections have a bias (Qwen2).
    pub attention_bias: bool,
    /// True if each head of Q and K goes through RMSNorm before RoPE (Qwen3).
    pub qk_norm: bool,
}

/// Scaling of the rotary frequencies as in Llama 3.1 (`rope_type: "llama3"`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Llama3RopeScaling {
    /// Factor by which low frequencies are slowed down.
    pub factor: f64,
    /// Wavelengths above `original / low_freq_factor` are scaled fully.
    pub low_freq_factor: f64,
    /// Wavelengths below `original / high_freq_factor` are kept.
    pub high_freq_factor: f64,
    /// Context length before scaling, in tokens.
    pub original_max_position_embeddings: usize,
}

impl ModelConfig {
    /// Returns radians per position of the rotary embedding (Su et al., 2021) for each pair of
    /// elements of a head, `[head_dim / 2]`: `theta^(-2i / head_dim)`, slowed down if the model has
    /// a scaling.
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
