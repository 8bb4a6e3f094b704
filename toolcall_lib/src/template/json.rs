//! JSON in the form of Python's `json.dumps`: templates print tools and arguments like this, and
//! models were trained on exactly that text.

use super::limits::{pay, too_large};
use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind, State};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::io::{self, Write};

/// The filter `tojson` with the arguments that it takes in transformers.
pub(super) fn tojson(state: &State<'_, '_>, value: &Value, options: Kwargs) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::new(
            ErrorKind::UndefinedError,
            "tojson of a value that does not exist",
        ));
    }
    let style = Style::from_kwargs(&options)?;
    let sort_keys: Option<bool> = options.get("sort_keys")?;
    options.assert_all_used()?;
    let mut json = serde_json::to_value(value).map_err(bad_json)?;
    if sort_keys == Some(true) {
        json.sort_all_objects();
    }
    let text = dumps(&json, style).map_err(bad_json)?;
    pay(state, text.len())?;
    Ok(text)
}

fn bad_json(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::BadSerialization, "tojson").with_source(error)
}

/// Writes a JSON value like Python.
pub(super) fn dumps(json: &serde_json::Value, style: Style) -> Result<String, serde_json::Error> {
    let mut text = Vec::new();
    json.serialize(&mut Serializer::with_formatter(&mut text, style))?;
    String::from_utf8(text).map_err(serde::ser::Error::custom)
}

/// Longest indent of one level, in characters.
const WIDEST: usize = 64;

/// Options `indent`, `separators` and `ensure_ascii` of `json.dumps`, and the state of the writer.
pub(super) struct Style {
    indent: Option<String>,
    comma: String,
    colon: String,
    ensure_ascii: bool,
    depth: usize,
    empty: bool,
}

impl Default for Style {
    fn default() -> Self {
        let (comma, colon) = (", ".to_string(), ": ".to_string());
        Self {
            indent: None,
            comma,
            colon,
            ensure_ascii: false,
            depth: 0,
            empty: true,
        }
    }
}

impl Style {
    fn from_kwargs(options: &Kwargs) -> Result<Self, Error> {
        let mut style = Self::default();
        if let Some(indent) = options.get::<Option<Value>>("indent")?.filter(|v| !v.is_none()) {
            style.indent = Some(match indent.as_str() {
                Some(text) => text.to_string(),
                None => " ".repeat(usize::try_from(indent)?.min(WIDEST + 1)),
            });
            if style.indent.as_ref().is_some_and(|indent| indent.len() > WIDEST) {
                return Err(too_large("the indent of tojson"));
            }
            style.comma = ",".to_string();
        }
        if let Some((comma, colon)) = options.get::<Option<Vec<String>>>("separators")?.and_then(pair) {
            (style.comma, style.colon) = (comma, colon);
        }
        style.ensure_ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
        Ok(style)
    }

    fn newline<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        match &self.indent {
            Some(indent) => write!(writer, "\n{}", indent.repeat(self.depth)),
            None => Ok(()),
        }
    }

    fn open<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        writer.write_all(bracket)
    }

    fn close<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !self.empty {
            self.newline(writer)?;
        }
        self.empty = false;
        writer.write_all(bracket)
    }

    fn item<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(self.comma.as_bytes())?;
        }
        self.empty = false;
        self.newline(writer)
    }
}

fn pair(separators: Vec<String>) -> Option<(String, String)> {
    <[String; 2]>::try_from(separators)
        .ok()
        .map(|[comma, colon]| (comma, colon))
}

impl Formatter for Style {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.item(writer, first)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.item(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.colon.as_bytes())
    }

    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(python_float(value).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        if !self.ensure_ascii {
            return writer.write_all(text.as_bytes());
        }
        for unit in text.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => writer.write_all(&[byte])?,
                _ => write!(writer, "\\u{unit:04x}")?,
            }
        }
        Ok(())
    }
}

/// Writes a float like `repr(float)`: the shortest digits that read back the same, with an exponent
/// below 1e-4 and from 1e16 on.
pub(super) fn python_float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let exponent = scientific
        .split_once('e')
        .and_then(|(digits, e)| Some((digits, e.parse::<i32>().ok()?)));
    match exponent {
        Some((digits, e)) if !(-4..16).contains(&e) => {
            let sign = if e < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", e.abs())
        }
        _ => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn floats_are_written_as_python_does() {
        let cases = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (123456789.125, "123456789.125"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (-1.25e300, "-1.25e+300"),
        ];
        for (value, expected) in cases {
            assert_eq!(python_float(value), expected);
        }
    }

    #[test]
    fn nothing_but_json_is_escaped_and_the_order_is_kept() {
        let value = json!({"z": "<é 日本 🕐> & 'x'", "a": [u64::MAX, null, true], "m": {}, "e": []});
        let expected =
            r#"{"z": "<é 日本 🕐> & 'x'", "a": [18446744073709551615, null, true], "m": {}, "e": []}"#;
        assert_eq!(dumps(&value, Style::default()).unwrap(), expected);
        let controls = dumps(&json!("\"\\/\n\u{8}\u{1f}\u{7f}"), Style::default()).unwrap();
        assert_eq!(controls, "\"\\\"\\\\/\\n\\b\\u001f\u{7f}\"");
    }

    #[test]
    fn ascii_output_uses_surrogate_pairs() {
        let style = Style {
            ensure_ascii: true,
            ..Style::default()
        };
        assert_eq!(dumps(&json!("é🕐"), style).unwrap(), r#""\u00e9\ud83d\udd50""#);
    }
}
