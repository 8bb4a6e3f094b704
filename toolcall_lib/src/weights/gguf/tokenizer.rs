//! The tokenizer in the metadata of a GGUF file.

use super::Gguf;
use super::splitting::Splitting;
use crate::error::{Error, Result};
use crate::guard::caught;
use crate::tokens::try_out;
use serde_json::{Map, Value, json};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{AddedToken, PostProcessorWrapper, Tokenizer};

/// Values of `tokenizer.ggml.token_type`.
pub(super) const NORMAL: u64 = 1;
pub(super) const CONTROL: u64 = 3;
pub(super) const USER_DEFINED: u64 = 4;
pub(super) const UNUSED: u64 = 5;

/// Makes a byte-level BPE tokenizer that gives the ids of the original `tokenizer.json`; returns it
/// with a note for the user, if there is one.
///
/// # Errors
/// Metadata that are missing or damaged, or that make the tokenizer panic.
pub(super) fn read(gguf: &Gguf) -> Result<(Tokenizer, Option<String>)> {
    let place = gguf.file.display().to_string();
    let (tokenizer, note) = caught(&place, || make(gguf))??;
    Ok((try_out(&place, tokenizer, &Value::Null)?, note))
}

fn make(gguf: &Gguf) -> Result<(Tokenizer, Option<String>)> {
    let model = gguf
        .text("tokenizer.ggml.model")?
        .ok_or_else(|| gguf.missing("tokenizer.ggml.model"))?;
    if model != "gpt2" {
        let problem = format!(
            "`{model}` tokenizers are not supported, only gpt2 (byte-level BPE); use the original model folder"
        );
        return Err(gguf.wrong("tokenizer.ggml.model", problem));
    }
    let doing = || format!("{}: making the tokenizer", gguf.file.display());
    let library = |e: tokenizers::Error| Error::library(doing())(e);
    // 1. Vocabulary, way to split text, merges.
    let tokens = tokens(gguf)?;
    let normal = tokens.iter().filter(|token| token.kind == NORMAL);
    let (splitting, note) = Splitting::read(gguf, normal.map(|token| token.text))?;
    let vocab: Vocab = tokens
        .iter()
        .filter(|token| token.kind != UNUSED)
        .map(|token| (token.text.to_string(), token.id))
        .collect();
    let bpe = BPE::builder()
        .vocab_and_merges(vocab, merges(gguf)?)
        .ignore_merges(splitting.ignore_merges);
    // 2. The pipeline: normalizer, pre-tokenizer, BPE, decoder, begin-of-text token.
    let mut tokenizer = Tokenizer::new(bpe.build().map_err(library)?);
    tokenizer.with_normalizer(splitting.normalizer).map_err(library)?;
    tokenizer.with_pre_tokenizer(Some(splitting.pre_tokenizer));
    tokenizer.with_decoder(Some(tokenizers::decoders::byte_level::ByteLevel::default()));
    tokenizer.with_post_processor(begin_of_text(gguf, &tokens)?);
    // 3. Special tokens and those of the user.
    let added = tokens
        .iter()
        .filter(|token| [CONTROL, USER_DEFINED].contains(&token.kind))
        .map(|token| AddedToken::from(token.text.to_string(), token.kind == CONTROL).normalized(false));
    tokenizer.add_tokens(added).map_err(library)?;
    Ok((tokenizer, note))
}

struct Token<'a> {
    id: u32,
    text: &'a str,
    kind: u64,
}

fn tokens(gguf: &Gguf) -> Result<Vec<Token<'_>>> {
    let texts = gguf
        .texts("tokenizer.ggml.tokens")?
        .ok_or_else(|| gguf.missing("tokenizer.ggml.tokens"))?;
    let key = "tokenizer.ggml.token_type";
    let kinds = gguf.sizes(key)?.ok_or_else(|| gguf.missing(key))?;
    if kinds.len() != texts.len() {
        return Err(gguf.wrong(
            key,
            format!("has {} entries for {} tokens", kinds.len(), texts.len()),
        ));
    }
    Ok((0..)
        .zip(texts)
        .zip(kinds)
        .map(|((id, text), kind)| Token { id, text, kind })
        .collect())
}

fn merges(gguf: &Gguf) -> Result<Vec<(String, String)>> {
    let key = "tokenizer.ggml.merges";
    let merges = gguf.texts(key)?.ok_or_else(|| gguf.missing(key))?;
    let pair = |merge: &str| {
        let (left, right) = merge.split_once(' ').ok_or_else(|| {
            gguf.wrong(
                key,
                format!(
                    "`{merge}` is not a pair; expected two tokens with a space \
                between them"
                ),
            )
        })?;
        Ok((left.to_string(), right.to_string()))
    };
    merges.into_iter().map(pair).collect()
}

/// Puts the begin-of-text token in front when special tokens are asked for, if the model wants it.
fn begin_of_text(gguf: &Gguf, tokens: &[Token]) -> Result<Option<PostProcessorWrapper>> {
    let wanted = gguf.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(false);
    let Some(bos) = special(gguf, "bos", tokens)?.filter(|_| wanted) else {
        return Ok(None);
    };
    let (begin, text) = (
        |kind| json!({"SpecialToken": {"id": bos.text, "type_id": kind}}),
        |id, kind| json!({"Sequence": {"id": id, "type_id": kind}}),
    );
    let processor = json!({
        "type": "TemplateProcessing",
        "single": [begin(0), text("A", 0)],
        "pair": [begin(0), text("A", 0), begin(1), text("B", 1)],
        "special_tokens": {bos.text: {"id": bos.text, "ids": [bos.id], "tokens": [bos.text]}},
    });
    serde_json::from_value(processor)
        .map(Some)
        .map_err(Error::library("making the post-processor"))
}

/// Returns the token that `tokenizer.ggml.NAME_token_id` names.
fn special<'a, 'b>(gguf: &Gguf, name: &str, tokens: &'b [Token<'a>]) -> Result<Option<&'b Token<'a>>> {
    let key = format!("tokenizer.ggml.{name}_token_id");
    let Some(id) = gguf.size(&key)? else {
        return Ok(None);
    };
    let token = usize::try_from(id).ok().and_then(|id| tokens.get(id));
    token
        .map(Some)
        .ok_or_else(|| gguf.wrong(&key, format!("{id} is not in the vocabulary")))
}

/// Returns the tokens that end a reply; the end of a turn comes before the end of a text.
pub(super) fn eos_token_ids(gguf: &Gguf) -> Result<Vec<u32>> {
    let tokens = tokens(gguf)?;
    let mut ids = Vec::new();
    for name in ["eot", "eos"] {
        ids.extend(
            special(gguf, name, &tokens)?
                .map(|token| token.id)
                .filter(|id| !ids.contains(id)),
        );
    }
    if ids.is_empty() {
        Err(gguf.missing("tokenizer.ggml.eos_token_id"))
    } else {
        Ok(ids)
    }
}

/// Returns the content of a `tokenizer_config.json`.
pub(super) fn settings(gguf: &Gguf) -> Result<Map<String, Value>> {
    let tokens = tokens(gguf)?;
    let mut settings = Map::new();
    settings.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
    settings.insert("clean_up_tokenization_spaces".into(), false.into());
    for (field, name) in [
        ("bos_token", "bos"),
        ("eos_token", "eos"),
        ("unk_token", "unknown"),
        ("pad_token", "padding"),
    ] {
        if let Some(token) = special(gguf, name, &tokens)? {
            settings.insert(field.into(), token.text.into());
        }
    }
    Ok(settings)
}
