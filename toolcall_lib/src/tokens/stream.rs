//! Tokens to text as they come, without breaking a character that takes several tokens.

use super::Tokenizer;
use super::reader::tried;
use crate::error::Result;
use std::sync::Arc;
use tokenizers::tokenizer::step_decode_stream;

/// Turns tokens into text as they are generated.
#[derive(Clone, Debug)]
pub struct TextStream {
    tokenizer: Arc<tokenizers::Tokenizer>,
    /// Tokens whose text is still needed. They include the tokens of the last piece, because
    /// decoding depends on the tokens before.
    ids: Vec<u32>,
    prefix: String,
    prefix_index: usize,
}

impl TextStream {
    /// Creates a stream at the beginning of a text.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        let tokenizer = tokenizer.inner.clone();
        Self {
            tokenizer,
            ids: Vec::new(),
            prefix: String::new(),
            prefix_index: 0,
        }
    }

    /// Adds a token and returns the text that it completes; empty inside a character of several
    /// tokens.
    ///
    /// # Errors
    /// The tokenizer cannot decode the id.
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

    /// Returns the rest of the text. An incomplete character is shown as `�`.
    ///
    /// # Errors
    /// The tokenizer cannot decode the ids.
    pub fn finish(self) -> Result<String> {
        let text = tried("decoding token ids", || self.tokenizer.decode(&self.ids, false))?;
        Ok(text.strip_prefix(&self.prefix).unwrap_or_default().to_string())
    }
}

impl Tokenizer {
    /// Returns the text of each token. A character of several tokens is at the last of them, and
    /// the others are empty; joined, the pieces are the text of `ids`.
    ///
    /// # Errors
    /// The tokenizer cannot decode the ids.
    pub fn pieces(&self, ids: &[u32]) -> Result<Vec<String>> {
        let mut stream = TextStream::new(self);
        let mut pieces = ids
            .iter()
            .map(|&id| stream.push(id))
            .collect::<Result<Vec<_>>>()?;
        let rest = stream.finish()?;
        if let Some(last) = pieces.last_mut() {
            last.push_str(&rest);
        }
        Ok(pieces)
    }
}
