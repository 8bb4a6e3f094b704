//! Calls that are JSON objects, perhaps between tags and perhaps in a list.

use super::{CallObject, said};
use crate::json;
use crate::python;
use crate::tool::{ToolCall, read};
use serde_json::Value;

impl CallObject {
    /// Reads the calls in `text`. Returns the text around them and the calls, or `None` if a call
    /// cannot be read.
    pub(super) fn read(&self, text: &str) -> Option<(String, Vec<ToolCall>)> {
        let tag = self.open.trim();
        if tag.is_empty() {
            return self.read_bare(text);
        }
        let (mut pieces, mut calls, mut rest) = (Vec::new(), Vec::new(), text);
        while let Some((before, behind)) = rest.split_once(tag) {
            pieces.push(before);
            rest = self.take(behind, &mut calls)?;
        }
        pieces.push(rest);
        let close = self.close.trim();
        let is_mark = close.chars().any(char::is_alphanumeric);
        let lost_end = is_mark && pieces.iter().any(|piece| piece.contains(close));
        (!lost_end).then(|| (said(&pieces), calls))
    }

    /// Reads the call, or the list of calls, at the start of `text`, and the closing tag. The JSON
    /// shows where a call ends, not the first closing tag, because that may be part of a string.
    fn take<'a>(&self, text: &'a str, calls: &mut Vec<ToolCall>) -> Option<&'a str> {
        let (value, rest) = match json::read_first(text) {
            Some((value, rest)) => {
                let kept = !self.strict || json::read(&text[..text.len() - rest.len()]).is_ok();
                kept.then_some((value, rest))?
            }
            None if self.strict => python::read_first(text)?, // Hermes' data has calls that Python wrote
            None => return None,
        };
        match value {
            Value::Array(list) if self.list => {
                for value in &list {
                    calls.push(self.call(value)?);
                }
            }
            value => calls.push(self.call(&value)?),
        }
        rest.trim_start().strip_prefix(self.close.trim())
    }

    /// Reads calls without a tag: the reply is one call, or several with `;` or a line break
    /// between them.
    fn read_bare(&self, text: &str) -> Option<(String, Vec<ToolCall>)> {
        let mut rest = text.trim();
        if !self.is_begun(rest) {
            return Some((rest.to_string(), Vec::new()));
        }
        let mut calls = Vec::new();
        loop {
            rest = self
                .take(rest, &mut calls)?
                .trim_start_matches([';', ',', ' ', '\n']);
            match rest.is_empty() {
                true => return Some((String::new(), calls)),
                false if !self.is_begun(rest) => return Some((rest.to_string(), calls)),
                false => {}
            }
        }
    }

    /// Returns true if a call begins here, and not some other JSON: an object whose first key is
    /// that of the name, or a whole object with the name and with arguments.
    fn is_begun(&self, text: &str) -> bool {
        let object = if self.list {
            text.trim_start_matches(['[', ' ', '\n'])
        } else {
            text
        };
        let Some(inner) = object.strip_prefix('{') else {
            return false;
        };
        let key = Value::from(self.name.as_str()).to_string();
        let named_first = inner
            .trim_start()
            .strip_prefix(&key)
            .is_some_and(|rest| rest.trim_start().starts_with(':'));
        let whole = || {
            json::read_first(object)
                .is_some_and(|(value, _)| self.call(&value).is_some_and(|call| !call.arguments.is_empty()))
        };
        named_first || whole()
    }

    /// Converts an object to a call.
    fn call(&self, value: &Value) -> Option<ToolCall> {
        let mut value = value.clone();
        let object = value.as_object_mut()?;
        if self.name != "name" && !object.contains_key("name") {
            let name = object.shift_remove(&self.name)?;
            object.insert("name".into(), name);
        }
        read::call(&value).ok()
    }
}
