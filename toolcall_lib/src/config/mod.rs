//! What `config.json` says about a model of the Llama family.

mod json;
mod rope;

use serde::{Deserialize, Serialize};

/// Shape of a decoder. Field names are those of `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// `qwen3`, `qwen2`, `llama`, `mistral` (`smollm` GGUFs are `llama`).
    pub model_type: String,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary position embedding.
    pub rope_theta: f64,
    /// Frequency scaling of the rotary embedding, where the model has one.
    pub rope_scaling: Option<Llama3RopeScaling>,
    /// Longest sequence the model was made for.
    pub max_position_embeddings: usize,
    /// The output projection is the embedding.
    pub tie_word_embeddings: bool,
    /// Q, K and V projections have a bias (Qwen2).
    pub attention_bias: bool,
    /// RMSNorm on each head of Q and K before RoPE (Qwen3).
    pub qk_norm: bool,
}

/// Rotary frequencies stretched as Llama 3.1 does (`rope_type: "llama3"`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Llama3RopeScaling {
    /// How much low frequencies are slowed down.
    pub factor: f64,
    /// Wavelengths above `original / low_freq_factor` are scaled fully.
    pub low_freq_factor: f64,
    /// Wavelengths below `original / high_freq_factor` are kept.
    pub high_freq_factor: f64,
    /// Context length before scaling.
    pub original_max_position_embeddings: usize,
}
