//! The bytes of every token, for the grammars of constrained decoding.
//!
//! llguidance matches grammars against bytes, but a tokenizer stores tokens in its own spelling.
//! This file converts them, and marks control tokens so that no text in a reply can match them.

use super::reader::tried;
use crate::error::{Error, Result};
use crate::syntax::tags;
use llguidance::ParserFactory;
use llguidance::toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use std::fmt;
use std::sync::Arc;

/// Creates parsers that decide which tokens may come next.
pub(crate) struct Grammars {
    pub(crate) parsers: ParserFactory,
    /// Stands for the end of a reply in sets of tokens: one more than the last id of the tokenizer.
    pub(crate) end: TokenId,
}

impl fmt::Debug for Grammars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammars")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Grammars {
    /// Builds the trie of the vocabulary. Takes about a tenth of a second for a large vocabulary.
    pub(super) fn new(
        tokenizer: &Arc<tokenizers::Tokenizer>,
        spelling: Option<Spelling>,
        texts: &str,
    ) -> Result<Self> {
        let mut words = token_bytes(tokenizer, spelling, texts)?;
        let end = words.len() as TokenId;
        words.push(control("<end of the reply>"));
        let trie = TokTrie::from(&TokRxInfo::new(end + 1, end), &words);
        let mut vocabulary = Vocabulary {
            tokenizer: tokenizer.clone(),
            trie,
            canonical: true,
        };
        // A tokenizer that puts a space before the first word cannot tokenize the middle of a text.
        vocabulary.canonical = vocabulary.encode("a").is_some();
        let environment: TokEnv = Arc::new(vocabulary);
        let mut parsers = ParserFactory::new_simple(&environment)
            .map_err(|e| Error::library("reading the vocabulary for constrained decoding")(e.to_string()))?;
        parsers.quiet().limits_mut().verbose_errors = false;
        Ok(Self { parsers, end })
    }
}

/// The vocabulary as llguidance asks for it.
struct Vocabulary {
    tokenizer: Arc<tokenizers::Tokenizer>,
    trie: TokTrie,
    /// True if text tokenizes to exactly its bytes.
    canonical: bool,
}

impl Vocabulary {
    /// Returns the tokens of `text` if their bytes are exactly those of the text.
    fn encode(&self, text: &str) -> Option<Vec<TokenId>> {
        let encoding = tried("tokenizing", || self.tokenizer.encode_fast(text, false)).ok()?;
        let ids = encoding.get_ids();
        (self.trie.decode_raw(ids) == text.as_bytes()).then(|| ids.to_vec())
    }
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let greedily = |text: &str| self.trie.greedy_tokenize(text.as_bytes());
        self.trie
            .tokenize_with_greedy_fallback(bytes, |text| self.encode(text).unwrap_or_else(|| greedily(text)))
    }

    fn tokenize_is_canonical(&self) -> bool {
        self.canonical
    }
}

/// Returns the bytes of every token by its id. Control tokens are marked, so that no text matches
/// them. Special tokens that occur in `texts`, and those around thoughts, count as text because a
/// reply contains them.
fn token_bytes(
    tokenizer: &tokenizers::Tokenizer,
    spelling: Option<Spelling>,
    texts: &str,
) -> Result<Vec<Vec<u8>>> {
    let Some(decode) = spelling else {
        let problem = "constrained decoding needs the bytes of each token, but this tokenizer is neither \
            byte-level nor has byte fallback; ask this model without tools, or unconstrained";
        return Err(Error::invalid("tokenizer", problem));
    };
    // 1. Ordinary tokens, decoded from the spelling of the vocabulary.
    let vocabulary = tokenizer.get_vocab(true);
    let size = vocabulary.values().max().map_or(0, |&last| last as usize + 1);
    let mut bytes = vec![Vec::new(); size];
    for (token, &id) in &vocabulary {
        bytes[id as usize] = decode(token);
    }
    // 2. Added tokens, which are stored as plain text.
    for (id, token) in tokenizer.get_added_tokens_decoder() {
        let tag =
            [tags::THINK, tags::THINK_END].contains(&&*token.content) || texts.contains(&*token.content);
        let Some(bytes) = bytes.get_mut(id as usize) else {
            continue; // another token with the same text has taken its place
        };
        *bytes = if token.special && !tag {
            control(&token.content)
        } else {
            token.content.into_bytes()
        };
    }
    Ok(bytes)
}

/// Turns a token, as the vocabulary spells it, into its bytes.
pub(super) type Spelling = fn(&str) -> Vec<u8>;

/// Returns the decoder of the tokenizer's spelling, if that gives the bytes of each token.
pub(super) fn spelling(tokenizer: &tokenizers::Tokenizer) -> Option<Spelling> {
    let decoder = serde_json::to_string(&tokenizer.get_decoder()).unwrap_or_default();
    if decoder.contains("\"ByteLevel\"") {
        Some(byte_level)
    } else if decoder.contains("\"ByteFallback\"") {
        Some(byte_fallback)
    } else {
        None
    }
}

/// Returns the bytes of a control token, with the marker that no text contains.
fn control(name: &str) -> Vec<u8> {
    [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat()
}

/// Decodes GPT-2's spelling, in which each character stands for a byte: printable bytes for
/// themselves, the others from U+0100 on.
fn byte_level(token: &str) -> Vec<u8> {
    let printed = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let byte = |c: char| match u8::try_from(c) {
        Ok(byte) => printed(&byte).then_some(byte),
        Err(_) => (0..=255u8)
            .filter(|byte| !printed(byte))
            .nth((c as usize).checked_sub(0x100)?),
    };
    let bytes: Option<Vec<u8>> = token.chars().map(byte).collect();
    bytes.unwrap_or_else(|| token.as_bytes().to_vec())
}

/// Decodes SentencePiece's spelling: `<0x0A>` is a byte, and in all other text `▁` is a space.
fn byte_fallback(token: &str) -> Vec<u8> {
    let hex = token
        .strip_prefix("<0x")
        .and_then(|rest| rest.strip_suffix('>'))
        .and_then(|digits| u8::from_str_radix(digits, 16).ok());
    hex.map_or_else(|| token.replace('▁', " ").into_bytes(), |byte| vec![byte])
}
