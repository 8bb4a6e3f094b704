//! Words of names and sentences.

use crate::synthetic::lists::Lists;
use crate::synthetic::sentence::spoken;
use crate::synthetic::skill::Skill;
use std::collections::BTreeSet;

const EMPTY_WORDS: [&str; 21] = [
    "the", "a", "an", "of", "to", "in", "is", "for", "on", "it", "and", "or", "by", "with", "from", "as",
    "name", "which", "at", "that", "be",
];

/// The words of a name or a sentence that say what it is about.
pub(super) fn words(text: &str) -> BTreeSet<String> {
    spoken(text)
        .split_whitespace()
        .filter(|word| !EMPTY_WORDS.contains(word))
        .map(str::to_string)
        .collect()
}

/// Returns the order in the first sentence of a tool's description: `Book a table` for `Books a
/// table. …`.
pub(super) fn order_of(lists: &Lists, skill: &Skill) -> String {
    let about = skill.about.first().map_or("", String::as_str);
    let sentence = about.split_inclusive(". ").next().unwrap_or_default();
    imperative(lists, sentence.trim().trim_end_matches('.'))
}

/// Turns `Books a table` into `Book a table`; characters of the template syntax are left out.
fn imperative(lists: &Lists, sentence: &str) -> String {
    let plain: String = sentence.chars().filter(|c| !"()[]{}|\\".contains(*c)).collect();
    let (verb, rest) = plain.split_once(' ').unwrap_or((&plain, ""));
    let low = verb.to_lowercase();
    let stems = [low.strip_suffix('s'), low.strip_suffix("es")];
    let stem = stems.into_iter().flatten().find(|stem| lists.is_order(stem));
    let verb = stem.map_or(verb, |stem| &verb[..stem.len()]);
    format!("{verb} {rest}").trim().to_string()
}
