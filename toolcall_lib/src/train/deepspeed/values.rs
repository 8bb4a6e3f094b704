//! Reads values of DeepSpeed's file. A problem does not name the key.

use serde_json::{Map, Value};

pub(super) type Read<T> = std::result::Result<T, String>;

/// Every value that is no object, or an empty one, with the names of the objects in front:
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

pub(super) fn is_off(value: &Value) -> bool {
    *value == false || value.is_null() || value.as_f64() == Some(0.0)
}

/// DeepSpeed takes names in any case.
pub(super) fn known<'a>(value: &Value, names: &[&'a str]) -> Read<&'a str> {
    let name = value.as_str().unwrap_or_default().to_lowercase();
    let found = names.iter().find(|known| **known == name);
    found
        .copied()
        .ok_or_else(|| format!("{value} is not supported; expected one of {}", names.join(", ")))
}

pub(super) fn number(value: &Value) -> Read<f64> {
    value.as_f64().ok_or_else(|| format!("{value} is not a number"))
}

pub(super) fn pair(value: &Value) -> Read<[f64; 2]> {
    let numbers: Option<Vec<f64>> = value
        .as_array()
        .and_then(|list| list.iter().map(Value::as_f64).collect());
    let pair = numbers.and_then(|numbers| numbers.try_into().ok());
    pair.ok_or_else(|| format!("{value} is not a list of two numbers"))
}

/// A number of things; some files write it as `1e2`.
pub(super) fn whole(value: &Value) -> Read<usize> {
    let number = value
        .as_f64()
        .filter(|n| n.fract() == 0.0 && (0.0..1e15).contains(n));
    number
        .map(|n| n as usize)
        .ok_or_else(|| format!("{value} is not a whole number"))
}

pub(super) fn count(value: &Value) -> Read<usize> {
    match whole(value)? {
        0 => Err("0 is too small; expected a positive number".to_string()),
        number => Ok(number),
    }
}
