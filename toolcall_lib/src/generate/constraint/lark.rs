//! Pieces of a grammar as Lark, the language of llguidance, writes them.

use serde_json::{Value, json};

/// Returns llguidance's options for writing JSON: these separators between items and after keys,
/// and no other white space, except where the template breaks lines.
pub(super) fn separators(item: &str, key: &str) -> Value {
    let spaced =
        |text: &str| text.trim_end_matches([' ', '\n', '\t']).len() + 1 < text.len() && text.contains('\n');
    json!({
        "item_separator": escaped(if spaced(item) { item.trim_end() } else { item }),
        "key_separator": escaped(key),
        "whitespace_flexible": spaced(item),
    })
}

/// Returns the length of the common prefix of two strings in bytes.
pub(super) fn common_prefix(a: &str, b: &str) -> usize {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
    same.map(|(c, _)| c.len_utf8()).sum()
}

/// Quotes a string for Lark.
pub(super) fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

/// Quotes a string for Lark; returns nothing for an empty one.
pub(super) fn optional(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        literal(text)
    }
}

/// Escapes a string for use in a pattern. Characters without a special meaning stay: `\<` would be
/// the start of a word.
pub(super) fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        match c {
            '\n' => pattern += r"\n",
            '\t' => pattern += r"\t",
            c if r"\.+*?()|[]{}^$/".contains(c) => {
                pattern.push('\\');
                pattern.push(c);
            }
            c => pattern.push(c),
        }
    }
    pattern
}

/// Returns a pattern for all strings that contain `tag`.
pub(super) fn around(tag: &str) -> String {
    format!("(?s:.*{}.*)", escaped(tag))
}

/// Returns a terminal for any string that matches none of these patterns as a whole.
pub(super) fn text_without(patterns: &[String]) -> String {
    let but = patterns.iter().map(|pattern| format!(" & ~/{pattern}/"));
    format!("/(?s:.*)/{}", but.collect::<String>())
}
