//! A model's tokenizer, with the settings that are stored beside it in a model folder.

use super::reader::tried;
use super::vocabulary::{Grammars, Spelling, spelling};
use crate::error::{Error, Result};
use crate::mutex::locked;
use crate::template::ChatTemplate;
use serde_json::{Map, Value, json};
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// A model's tokenizer with the special tokens that generation and training need.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    pub(crate) inner: Arc<tokenizers::Tokenizer>,
    /// Ids of the tokens that end a reply. The first is the one that training teaches.
    pub eos_token_ids: Vec<u32>,
    /// The content of `tokenizer_config.json`, without the chat template.
    pub config: Map<String, Value>,
    /// The decoder of the vocabulary's spelling; `None` if that is not known.
    spelling: Option<Spelling>,
    /// Grammars made so far, by the texts of their call syntax.
    grammars: Arc<Mutex<Vec<Made>>>,
}

/// Grammars for replies in which calls are written with these texts.
type Made = (String, Arc<Grammars>);

impl Tokenizer {
    /// Creates a tokenizer whose replies end with one of `eos_token_ids`. Its `config` names the
    /// class that loads it in transformers, and as `eos_token` the first of these ids.
    pub fn new(mut inner: tokenizers::Tokenizer, eos_token_ids: Vec<u32>) -> Self {
        // Some files ask for padding or truncation; neither may happen to a prompt.
        inner.with_padding(None);
        let _ = inner.with_truncation(None);
        let mut config = Map::new();
        config.insert("tokenizer_class".to_string(), json!("PreTrainedTokenizerFast"));
        let eos = eos_token_ids.first().and_then(|&id| inner.id_to_token(id));
        config.extend(eos.map(|token| ("eos_token".to_string(), json!(token))));
        Self {
            spelling: spelling(&inner),
            inner: Arc::new(inner),
            eos_token_ids,
            config,
            grammars: Arc::default(),
        }
    }

    /// Returns grammars over the tokens, for replies in which calls are written with these texts.
    /// They are made at the first request.
    pub(crate) fn grammars(&self, texts: &str) -> Result<Arc<Grammars>> {
        let mut made = locked(&self.grammars);
        if let Some((_, grammars)) = made.iter().find(|(known, _)| known == texts) {
            return Ok(grammars.clone());
        }
        let grammars = Arc::new(Grammars::new(&self.inner, self.spelling, texts)?);
        made.push((texts.to_string(), grammars.clone()));
        Ok(grammars)
    }

    /// Returns the bytes of a token, which may be a part of a character. Where the spelling of the
    /// vocabulary is not known, they are those of the text that the token decodes to.
    #[cfg(feature = "serve")]
    pub(crate) fn bytes_of(&self, id: u32) -> Vec<u8> {
        let added = self.inner.get_added_vocabulary().get_added_tokens_decoder();
        match (added.get(&id), self.spelling, self.inner.id_to_token(id)) {
            (Some(added), ..) => added.content.clone().into_bytes(),
            (None, Some(decode), Some(token)) => decode(&token),
            _ => self.inner.decode(&[id], false).unwrap_or_default().into_bytes(),
        }
    }

    /// Adds the content of `tokenizer_config.json`. A chat template in it is left out, because a
    /// model has one place for it. An `eos_token` that it lacks is filled in, because templates
    /// print it.
    pub fn with_config(mut self, mut config: Map<String, Value>) -> Self {
        config.shift_remove("chat_template");
        if config.get("eos_token").is_none_or(Value::is_null) {
            config.shift_remove("eos_token");
        }
        self.config.extend(config);
        self
    }

    /// Makes the token that ends a turn in `template` the first of `eos_token_ids`. The files of a
    /// base model often name another token, at which a model tuned with the template would never
    /// stop.
    ///
    /// # Errors
    /// A template that does not render.
    pub fn stop_at_end_of_turn(&mut self, template: &ChatTemplate) -> Result<()> {
        if let Some(id) = self.token_id(&template.end_of_turn()?) {
            self.eos_token_ids.retain(|&other| other != id);
            self.eos_token_ids.insert(0, id);
        }
        Ok(())
    }

    /// Returns the content of `tokenizer.json`.
    pub fn to_json(&self) -> Result<String> {
        self.inner
            .to_string(true)
            .map_err(Error::library("writing the tokenizer"))
    }

    /// Returns the number of token ids, including added tokens.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Returns the id of a token as it is in the vocabulary, such as `<|im_end|>`.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Returns the tokens of `eos_token_ids` as text.
    pub fn eos_tokens(&self) -> Vec<String> {
        self.eos_token_ids
            .iter()
            .filter_map(|&id| self.inner.id_to_token(id))
            .collect()
    }

    /// Returns the token ids of `text`. Special tokens written in the text become their ids; none
    /// are added.
    ///
    /// # Errors
    /// The tokenizer fails on the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = tried("tokenizing", || self.inner.encode_fast(text, false))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Returns the byte range of `text` that each of its tokens covers.
    pub(crate) fn offsets(&self, text: &str) -> Result<Vec<Range<usize>>> {
        let encoding = tried("tokenizing", || self.inner.encode(text, false))?;
        Ok(encoding
            .get_offsets()
            .iter()
            .map(|&(start, end)| start..end)
            .collect())
    }

    /// Returns the text of `ids`, including special tokens.
    ///
    /// # Errors
    /// The tokenizer cannot decode the ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        tried("decoding token ids", || self.inner.decode(ids, false))
    }
}
