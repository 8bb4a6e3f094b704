//! `tokenizer.json` of strangers. The crate that reads it panics on some files, and some steps in
//! it let a text grow without end.

use crate::error::{Error, Result};
use crate::guard::{bounded, caught};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use tokenizers::Tokenizer;

/// Bytes of a file; those of the largest vocabularies have 40 MB.
const LARGEST: u64 = 512 << 20;
/// Id of a token; what is told of the tokens is as long as the largest.
const LARGEST_ID: u32 = 1 << 24;
/// Times that normalizing or decoding may lengthen a text.
const GROWTH: usize = 256;
/// Bytes that may be put in front of a text.
const LONGEST_PREFIX: usize = 1 << 10;
/// Characters of a text that is tried.
const PROBE: usize = 1_000;

/// The steps that change a text; the vocabulary is passed over.
#[derive(Deserialize)]
struct Steps {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
}

/// Reads `tokenizer.json`, and tries it.
///
/// # Errors
/// A file that is cut short or damaged, that makes the tokenizer panic, or that makes a text grow or
/// take time without end.
pub(crate) fn read_tokenizer(file: &Path) -> Result<Tokenizer> {
    let place = file.display().to_string();
    let size = std::fs::metadata(file).map_err(Error::io(file))?.len();
    if size > LARGEST {
        return Err(Error::invalid(
            place,
            format!("{size} bytes are too many; expected at most {LARGEST}"),
        ));
    }
    let text = std::fs::read(file).map_err(Error::io(file))?;
    let steps: Steps = serde_json::from_slice(&text).map_err(|e| Error::invalid(&place, e))?;
    check(&steps).map_err(|(field, problem)| Error::invalid(format!("{place}: {field}"), problem))?;
    let doing = place.clone();
    let read = move || {
        let tokenizer = Tokenizer::from_bytes(text).map_err(|e| Error::invalid(&doing, e))?;
        let largest = tokenizer.get_vocab(true).into_values().max();
        match largest.filter(|id| *id > LARGEST_ID) {
            Some(id) => {
                let problem = format!("the id {id} is that of no token; expected at most {LARGEST_ID}");
                Err(Error::invalid(format!("{doing}: vocab"), problem))
            }
            None => Ok(tokenizer),
        }
    };
    let tokenizer = bounded(&place, read)??;
    try_out(&place, tokenizer, &steps.pre_tokenizer)
}

/// Splits, encodes and decodes a few texts.
///
/// # Errors
/// A panic, and patterns that take too long.
pub(crate) fn try_out(place: &str, tokenizer: Tokenizer, pre_tokenizer: &Value) -> Result<Tokenizer> {
    let probes = probes(pre_tokenizer);
    let work = move || {
        for probe in probes {
            if let Ok(encoding) = tokenizer.encode_fast(probe, false) {
                tokenizer.decode(encoding.get_ids(), false).ok(); // what it cannot do is told when it is asked for
            }
        }
        tokenizer
    };
    bounded(place, work)
}

/// Does what the tokenizers crate does on a text; a panic is an error.
pub(super) fn tried<T>(doing: &str, work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    caught(doing, work)?.map_err(Error::library(doing))
}

/// Texts on which a pattern that backtracks takes long: one character again and again, of each kind
/// and of those that stand in the pattern, with another one at the end.
fn probes(pre_tokenizer: &Value) -> Vec<String> {
    let mut letters: Vec<char> = vec!['a', 'A', '0', ' ', '\n', '\t', '-', '"', '漢', '\u{301}'];
    for c in pre_tokenizer.to_string().chars() {
        if !letters.contains(&c) && letters.len() < 32 {
            letters.push(c);
        }
    }
    let repeated = |c: &char| c.to_string().repeat(PROBE) + "\u{1}";
    let mixed =
        "It's 12:30, isn't it?\n\n  \t<tool_call>{\"a\": [1.5e3, \"ä\"]}</tool_call> 漢字 👍🏽".to_string();
    letters.iter().map(repeated).chain([mixed]).collect()
}

type Problem = (String, String);

fn check(steps: &Steps) -> std::result::Result<(), Problem> {
    growth(&steps.normalizer, "normalizer")?;
    growth(&steps.decoder, "decoder")?;
    patterns(&steps.pre_tokenizer, "pre_tokenizer")
}

/// How many times longer a step may make a text at most.
fn growth(step: &Value, place: &str) -> std::result::Result<usize, Problem> {
    let wrong = |problem: String| Err((place.to_string(), problem));
    let inner = ["normalizers", "decoders"]
        .iter()
        .find_map(|name| step[name].as_array());
    let own = match step["type"].as_str() {
        Some("Precompiled") => longest_replacement(&step["precompiled_charsmap"]).map_or_else(wrong, Ok)?,
        Some("Prepend")
            if step["prepend"]
                .as_str()
                .is_some_and(|text| text.len() > LONGEST_PREFIX) =>
        {
            return wrong(format!(
                "puts more than {LONGEST_PREFIX} bytes in front of a text"
            ));
        }
        _ => replaced(step),
    };
    patterns(step, place)?;
    let mut all = own;
    for (i, step) in inner.into_iter().flatten().enumerate() {
        all = all.saturating_mul(growth(step, &format!("{place}[{i}]"))?);
    }
    match all {
        0..=GROWTH => Ok(all),
        _ => wrong(format!(
            "makes a text up to {all} times as long; expected at most {GROWTH} times"
        )),
    }
}

/// The growth of a step that replaces a pattern.
fn replaced(step: &Value) -> usize {
    let Some(content) = step["content"].as_str().filter(|_| !step["pattern"].is_null()) else {
        return 1;
    };
    match step["pattern"]["String"].as_str() {
        Some(text) if !text.is_empty() => content.len().div_ceil(text.len()).max(1),
        _ => content.len() + 1, // a regular expression may match a single byte, or none
    }
}

/// Refuses patterns that are longer than any needs to be.
fn patterns(step: &Value, place: &str) -> std::result::Result<(), Problem> {
    const LONGEST: usize = 1 << 14;
    match step["pattern"]["Regex"].as_str().map(str::len) {
        Some(len) if len > LONGEST => {
            let problem = format!("its pattern has {len} bytes; expected at most {LONGEST}");
            Err((place.to_string(), problem))
        }
        _ => Ok(()),
    }
}

/// The longest text that a map of characters of SentencePiece puts in the place of another. It
/// holds the length of a table, the table, and texts that end with a zero.
fn longest_replacement(map: &Value) -> std::result::Result<usize, String> {
    let damaged = || "precompiled_charsmap is damaged".to_string();
    let bytes = STANDARD
        .decode(map.as_str().unwrap_or_default())
        .map_err(|_| damaged())?;
    let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    let texts = rest
        .get(u32::from_le_bytes(*len) as usize..)
        .ok_or_else(damaged)?;
    let longest = texts.split(|&byte| byte == 0).map(<[u8]>::len).max();
    Ok(longest.unwrap_or(0).max(1))
}
