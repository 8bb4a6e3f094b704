//! Reads values of DeepSpeed's file. A problem does not name the key.

use super::super::read::{Read, list, number, whole, wrong};
use serde_json::{Map, Value};

/// Every value that is not an object, or is an empty one, with the names of the objects in front:
/// `optimizer.params.lr`.
pub(super) fn leaves<'a>(prefix: &str, group: &'a Map<String, Value>) -> Vec<(String, &'a Value)> {
    let mut found = Vec::new();
    for (key, value) in group {
        let path = format!("{prefix}{key}");
        match value {
            Value::Object(inner) if !inner.is_empty() => found.extend(leaves(&format!("{path}."), inner)),
            _ => found.push((path, value)),
        }
    }
    found
}

/// DeepSpeed takes names in any case.
pub(super) fn known<'a>(value: &Value, names: &[&'a str]) -> Read<&'a str> {
    let name = value.as_str().unwrap_or_default().to_lowercase();
    let found = names.iter().find(|known| **known == name);
    found
        .copied()
        .ok_or_else(|| format!("{value} is not supported; expected one of {}", names.join(", ")))
}

pub(super) fn pair(value: &Value) -> Read<[f64; 2]> {
    let numbers = list(value)?.iter().map(number).collect::<Read<Vec<f64>>>()?;
    let pair = numbers.try_into();
    pair.map_err(|_| wrong(value, "a list of two numbers"))
}

pub(super) fn count(value: &Value) -> Read<usize> {
    match whole(value)? {
        0 => Err("0 is too small; expected a positive number".to_string()),
        number => Ok(number as usize),
    }
}
