//! A model's tokenizer with what stands beside it in a model folder.

use super::reader::tried;
use super::stream::TextStream;
use super::vocabulary::Grammars;
use crate::error::{Error, Result};
use crate::template::ChatTemplate;
use serde_json::{Map, Value, json};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A model's tokenizer with the special tokens that generation and training need.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    pub(crate) inner: Arc<tokenizers::Tokenizer>,
    /// Tokens that end a reply; the first is the one that training teaches.
    pub eos_token_ids: Vec<u32>,
    /// The content of `tokenizer_config.json`, without the chat template.
    pub config: Map<String, Value>,
    grammars: Arc<Mutex<Vec<Made>>>,
}

/// Grammars for replies in which calls are written with these texts.
type Made = (String, Arc<Grammars>);

impl Tokenizer {
    /// A tokenizer whose replies end with one of `eos_token_ids`. Its `config` says which class loads it in
    /// transformers, and its `eos_token`, the first of them.
    pub fn new(mut inner: tokenizers::Tokenizer, eos_token_ids: Vec<u32>) -> Self {
        inner.with_padding(None); // some files ask for padding or a cut; neither may happen to a prompt
        let _ = inner.with_truncation(None);
        let mut config = Map::new();
        config.insert("tokenizer_class".to_string(), json!("PreTrainedTokenizerFast"));
        let eos = eos_token_ids.first().and_then(|&id| inner.id_to_token(id));
        config.extend(eos.map(|token| ("eos_token".to_string(), json!(token))));
        Self {
            inner: Arc::new(inner),
            eos_token_ids,
            config,
            grammars: Arc::default(),
        }
    }

    /// Grammars over the tokens, for replies in which calls are written with these texts; made when first asked for.
    pub(crate) fn grammars(&self, texts: &str) -> Result<Arc<Grammars>> {
        let mut made = self.grammars.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, grammars)) = made.iter().find(|(known, _)| known == texts) {
            return Ok(grammars.clone());
        }
        let grammars = Arc::new(Grammars::new(self, texts)?);
        made.push((texts.to_string(), grammars.clone()));
        Ok(grammars)
    }

    /// The same with the content of `tokenizer_config.json`. A chat template in it is left out, because a
    /// model has one place for it; an `eos_token` that it lacks is filled in, because templates print it.
    pub fn with_config(mut self, mut config: Map<String, Value>) -> Self {
        config.shift_remove("chat_template");
        if config.get("eos_token").is_none_or(Value::is_null) {
            config.shift_remove("eos_token");
        }
        self.config.extend(config);
        self
    }

    /// Makes the token that ends a turn in `template` the first of `eos_token_ids`. The files of a base model
    /// often name another one, at which a model that was tuned with the template would never stop.
    pub fn stop_at_end_of_turn(&mut self, template: &ChatTemplate) -> Result<()> {
        if let Some(id) = self.token_id(&template.end_of_turn()?) {
            self.eos_token_ids.retain(|&other| other != id);
            self.eos_token_ids.insert(0, id);
        }
        Ok(())
    }

    /// The content of `tokenizer.json`.
    pub fn to_json(&self) -> Result<String> {
        self.inner
            .to_string(true)
            .map_err(Error::library("writing the tokenizer"))
    }

    /// Number of token ids, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The id of a token as it stands in the vocabulary, such as `<|im_end|>`.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The tokens of `eos_token_ids` as text.
    pub fn eos_tokens(&self) -> Vec<String> {
        self.eos_token_ids
            .iter()
            .filter_map(|&id| self.inner.id_to_token(id))
            .collect()
    }

    /// Token ids of `text`; special tokens written in it become their ids, none are added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = tried("tokenizing", || self.inner.encode_fast(text, false))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The bytes of `text` that each of its tokens stands for.
    pub(crate) fn offsets(&self, text: &str) -> Result<Vec<Range<usize>>> {
        let encoding = tried("tokenizing", || self.inner.encode(text, false))?;
        Ok(encoding
            .get_offsets()
            .iter()
            .map(|&(start, end)| start..end)
            .collect())
    }

    /// Text of `ids`, special tokens included.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        tried("decoding token ids", || self.inner.decode(ids, false))
    }

    /// The text of each token. A character of several tokens stands at the last of them, the others are
    /// empty; together the pieces are the text of `ids`.
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
