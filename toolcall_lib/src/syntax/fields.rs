//! Arguments that are written one by one, each with its name and often without its type.

use super::{Fields, after};
use crate::json;
use crate::tool::{Checker, ToolSchema};
use serde_json::{Map, Value};

impl Fields {
    /// Reads the arguments at the start of `text`, and returns them with the rest of the text; no
    /// arguments if the text begins with something else.
    pub(super) fn read<'a>(
        &self,
        text: &'a str,
        tool: Option<&ToolSchema>,
    ) -> Option<(Map<String, Value>, &'a str)> {
        let mut arguments = Map::new();
        let Some(mut rest) = after(text, &self.open) else {
            return Some((arguments, text));
        };
        let checker = tool.and_then(|tool| Checker::of(tool.parameters()).ok());
        loop {
            let (name, behind) = cut(rest, &self.middle)?;
            let (written, behind, more) = self.value(behind)?;
            let types = checker.as_ref().map(|checker| checker.types_of(name));
            let value = self.typed(written, types.as_deref())?;
            if arguments.insert(name.to_string(), value).is_some() {
                return None; // the name occurs twice
            }
            rest = behind;
            if !more {
                return Some((arguments, rest));
            }
        }
    }

    /// Splits off a value. Returns its text, the rest, and true if another argument follows.
    fn value<'a>(&self, text: &'a str) -> Option<(&'a str, &'a str, bool)> {
        if self.quoted && text.trim_start().starts_with('"') {
            let (_, behind) = json::read_first(text)?;
            let written = &text[..text.len() - behind.len()];
            return match after(behind, &self.between) {
                Some(next) => Some((written, next, true)),
                None => Some((written, after(behind, &self.close)?, false)),
            };
        }
        let next = cut(text, &self.between);
        let last = cut(text, &self.close);
        match (next, last) {
            // If both strings begin alike, the longer one is meant.
            (Some((value, behind)), Some((other, _))) if value.len() <= other.len() => {
                Some((value, behind, true))
            }
            (_, Some((value, behind))) => Some((value, behind, false)),
            (Some((value, behind)), None) => Some((value, behind, true)),
            (None, None) => None,
        }
    }

    /// Converts the text of a value to one of the types that the schema allows.
    fn typed(&self, written: &str, types: Option<&[&str]>) -> Option<Value> {
        let word = written.trim();
        let plain = match word {
            "True" if self.python => Some(Value::Bool(true)),
            "False" if self.python => Some(Value::Bool(false)),
            "None" if self.python => Some(Value::Null),
            _ => json::read(word).ok(),
        };
        if self.quoted {
            return plain;
        }
        let text = || Value::from(written);
        let Some(plain) = plain else {
            return Some(text());
        };
        let allowed = |name: &str| types.is_none_or(|types| types.is_empty() || types.contains(&name));
        let fits = match &plain {
            Value::Null => allowed("null"),
            Value::Bool(_) => allowed("boolean"),
            Value::Number(number) => allowed("number") || (!number.is_f64() && allowed("integer")),
            Value::Array(_) => allowed("array"),
            Value::Object(_) => allowed("object"),
            Value::String(_) => false, // its quotation marks are part of the string
        };
        Some(if fits || !allowed("string") { plain } else { text() })
    }
}

/// Splits `text` at `literal`. White space in the literal matches any amount of it.
fn cut<'a>(text: &'a str, literal: &str) -> Option<(&'a str, &'a str)> {
    let Some(first) = literal.split_whitespace().next() else {
        return text.split_once(literal).filter(|_| !literal.is_empty());
    };
    let leading = &literal[..literal.len() - literal.trim_start().len()];
    text.match_indices(first).find_map(|(start, _)| {
        let behind = after(&text[start..], literal.trim_start())?;
        let value = &text[..start];
        Some((value.strip_suffix(leading).unwrap_or(value), behind))
    })
}
