//! Text that others wrote, made safe for a terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns the text with its control characters spelled out: `\u{1b}` for the character that begins
/// the commands of a terminal, which can hide lines, change the title or type into the shell. Marks
/// that turn the direction of writing or are invisible are spelled out too. Line breaks and tabs
/// stay.
///
/// ```
/// use toolcall_lib::terminal::printable;
/// assert_eq!(printable("plain\ntext: ä, 漢字"), "plain\ntext: ä, 漢字");
/// assert_eq!(printable("\u{1b}[2Jgone"), "\\u{1b}[2Jgone");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |escaped, c| write!(escaped, "\\u{{{:x}}}", u32::from(c)))
}

/// Does the same for JSON, which keeps its meaning: such characters can be only in its strings.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    escaped(json, |escaped, c| {
        let mut units = [0; 2];
        c.encode_utf16(&mut units)
            .iter()
            .try_for_each(|unit| write!(escaped, "\\u{unit:04x}"))
    })
}

fn escaped(text: &str, escape: impl Fn(&mut String, char) -> std::fmt::Result) -> Cow<'_, str> {
    if !text.contains(is_command) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        if is_command(c) {
            escape(&mut safe, c).ok(); // writing to a string cannot fail
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Returns true for a character that a terminal obeys instead of showing it, or that changes how
/// the rest is shown.
fn is_command(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        // Marks of direction, and separators of lines and paragraphs.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Invisible characters: a byte order mark, annotations, tags.
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_is_left() {
        let text: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        for safe in [printable(&text), printable_json(&text)] {
            assert!(!safe.chars().any(|c| c.is_control() && !['\n', '\t'].contains(&c)));
            assert!(!safe.contains([
                '\u{202e}',
                '\u{2066}',
                '\u{200f}',
                '\u{feff}',
                '\u{e0041}',
                '\u{9b}'
            ]));
        }
        assert_eq!(printable("\r\u{7f}\u{9b}31m"), "\\u{d}\\u{7f}\\u{9b}31m");
        // needed to write Persian, and families of emoji
        assert_eq!(
            printable("می\u{200c}خواهم 👨\u{200d}👩"),
            "می\u{200c}خواهم 👨\u{200d}👩"
        );
    }

    #[test]
    fn json_means_the_same_as_before() {
        let value = serde_json::json!({"a\u{9b}": "\u{202e}\u{e0041}\u{7f} ä\n\u{1b}"});
        let safe = printable_json(&value.to_string()).into_owned();
        assert!(safe.is_ascii() || safe.contains('ä'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }
}
