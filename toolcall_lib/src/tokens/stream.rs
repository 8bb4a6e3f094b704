//! Token by token to text, without breaking a character.

use super::Tokenizer;
use super::reader::tried;
use crate::error::Result;
use std::sync::Arc;
use tokenizers::tokenizer::step_decode_stream;

/// Turns tokens into text as they come.
#[derive(Clone, Debug)]
pub struct TextStream {
    tokenizer: Arc<tokenizers::Tokenizer>,
    /// Tokens whose text is still needed: those of the last piece, because decoding depends on what stands
    /// before.
    ids: Vec<u32>,
    prefix: String,
    prefix_index: usize,
}

impl TextStream {
    /// An empty text.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        let tokenizer = tokenizer.inner.clone();
        Self {
            tokenizer,
            ids: Vec::new(),
            prefix: String::new(),
            prefix_index: 0,
        }
    }

    /// The text that `id` completes; empty inside a character of several tokens.
    pub fn push(&mut self, id: u32) -> Result<String> {
        let text = tried("decoding token ids", || {
            step_decode_stream(
                &self.tokenizer,
                vec![id],
                false,
                &mut self.ids,
                &mut self.prefix,
                &mut self.prefix_index,
            )
        })?;
        Ok(text.unwrap_or_default())
    }

    /// What is left at the end of the tokens: an incomplete character is shown as `�`.
    pub fn finish(self) -> Result<String> {
        let text = tried("decoding token ids", || self.tokenizer.decode(&self.ids, false))?;
        Ok(text.strip_prefix(&self.prefix).unwrap_or_default().to_string())
    }
}
