//! Words of names and sentences.

use crate::synthetic::lists::Lists;
use std::collections::BTreeSet;

const EMPTY_WORDS: [&str; 21] = [
    "the", "a", "an", "of", "to", "in", "is", "for", "on", "it", "and", "or", "by", "with", "from", "as",
    "name", "which", "at", "that", "be",
];

/// The words of a name or a sentence that say what it is about.
pub(super) fn words(text: &str) -> BTreeSet<String> {
    let mut spaced = String::new();
    let mut last_small = false;
    for c in text.chars() {
        if last_small && c.is_uppercase() {
            spaced.push(' ');
        }
        last_small = c.is_lowercase();
        spaced.push(if c.is_alphanumeric() { c } else { ' ' });
    }
    spaced
        .split_whitespace()
        .map(str::to_lowercase)
        .filter(|word| !EMPTY_WORDS.contains(&word.as_str()))
        .collect()
}

/// The argument in words: `partySize`, `party_size` → `party size`.
pub(super) fn spoken(name: &str) -> String {
    let mut text = String::new();
    let mut last_small = false;
    for c in name.chars() {
        if last_small && c.is_uppercase() {
            text.push(' ');
        }
        last_small = c.is_lowercase();
        match c.is_alphanumeric() {
            true => text.extend(c.to_lowercase()),
            false => text.push(' '),
        }
    }
    text.trim().to_string()
}

/// `Books a table` → `Book a table`; signs of the grammar are left out.
pub(super) fn imperative(lists: &Lists, sentence: &str) -> String {
    let plain: String = sentence.chars().filter(|c| !"()[]{}|\\".contains(*c)).collect();
    let (verb, rest) = plain.split_once(' ').unwrap_or((&plain, ""));
    let low = verb.to_lowercase();
    let stems = [low.strip_suffix('s'), low.strip_suffix("es")];
    let stem = stems.into_iter().flatten().find(|stem| lists.is_order(stem));
    let verb = stem.map_or(verb, |stem| &verb[..stem.len()]);
    format!("{verb} {rest}").trim().to_string()
}
