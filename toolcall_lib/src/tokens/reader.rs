//! Reads a `tokenizer.json` that comes from an unknown source.
//!
//! The `tokenizers` crate panics on some files, and some of its steps let a text grow without end.
//! So the file is checked before it is loaded (size, growth of its steps, length of patterns),
//! loaded under a guard, and tried on a few texts.

use crate::error::{Error, Problem, Result};
use crate::guard::{bounded, caught};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use tokenizers::Tokenizer;

/// Largest file in bytes; the files of the largest vocabularies have 40 MB.
const LARGEST: u64 = 512 << 20;
/// Largest token id. Tables over the tokens are as long as the largest id.
const LARGEST_ID: u32 = 1 << 24;
/// Maximum factor by which normalizing or decoding may lengthen a text.
const GROWTH: usize = 256;
/// Maximum number of bytes that may be put in front of a text.
const LONGEST_PREFIX: usize = 1 << 10;
/// Number of characters of a probe text.
const PROBE: usize = 1_000;

/// The steps of a tokenizer that change a text. The vocabulary is skipped.
#[derive(Deserialize)]
struct Steps {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
}

/// Reads `tokenizer.json` and tries it on a few texts.
///
/// # Errors
/// A file that is cut short, damaged or too large, that makes the tokenizer panic, or that makes a
/// text grow or take time without end.
pub(crate) fn read_tokenizer(file: &Path) -> Result<Tokenizer> {
    let place = file.display().to_string();
    // 1. Check the size and the steps before the tokenizers crate sees the file.
    let size = std::fs::metadata(file).map_err(Error::io(file))?.len();
    if size > LARGEST {
        return Err(Error::invalid(
            place,
            format!("the file has {size} bytes; expected at most {LARGEST}"),
        ));
    }
    let text = std::fs::read(file).map_err(Error::io(file))?;
    let steps: Steps = serde_json::from_slice(&text).map_err(|e| Error::invalid(&place, e))?;
    check(&steps).map_err(|(field, problem)| Error::invalid(format!("{place}: {field}"), problem))?;
    // 2. Load it under a guard, and check the largest id.
    let doing = place.clone();
    let read = move || {
        let tokenizer = Tokenizer::from_bytes(text).map_err(|e| Error::invalid(&doing, e))?;
        let largest = tokenizer.get_vocab(true).into_values().max();
        match largest.filter(|id| *id > LARGEST_ID) {
            Some(id) => {
                let problem = format!("the token id {id} is too large; expected at most {LARGEST_ID}");
                Err(Error::invalid(format!("{doing}: vocab"), problem))
            }
            None => Ok(tokenizer),
        }
    };
    let tokenizer = bounded(&place, read)??;
    // 3. Try it.
    try_out(&place, tokenizer, &steps.pre_tokenizer)
}

/// Splits, encodes and decodes a few texts.
///
/// # Errors
/// A panic, or patterns that take too long.
pub(crate) fn try_out(place: &str, tokenizer: Tokenizer, pre_tokenizer: &Value) -> Result<Tokenizer> {
    let probes = probes(pre_tokenizer);
    let work = move || {
        for probe in probes {
            if let Ok(encoding) = tokenizer.encode_fast(probe, false) {
                // A text that cannot be encoded or decoded is reported when it is needed.
                tokenizer.decode(encoding.get_ids(), false).ok();
            }
        }
        tokenizer
    };
    bounded(place, work)
}

/// Calls a function of the `tokenizers` crate; a panic becomes an error.
pub(super) fn tried<T>(doing: &str, work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    caught(doing, work)?.map_err(Error::library(doing))
}

/// Builds texts on which a backtracking pattern takes long: one character many times, with another
/// one at the end. Covers each kind of character and the characters of the pattern.
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

/// Checks all steps for growth and for patterns that are too long.
fn check(steps: &Steps) -> std::result::Result<(), Problem> {
    growth(&steps.normalizer, "normalizer")?;
    growth(&steps.decoder, "decoder")?;
    patterns(&steps.pre_tokenizer, "pre_tokenizer")
}

/// Returns the largest factor by which a step may lengthen a text; refuses more than [`GROWTH`].
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
    // Steps inside a sequence multiply.
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

/// Returns the growth of a step that replaces a pattern by `content`; 1 for other steps.
fn replaced(step: &Value) -> usize {
    let Some(content) = step["content"].as_str().filter(|_| !step["pattern"].is_null()) else {
        return 1;
    };
    match step["pattern"]["String"].as_str() {
        Some(text) if !text.is_empty() => content.len().div_ceil(text.len()).max(1),
        _ => content.len() + 1, // a regular expression may match one byte, or none
    }
}

/// Refuses regular expressions that are longer than any needs to be.
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

/// Returns the length of the longest replacement in a SentencePiece character map. The map holds
/// the length of a table, the table, and texts that end with a zero.
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
