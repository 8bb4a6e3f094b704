//! A whole model, small enough to train in a test: random weights, a byte-level tokenizer, our own template.

use super::tiny_tokenizer::{END_OF_TURN, tiny_tokenizer};
use toolcall_lib::Model;
use toolcall_lib::config::ModelConfig;
use toolcall_lib::model::Decoder;
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::weights::Parameters;

/// A Qwen3 of two layers.
pub fn tiny_model() -> Model {
    let tokenizer = tiny_tokenizer();
    let config = ModelConfig {
        model_type: "qwen3".to_string(),
        vocab_size: tokenizer.vocab_size(),
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
    };
    let parameters = Parameters::random(&config, 7);
    Model {
        decoder: Decoder::new(config, parameters).unwrap(),
        tokenizer,
        template: ChatTemplate::hermes(END_OF_TURN).unwrap(),
        generation_config: serde_json::Map::new(),
        origin: "tiny".to_string(),
        notes: Vec::new(),
    }
}
