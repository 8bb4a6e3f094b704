// A shape for models of tests.

use toolcall_lib::config::ModelConfig;

/// A Qwen3 of two layers, whose vocabulary is not a multiple of anything.
pub fn tiny_config() -> ModelConfig {
    ModelConfig {
        model_type: "qwen3".to_string(),
        vocab_size: 101,
        hidden_size: 64,
        intermediate_size: 128,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 16,
        rms_norm_eps: 1e-6,
        rope_theta: 10_000.0,
        rope_scaling: None,
        max_position_embeddings: 8192,
        tie_word_embeddings: true,
        attention_bias: false,
        qk_norm: true,
    }
}
