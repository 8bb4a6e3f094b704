//! Values as Python writes them, such as `{'name': 'dim', 'arguments': {'on': True, 'room':
//! None}}`.
//!
//! `str(value)` and tables that pandas writes hold them in place of JSON. JSON is read too: some
//! strings mix both.

use crate::json;
use serde_json::{Map, Number, Value};
use std::str::CharIndices;

/// Deepest nesting of lists and objects that is read.
const DEEPEST: usize = 100;

/// Reads a text as one value. `None` if it is not one, or if an object has a duplicate key.
pub(crate) fn read(text: &str) -> Option<Value> {
    let (value, rest) = read_first(text)?;
    rest.trim().is_empty().then_some(value)
}

/// Reads a text as one value: as JSON, or else as Python writes it.
pub(crate) fn read_with_json(text: &str) -> Option<Value> {
    json::read(text).ok().or_else(|| read(text))
}

/// Reads the value that `text` begins with; returns it with what follows.
pub(crate) fn read_first(text: &str) -> Option<(Value, &str)> {
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    Some((value, reader.rest))
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        self.rest = self.rest.trim_start();
        match self.rest.chars().next().filter(|_| depth < DEEPEST)? {
            '{' => self.object(depth + 1),
            '[' => self.list('[', ']', depth + 1),
            '(' => self.list('(', ')', depth + 1),
            '\'' | '"' => self.text().map(Value::String),
            '-' | '0'..='9' => self.number(),
            _ => self.word(),
        }
    }

    /// Takes a character, and the white space before it, if it comes next.
    fn takes(&mut self, sign: char) -> bool {
        let behind = self.rest.trim_start().strip_prefix(sign);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    /// Takes the comma after an item; the last item may go without.
    fn takes_comma(&mut self, close: char) -> Option<()> {
        (self.takes(',') || self.rest.trim_start().starts_with(close)).then_some(())
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        let mut object = Map::new();
        self.takes('{');
        while !self.takes('}') {
            self.rest = self.rest.trim_start();
            let key = self.text()?;
            if !self.takes(':') || object.contains_key(&key) {
                return None;
            }
            let value = self.value(depth)?;
            object.insert(key, value);
            self.takes_comma('}')?;
        }
        Some(object.into())
    }

    /// A list or a tuple.
    fn list(&mut self, open: char, close: char, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        self.takes(open);
        while !self.takes(close) {
            items.push(self.value(depth)?);
            self.takes_comma(close)?;
        }
        Some(items.into())
    }

    fn text(&mut self) -> Option<String> {
        let quote = self.rest.chars().next().filter(|sign| "'\"".contains(*sign))?;
        let (mut text, inner) = (String::new(), &self.rest[1..]);
        let mut signs = inner.char_indices();
        while let Some((at, sign)) = signs.next() {
            match sign {
                '\\' => text.extend(escaped(&mut signs)?),
                sign if sign == quote => {
                    self.rest = &inner[at + 1..];
                    return Some(text);
                }
                sign => text.push(sign),
            }
        }
        None
    }

    fn number(&mut self) -> Option<Value> {
        let is_part = |sign: char| sign.is_ascii_digit() || "+-.eE".contains(sign);
        let end = self.rest.find(|sign| !is_part(sign)).unwrap_or(self.rest.len());
        let (number, behind) = self.rest.split_at(end);
        self.rest = behind;
        if number.contains(['.', 'e', 'E']) {
            return Number::from_f64(number.parse().ok()?).map(Value::Number);
        }
        let signed = number.parse::<i64>().map(Value::from);
        signed.or_else(|_| number.parse::<u64>().map(Value::from)).ok()
    }

    fn word(&mut self) -> Option<Value> {
        let end = self
            .rest
            .find(|sign: char| !sign.is_alphanumeric() && sign != '_');
        let (word, behind) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = behind;
        match word {
            "True" | "true" => Some(true.into()),
            "False" | "false" => Some(false.into()),
            "None" | "null" => Some(Value::Null),
            _ => None,
        }
    }
}

/// Reads what follows a backslash: a character, or nothing for a line that goes on.
fn escaped(signs: &mut CharIndices<'_>) -> Option<Option<char>> {
    let (_, sign) = signs.next()?;
    let mut of_code = |digits: usize| {
        let code: String = signs.by_ref().take(digits).map(|(_, digit)| digit).collect();
        char::from_u32(
            u32::from_str_radix(&code, 16)
                .ok()
                .filter(|_| code.len() == digits)?,
        )
    };
    Some(match sign {
        '\n' => None,
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        '\\' | '\'' | '"' | '/' => Some(sign),
        'x' => Some(of_code(2)?),
        'u' => Some(of_code(4)?),
        'U' => Some(of_code(8)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_python_are_read() {
        let text = r#"{'name': 'dim', 'on': True, 'room': None, "it's": [1, -2.5, (), ('a',)], 'n': 18446744073709551615,}"#;
        let expected =
            json!({"name": "dim", "on": true, "room": null, "it's": [1, -2.5, [], ["a"]], "n": u64::MAX});
        assert_eq!(read(text), Some(expected));
        assert_eq!(read(r"'a\'b\n\x41\u00e9\U0001f550'"), Some(json!("a'b\nAé🕐")));
        let json = r#"{"a": [true, false, null, "x\"y", 1e3]}"#;
        assert_eq!(read(json), serde_json::from_str(json).ok());
        assert_eq!(read_first("{'a': '}'} rest"), Some((json!({"a": "}"}), " rest")));
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [
            "",
            "{'a': 1, 'a': 2}",
            "{'a' 1}",
            "{a: 1}",
            "[1 2]",
            "'open",
            "nan",
            "1.2.3",
            "Truely",
            "{'a': array([1])}",
            "123456789012345678901234",
            "'\\u12'",
            "'a' 'b'",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read(&"[".repeat(100_000)), None);
    }
}
