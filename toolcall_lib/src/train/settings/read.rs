//! Reads values as files and command lines write them. A problem does not name the setting.

use crate::json;
use serde_json::{Map, Value};
use std::fmt::Display;

pub(super) type Read<T> = std::result::Result<T, String>;

/// Largest integer that a float such as `1e2` may be.
const LARGEST: f64 = 1e15;

pub(super) fn wrong(value: &Value, expected: impl Display) -> String {
    format!("found {value}, expected {expected}")
}

/// Returns true if a value means none.
pub(super) fn said_none(value: &Value) -> bool {
    let none = |text: &str| ["", "none", "null", "~"].contains(&text.to_lowercase().as_str());
    value.is_null() || value.as_str().is_some_and(none)
}

/// Returns true if a value asks for nothing: null, false, 0, or empty.
pub(super) fn is_off(value: &Value) -> bool {
    match value {
        Value::String(_) => said_none(value) || boolean(value) == Ok(false),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        other => *other == false || other.is_null() || other.as_f64() == Some(0.0),
    }
}

/// Reads a boolean. YAML 1.1 and command lines write it in words too.
pub(super) fn boolean(value: &Value) -> Read<bool> {
    let text = match value {
        Value::Bool(truth) => return Ok(*truth),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.to_lowercase(),
        _ => String::new(),
    };
    match text.as_str() {
        "true" | "yes" | "on" | "y" | "1" => Ok(true),
        "false" | "no" | "off" | "n" | "0" => Ok(false),
        _ => Err(wrong(value, "true or false")),
    }
}

/// Reads a finite number. Readers of YAML 1.1 leave `1e-4` a string.
pub(super) fn number(value: &Value) -> Read<f64> {
    let said = value.as_str().and_then(|text| text.trim().parse().ok());
    let finite = value.as_f64().or(said).filter(|number| number.is_finite());
    finite.ok_or_else(|| wrong(value, "a number"))
}

/// Reads a number of things. Some files write it as `1e2`.
pub(super) fn whole(value: &Value) -> Read<u64> {
    let exactly = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    let round = |number: &f64| number.fract() == 0.0 && (0.0..LARGEST).contains(number);
    let rounded = || number(value).ok().filter(round).map(|number| number as u64);
    exactly.or_else(rounded).ok_or_else(|| wrong(value, "an integer"))
}

/// Reads a string. A number may be a name.
pub(super) fn text(value: &Value) -> Read<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(wrong(value, "a string")),
    }
}

/// Reads a word in lower case. A reader of YAML 1.1 may have made a boolean of `no`.
pub(super) fn word(value: &Value) -> Read<String> {
    match value {
        Value::Bool(false) => Ok("no".to_string()),
        _ => text(value).map(|text| text.trim().to_lowercase()),
    }
}

/// Reads names with values, or a JSON string of them.
pub(super) fn object(value: &Value) -> Read<Map<String, Value>> {
    match structured(value)? {
        Value::Object(map) => Ok(map),
        other => Err(wrong(&other, "names with values")),
    }
}

/// Reads a list, or one in a string: as JSON, or separated by commas.
pub(super) fn list(value: &Value) -> Read<Vec<Value>> {
    match structured(value)? {
        Value::Array(list) => Ok(list),
        one => Ok(vec![one]),
    }
}

/// Returns a value as it is, or the content of its string: JSON, or names separated by commas.
pub(super) fn structured(value: &Value) -> Read<Value> {
    let Some(text) = value.as_str().map(str::trim) else {
        return Ok(value.clone());
    };
    if text.starts_with(['[', '{']) {
        return json::read(text).map_err(|problem| problem.to_string());
    }
    let is_name = |part: &str| !part.is_empty() && !part.contains(['(', ')', '|', '{', '}', '[', ']', '\\']);
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    match parts.len() > 1 && parts.iter().all(|part| is_name(part)) {
        true => Ok(parts.into()),
        false => Ok(text.into()),
    }
}
