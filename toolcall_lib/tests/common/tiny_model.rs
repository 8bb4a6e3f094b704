// A whole model, small enough to train in a test: random weights, a byte-level tokenizer, our own
// template.

use super::tiny_config::tiny_config;
use super::tiny_tokenizer::{END_OF_TURN, tiny_tokenizer};
use toolcall_lib::Model;
use toolcall_lib::config::ModelConfig;
use toolcall_lib::model::Decoder;
use toolcall_lib::template::ChatTemplate;
use toolcall_lib::weights::Parameters;

/// A model of [`tiny_config`]'s shape.
pub fn tiny_model() -> Model {
    let tokenizer = tiny_tokenizer();
    let config = ModelConfig {
        vocab_size: tokenizer.vocab_size(),
        ..tiny_config()
    };
    let parameters = Parameters::random(&config, 7);
    Model {
        decoder: Decoder::new(config, parameters).unwrap(),
        tokenizer,
        template: ChatTemplate::hermes(END_OF_TURN).unwrap(),
        generation_config: serde_json::Map::new(),
        tools: Vec::new(),
        training: None,
        license: None,
        origin: "tiny".to_string(),
        notes: Vec::new(),
    }
}
