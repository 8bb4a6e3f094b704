//! A stored model: everything that is read from its source.

use super::Weights;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use serde_json::{Map, Value};

/// A stored model: everything that is needed to run it, train it and save it.
#[derive(Clone, Debug)]
pub struct RawModel {
    /// Shape of the model.
    pub config: ModelConfig,
    /// Weights of the model.
    pub weights: Weights,
    /// Converts text to token ids.
    pub tokenizer: tokenizers::Tokenizer,
    /// Content of `tokenizer_config.json`; empty if there is none.
    pub tokenizer_config: Map<String, Value>,
    /// The Jinja chat template, if the model has one.
    pub chat_template: Option<String>,
    /// Other chat templates, by name.
    pub additional_chat_templates: Vec<(String, String)>,
    /// JSON string of the tools that it was trained to call, if the GGUF file has it, as our files
    /// do; a folder has a separate file for them.
    pub tools: Option<String>,
    /// Notes for the user about how the model was read.
    pub notes: Vec<String>,
    /// Content of `generation_config.json`, if there is one.
    pub generation_config: Option<Map<String, Value>>,
    /// Tokens that end a reply, at least one; the first one ends an assistant's turn.
    pub eos_token_ids: Vec<u32>,
    /// Its licence as its own files name it, such as `apache-2.0`.
    pub license: Option<String>,
    /// Source of the model, for people.
    pub origin: String,
}

/// Returns the name of a licence, such as `apache-2.0`; `None` if it is something else.
pub(super) fn license_name(name: &str) -> Option<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || ['-', '.', '_', '+'].contains(&c);
    let fits = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_name);
    fits.then(|| name.to_string())
}

/// Checks what neither the reader of folders nor that of GGUF files ensures.
pub(super) fn check(model: &RawModel) -> Result<()> {
    // 1. Every token has an embedding.
    let rows = model.config.vocab_size;
    let outside = model
        .tokenizer
        .get_vocab(true)
        .into_iter()
        .filter(|&(_, id)| id as usize >= rows)
        .max_by_key(|t| t.1);
    if let Some((token, id)) = outside {
        let problem = format!(
            "the tokenizer has the token `{token}` with id {id}, but the model has only {rows} embeddings"
        );
        return Err(Error::invalid(&model.origin, problem));
    }
    // 2. Some token ends a reply.
    if model.eos_token_ids.is_empty() {
        let advice = "name it as eos_token_id in generation_config.json";
        return Err(Error::invalid(
            &model.origin,
            format!("does not say which token ends a reply; {advice}"),
        ));
    }
    Ok(())
}
