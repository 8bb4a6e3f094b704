//! Tokens that end a reply, as the files of a model folder name them.

use crate::error::{Error, Result};
use crate::files::names;
use crate::template::token_text;
use serde_json::{Map, Value};
use std::path::Path;
use tokenizers::Tokenizer;

/// Tokens that end a reply, and notes on those that cannot.
#[derive(Default)]
pub(super) struct Ends {
    /// Their ids, each once. The tokenizer's own end token comes first, because the template ends a
    /// turn with it.
    pub ids: Vec<u32>,
    pub notes: Vec<String>,
}

impl Ends {
    /// Begins with the tokenizer's own end token, which `config`, a file of `folder`, names.
    pub fn of_tokenizer(tokenizer: &Tokenizer, config: &Map<String, Value>, folder: &Path) -> Self {
        let mut ends = Self::default();
        let Some(token) = config.get("eos_token").and_then(token_text) else {
            return ends;
        };
        match tokenizer.token_to_id(token) {
            Some(id) => ends.ids.push(id),
            None => ends.notes.push(format!(
                "{}: eos_token `{token}` is not in the vocabulary, so it ends no reply",
                folder.join(names::TOKENIZER_CONFIG).display()
            )),
        }
        ends
    }

    /// Adds those that `config`, which is `file`, names: a number or a list.
    pub fn add_named(&mut self, config: &Map<String, Value>, file: &Path) -> Result<()> {
        let several = match config.get("eos_token_id").unwrap_or(&Value::Null) {
            Value::Null => &[],
            Value::Array(several) => several.as_slice(),
            one => std::slice::from_ref(one),
        };
        for id in several {
            let whole = id.as_u64().and_then(|id| u32::try_from(id).ok());
            let wrong =
                || format!("eos_token_id: found {id}, expected the number of a token, or a list of them");
            let whole = whole.ok_or_else(|| Error::invalid(file.display(), wrong()))?;
            if !self.ids.contains(&whole) {
                self.ids.push(whole);
            }
        }
        Ok(())
    }

    /// Leaves out those that a model with `size` tokens does not have.
    pub fn within(mut self, size: usize, folder: &Path) -> Self {
        let is_there = |id: &u32| (*id as usize) < size;
        let others = self.ids.iter().filter(|id| !is_there(id));
        self.notes.extend(others.map(|id| {
            format!(
                "{}: eos_token_id {id} ends no reply, because the model has only {size} tokens",
                folder.display()
            )
        }));
        self.ids.retain(is_there);
        self
    }
}
