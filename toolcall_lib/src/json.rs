//! Reads JSON without losing any of it: a duplicate key and a number that does not fit are errors.
//!
//! `serde_json` keeps the last of two equal keys and turns an integer of more than 64 bits into a
//! float near it. Both silently change the data.

use crate::error::shortened;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Reason why a text cannot be read as JSON without loss, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1; 0 at the end of a line.
    pub column: usize,
    /// Reason, in words.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, reason } = self;
        write!(f, "{reason} at line {line} column {column}")
    }
}

impl std::error::Error for Problem {}

/// Reads one JSON value.
///
/// # Errors
/// The text is not JSON, an object has a duplicate key, or an integer needs more than 64 bits.
pub fn read(text: &str) -> Result<Value, Problem> {
    let Kept(value) = serde_json::from_str(text).map_err(problem)?;
    refuse_wide_integers(text).map(|()| value)
}

/// Reads one JSON object.
///
/// # Errors
/// Errors of [`read`], and any value but an object.
pub fn read_object(text: &str) -> Result<Map<String, Value>, Problem> {
    match read(text)? {
        Value::Object(object) => Ok(object),
        other => Err(Problem {
            line: 1,
            column: 1,
            reason: format!("found {}, expected an object", kind(&other)),
        }),
    }
}

/// Reads a text with one JSON value per line; empty lines are skipped. A problem has its line in
/// the text.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = Result<Value, Problem>> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(before, line)| {
            read(line).map_err(|problem| Problem {
                line: before + 1,
                ..problem
            })
        })
}

/// Reads the JSON value that `text` begins with; returns it with what follows. `None` if there is
/// none, or if an object has a duplicate key, of which one value would be lost.
pub(crate) fn read_first(text: &str) -> Option<(Value, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Kept>();
    let Kept(value) = values.next()?.ok()?;
    Some((value, text.get(values.byte_offset()..)?))
}

/// Escapes a name for a JSON pointer.
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Names the kind of a JSON value.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn problem(error: serde_json::Error) -> Problem {
    let text = error.to_string();
    Problem {
        line: error.line(),
        column: error.column(),
        reason: text.split(" at line ").next().unwrap_or(&text).to_string(),
    }
}

/// Finds an integer that fits neither an `i64` nor a `u64`.
fn refuse_wide_integers(text: &str) -> Result<(), Problem> {
    const SHORTEST: usize = 19;
    let bytes = text.as_bytes();
    let (mut at, mut in_string) = (0, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'-' | b'0'..=b'9' if !in_string => {
                let is_part = |b: &&u8| b.is_ascii_digit() || b"+-.eE".contains(b);
                let length = bytes[at..].iter().take_while(is_part).count();
                let number = &text[at..at + length];
                let whole = !number.contains(['.', 'e', 'E']);
                if whole
                    && length >= SHORTEST
                    && number.parse::<i64>().is_err()
                    && number.parse::<u64>().is_err()
                {
                    return Err(wide_integer(&text[..at], number));
                }
                at += length - 1;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

fn wide_integer(before: &str, number: &str) -> Problem {
    let shown = shortened(number, 40);
    Problem {
        line: before.matches('\n').count() + 1,
        column: before.len() - before.rfind('\n').map_or(0, |newline| newline + 1) + 1,
        reason: format!(
            "the integer {shown} has more than 64 bits and would be changed; write it as a string"
        ),
    }
}

/// A value whose objects have no duplicate keys.
struct Kept(Value);

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Keep).map(Self)
    }
}

/// Builds a [`Value`] from a deserializer; a duplicate key is an error.
pub(crate) struct Keep;

impl<'de> DeserializeSeed<'de> for Keep {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keep {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Keep)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Keep)?;
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate key `{key}`")));
            }
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_json_is_read_as_it_stands() {
        let text =
            r#"{"b": [1, -2.5, "x\"1111111111111111111111\"", null, true, {}], "a": 18446744073709551615}"#;
        assert_eq!(read(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(read("1e30").unwrap(), json!(1e30));
        assert_eq!(read(" [5.0] ").unwrap().to_string(), "[5.0]");
    }

    #[test]
    fn a_value_a_line_is_read_and_a_problem_has_its_line() {
        let read: Vec<_> = lines("{}\n\n 7\n{\n").collect();
        assert_eq!(read[..2], [Ok(json!({})), Ok(json!(7))]);
        assert!(matches!(&read[2], Err(problem) if problem.line == 4));
    }

    #[test]
    fn a_key_that_stands_twice_is_named() {
        let problem = read("{\"a\": 1,\n \"b\": {\"c\": 1, \"c\": 2}}").unwrap_err();
        assert_eq!(problem.reason, "duplicate key `c`");
        assert_eq!(problem.line, 2);
    }

    #[test]
    fn a_whole_number_that_does_not_fit_is_named() {
        let problem = read("{\"a\":\n [123456789012345678901234]}").unwrap_err();
        assert!(
            problem
                .reason
                .starts_with("the integer 123456789012345678901234 has more than 64 bits")
        );
        assert_eq!((problem.line, problem.column), (2, 3));
        for fits in [
            "-9223372036854775808",
            "18446744073709551615",
            "123456789012345678901234.5",
            "\"9999999999999999999999\"",
        ] {
            assert!(read(fits).is_ok(), "{fits}");
        }
        assert!(read("-9223372036854775809").is_err());
    }

    #[test]
    fn the_first_value_ends_where_it_ends() {
        assert_eq!(
            read_first("{\"a\": \"}\"} rest"),
            Some((json!({"a": "}"}), " rest"))
        );
        assert_eq!(read_first("{\"a\""), None);
        assert_eq!(read_first("{\"a\": 1, \"a\": 1} rest"), None);
    }

    #[test]
    fn an_object_is_asked_for() {
        assert_eq!(read_object("{\"a\": 1}").unwrap()["a"], 1);
        assert_eq!(
            read_object("[1]").unwrap_err().reason,
            "found an array, expected an object"
        );
    }
}
