//! Writing a tokenizer as the metadata of a GGUF file.

use super::splitting::{names, steps};
use super::tokenizer::{CONTROL, NORMAL, UNUSED, USER_DEFINED};
use crate::error::{Error, Result};
use crate::template::token_text;
use crate::tokens::Tokenizer;
use candle_core::quantized::gguf_file::Value as Metadata;
use serde_json::{Value, from_str};
use std::collections::BTreeMap;

/// Returns tokens, their kinds, merges, and the way to split text; as many tokens as the model has
/// embeddings.
///
/// # Errors
/// The tokenizer is not a byte-level BPE, or llama.cpp has no name for its way to split text.
pub(super) fn metadata(tokenizer: &Tokenizer, vocab_size: usize) -> Result<Vec<(String, Metadata)>> {
    // 1. Refuse tokenizers that llama.cpp does not have.
    let json: Value = from_str(&tokenizer.to_json()?).map_err(Error::library("reading the tokenizer"))?;
    let refused = |problem: &str| Error::invalid("tokenizer", format!("{problem}; save a folder instead"));
    if json["model"]["type"] != "BPE" {
        return Err(refused("only byte-level BPE can be written to a GGUF file"));
    }
    let pre = pre_tokenizer(&json).ok_or_else(|| refused("llama.cpp has no name for its pre-tokenizer"))?;
    // 2. Vocabulary and merges.
    let (texts, kinds) = tokens(&json, vocab_size);
    let merges = json["model"]["merges"]
        .as_array()
        .into_iter()
        .flatten()
        .map(merge);
    let text = |text: &str| Metadata::String(text.to_string());
    let list = |texts: Vec<String>| Metadata::Array(texts.into_iter().map(Metadata::String).collect());
    let kinds = kinds.into_iter().map(|kind| Metadata::I32(kind as i32)).collect();
    let mut entries = vec![
        ("model", text("gpt2")),
        ("pre", text(pre)),
        ("tokens", list(texts)),
        ("token_type", Metadata::Array(kinds)),
        ("merges", list(merges.collect())),
        ("add_bos_token", Metadata::Bool(begins(tokenizer)?)),
    ];
    // 3. Special tokens.
    let named = |name: &str| tokenizer.token_id(token_text(tokenizer.config.get(name)?)?);
    // The end token that the template prints, and another one.
    let ends = &tokenizer.eos_token_ids;
    let eos = named("eos_token").or(ends.first().copied());
    let other = ends.iter().copied().find(|&id| Some(id) != eos);
    let special = [
        ("bos_token_id", named("bos_token")),
        ("eot_token_id", other),
        ("eos_token_id", eos),
        ("unknown_token_id", named("unk_token")),
        ("padding_token_id", named("pad_token")),
    ];
    entries.extend(
        special
            .into_iter()
            .filter_map(|(key, id)| Some((key, Metadata::U32(id?)))),
    );
    let entry = |(key, value)| (format!("tokenizer.ggml.{key}"), value);
    Ok(entries.into_iter().map(entry).collect())
}

/// Returns the name under which llama.cpp knows the pre-tokenizer.
fn pre_tokenizer(json: &Value) -> Option<&'static str> {
    let ours = &json["pre_tokenizer"];
    let ours = match ours["pretokenizers"].as_array() {
        Some(steps) => steps.clone(),
        None => vec![ours.clone()],
    };
    names().find(|name| {
        let steps = steps(name);
        steps.len() == ours.len() && steps.iter().zip(&ours).all(|(a, b)| same(a, b))
    })
}

/// Returns true if two steps split text in the same way; they may treat offsets into the text
/// differently.
fn same(a: &Value, b: &Value) -> bool {
    let fields = |step: &Value| -> BTreeMap<String, Value> {
        let fields = step.as_object().cloned().unwrap_or_default();
        fields
            .into_iter()
            .filter(|(key, _)| key != "trim_offsets")
            .collect()
    };
    fields(a) == fields(b)
}

/// Returns each token's text and kind, by its id; unused ids get a placeholder.
fn tokens(json: &Value, vocab_size: usize) -> (Vec<String>, Vec<u64>) {
    let mut texts: Vec<String> = (0..vocab_size).map(|id| format!("[PAD{id}]")).collect();
    let mut kinds = vec![UNUSED; vocab_size];
    let mut put = |id: Option<u64>, text: &str, kind| {
        let id = id.and_then(|id| usize::try_from(id).ok());
        if let Some(id) = id.filter(|&id| id < vocab_size) {
            (texts[id], kinds[id]) = (text.to_string(), kind);
        }
    };
    for (text, id) in json["model"]["vocab"].as_object().into_iter().flatten() {
        put(id.as_u64(), text, NORMAL);
    }
    for token in json["added_tokens"].as_array().into_iter().flatten() {
        let kind = if token["special"] == true {
            CONTROL
        } else {
            USER_DEFINED
        };
        put(
            token["id"].as_u64(),
            token["content"].as_str().unwrap_or_default(),
            kind,
        );
    }
    (texts, kinds)
}

/// Returns `left right`; older files have that as one string.
fn merge(merge: &Value) -> String {
    match merge.as_array() {
        Some(pair) => pair
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" "),
        None => merge.as_str().unwrap_or_default().to_string(),
    }
}

/// Returns true if the tokenizer puts a token in front of a text.
fn begins(tokenizer: &Tokenizer) -> Result<bool> {
    let encode = |special| {
        let encoding = tokenizer.inner.encode_fast("a", special);
        encoding.map(|encoding| encoding.get_ids().first().copied())
    };
    let both = encode(true).and_then(|with| Ok(with != encode(false)?));
    both.map_err(Error::library("tokenizing"))
}
