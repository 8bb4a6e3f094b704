//! The split of text into words before the merges (`tokenizer.ggml.pre`), as in the original
//! `tokenizer.json` files.

use super::Gguf;
use crate::error::{Error, Result};
use serde_json::{Value, json};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper};

const KEY: &str = "tokenizer.ggml.pre";

/// Ways to split text, each with all the names that llama.cpp has for it; files are written with
/// the first name.
const NAMES: [(&str, &[&str]); 6] = [
    (
        "gpt-2",
        &["default", "phi-2", "gigachat", "mellum", "exaone4", "roberta-bpe"],
    ),
    ("smollm", &["starcoder", "refact", "codeshell"]),
    ("qwen2", &["deepseek-r1-qwen", "megrez", "kormo", "grok-2"]),
    (
        "llama-bpe",
        &[
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
        ],
    ),
    ("tekken", &[]),
    ("gpt-4o", &["llama4"]),
];

const CONTRACTIONS: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const SIGNS_AND_SPACES: &str = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Like `SIGNS_AND_SPACES`, with `/` at the end of a run of punctuation.
const SIGNS_WITH_SLASH: &str = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// A word ends before a capital letter that follows a lower-case one.
const CAMEL_WORDS: [&str; 2] = [
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
];

/// The steps before the merges.
pub(super) struct Splitting {
    pub normalizer: Option<NormalizerWrapper>,
    pub pre_tokenizer: PreTokenizerWrapper,
    pub ignore_merges: bool,
}

impl Splitting {
    /// Returns the splitting of a file with these tokens, and a note for the user if it had to be
    /// guessed.
    pub fn read<'a>(gguf: &Gguf, tokens: impl Iterator<Item = &'a str>) -> Result<(Self, Option<String>)> {
        // 1. The way that the file names, or the one that its vocabulary suggests.
        let given = gguf.text(KEY)?;
        let name = match given {
            Some(name) => known(name).ok_or_else(|| {
                let all = NAMES
                    .iter()
                    .flat_map(|(name, others)| std::iter::once(name).chain(*others));
                let all: Vec<&str> = all.copied().collect();
                gguf.wrong(
                    KEY,
                    format!("`{name}` is not supported; supported are {}", all.join(", ")),
                )
            })?,
            None => guess(tokens),
        };
        // 2. A note for a guess.
        let note = given.is_none().then(|| {
            format!(
                "{KEY} is missing in {}: text is split into words as `{name}` does, a guess from the \
                    vocabulary; a file that names its pre-tokenizer is safer",
                gguf.file.display()
            )
        });
        let steps = json!({"type": "Sequence", "pretokenizers": steps(name)});
        // 3. Normalizer, pre-tokenizer, and the rule of Llama 3 and Mistral that a word in the
        // vocabulary is one token, without merges.
        let splitting = Self {
            normalizer: (given == Some("qwen2") || given.is_none() && name == "qwen2")
                .then(|| tokenizers::normalizers::NFC.into()),
            pre_tokenizer: serde_json::from_value(steps)
                .map_err(Error::library("making the pre-tokenizer"))?,
            ignore_merges: ["llama-bpe", "tekken"].contains(&name),
        };
        Ok((splitting, note))
    }
}

/// Returns the first name of a way to split text.
fn known(name: &str) -> Option<&'static str> {
    NAMES
        .iter()
        .find(|(first, others)| *first == name || others.contains(&name))
        .map(|(first, _)| *first)
}

/// Returns all ways that can be written to a file.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

/// Returns the pre-tokenizer steps of a way to split text.
pub(super) fn steps(name: &str) -> Vec<Value> {
    // The building blocks of `tokenizers`: bytes as characters, and a split by a regular
    // expression.
    let bytes = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    let pattern = |parts: &[&str]| json!({"type": "Split", "pattern": {"Regex": parts.join("|")}, "behavior": "Isolated", "invert": false});
    let words = r"[^\r\n\p{L}\p{N}]?\p{L}+";
    let [small, capital] = CAMEL_WORDS;
    match name {
        "smollm" => vec![json!({"type": "Digits", "individual_digits": true}), bytes(true)],
        "qwen2" => vec![
            pattern(&[CONTRACTIONS, words, r"\p{N}", SIGNS_AND_SPACES]),
            bytes(false),
        ],
        "llama-bpe" => vec![
            pattern(&[CONTRACTIONS, words, r"\p{N}{1,3}", SIGNS_AND_SPACES]),
            bytes(false),
        ],
        "tekken" => vec![
            pattern(&[small, capital, r"\p{N}", SIGNS_WITH_SLASH]),
            bytes(false),
        ],
        "gpt-4o" => {
            let [small, capital] = [small, capital].map(|words| format!("{words}{CONTRACTIONS}?"));
            vec![
                pattern(&[&small, &capital, r"\p{N}{1,3}", SIGNS_WITH_SLASH]),
                bytes(false),
            ]
        }
        _ => vec![bytes(true)],
    }
}

/// Guesses the way to split text that gave these tokens: no token reaches over a split.
fn guess<'a>(tokens: impl Iterator<Item = &'a str>) -> &'static str {
    /// Fewest tokens that show it.
    const FEWEST: usize = 1000;
    let (mut count, mut digits, mut sign_and_word, mut camel) = (0, 0, false, false);
    for token in tokens {
        count += 1;
        // Evidence for a way: the longest number, punctuation joined to a word, and a capital
        // inside a word.
        let word = token.strip_prefix('Ġ').unwrap_or(token);
        if word.bytes().all(|byte| byte.is_ascii_digit()) {
            digits = digits.max(word.len());
        }
        let letters = |word: &str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        let sign = token
            .as_bytes()
            .first()
            .is_some_and(|byte| byte.is_ascii_punctuation() && *byte != b'\'');
        sign_and_word |= sign && letters(&token[1..]);
        camel |= letters(word)
            && word
                .as_bytes()
                .windows(2)
                .any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
    }
    match (sign_and_word, digits) {
        _ if count < FEWEST => "gpt-2",
        (true, 0 | 1) if camel => "qwen2",
        (true, 0 | 1) => "tekken",
        (true, _) if camel => "llama-bpe",
        (true, _) => "gpt-4o",
        (false, 0 | 1) => "smollm",
        (false, _) => "gpt-2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(telling: &[&'static str]) -> &'static str {
        let many: Vec<String> = (0..2000).map(|i| format!("Ġw{i}x")).collect();
        guess(many.iter().map(String::as_str).chain(telling.iter().copied()))
    }

    #[test]
    fn the_vocabulary_shows_how_text_was_cut() {
        assert_eq!(guessed(&["Ġ2023", "'re"]), "gpt-2");
        assert_eq!(guessed(&["7", "'re"]), "smollm");
        assert_eq!(guessed(&["7", "(self", "getName"]), "qwen2");
        assert_eq!(guessed(&["777", "(self", "getName"]), "llama-bpe");
        assert_eq!(guessed(&["7", "(self"]), "tekken");
        assert_eq!(guessed(&["777", "(self"]), "gpt-4o");
        assert_eq!(guess(["(self"].into_iter()), "gpt-2", "too few tokens to tell");
    }

    #[test]
    fn all_names_of_a_way_are_known() {
        for (name, first) in [
            ("deepseek-r1-qwen", "qwen2"),
            ("llama3", "llama-bpe"),
            ("llama-v3", "llama-bpe"),
            ("falcon3", "llama-bpe"),
            ("tekken", "tekken"),
            ("default", "gpt-2"),
        ] {
            assert_eq!(known(name), Some(first));
        }
        assert_eq!(known("bloom"), None);
    }
}
