//! Decides if the value of an argument is one of the right values: the second half of the checker.

use super::fault::{Fault, Outcome, crash, wrong};
use super::python::{Type, contains, equal, standardized_value};
use crate::evaluate::standardized;
use serde_json::{Map, Value};

/// Returns true if an argument may be left out: `""` is one of its right values.
pub(super) fn is_optional(right: &[Value]) -> bool {
    right.iter().any(|value| *value == "")
}

/// Checks the value of one argument against its right values.
pub(super) fn check_argument(name: &str, value: &Value, schema: &Value, right: &[Value]) -> Outcome {
    // 1. Types that the schema asks for.
    let kind = schema["type"].as_str().unwrap_or_default();
    let Some(expected) = Type::named(kind) else {
        return crash(format!("the type `{kind}` of `{name}` is unknown to it"));
    };
    let nested = match kind {
        "array" | "tuple" => match schema["items"]["type"].as_str().and_then(Type::named) {
            Some(nested) => Some(nested),
            None => return crash(format!("`{name}` does not say what is in it")),
        },
        _ => None,
    };
    // 2. Type of the value. A float may be written as an integer.
    let as_float = match value {
        Value::Number(number) if kind == "float" => number.as_f64().map(Value::from),
        _ => None,
    };
    let value = as_float.as_ref().unwrap_or(value);
    let Some(is_variable) = check_type(value, right, expected, nested) else {
        return wrong(format!("`{name}`: {value} is not of the type {kind}"));
    };
    // 3. The value itself.
    let is_right = match (value, nested) {
        _ if is_variable => contains(right, value),
        (Value::Object(object), _) => check_dict(object, right)?,
        (Value::Array(items), Some(Type::Dict)) => check_dicts(items, right)?,
        (Value::String(text), _) => {
            let text = standardized(text);
            right
                .iter()
                .filter_map(Value::as_str)
                .any(|right| standardized(right) == text)
        }
        (Value::Array(items), _) => check_list(items, right)?,
        _ => contains(right, value),
    };
    match is_right {
        true => Ok(()),
        false => wrong(format!(
            "`{name}`: {value} is not one of {}",
            Value::from(right.to_vec())
        )),
    }
}

/// Checks the type of a value. Returns `None` if it is neither the expected type nor that of the
/// right values. Otherwise returns true for what the leaderboard calls a variable: the right values
/// have another type than the expected one. A variable must equal one of them unchanged.
fn check_type(value: &Value, right: &[Value], expected: Type, nested: Option<Type>) -> Option<bool> {
    let of_right = right.iter().find(|value| **value != "").map(Type::of);
    if Type::of(value) != expected {
        return (of_right == Some(Type::of(value))).then_some(true);
    }
    let is_variable = of_right.is_some_and(|kind| kind != expected);
    let (Some(nested), Value::Array(items)) = (nested, value) else {
        return Some(is_variable);
    };
    // Only one level deep. One right value that is not a list is enough.
    let fits = |right: &Value| {
        let right = right.as_array();
        right.is_none_or(|right| {
            items
                .iter()
                .all(|item| check_type(item, right, nested, None).is_some())
        })
    };
    right.iter().any(fits).then_some(is_variable)
}

/// Returns true if a list is one of the right ones; strings are standardized.
fn check_list(items: &[Value], right: &[Value]) -> Result<bool, Fault> {
    let items: Vec<Value> = items.iter().map(standardized_value).collect();
    let right: Vec<Vec<Value>> = right.iter().map(elements).collect::<Result<_, _>>()?;
    let same = |right: &Vec<Value>| equal(&Value::from(items.clone()), &Value::from(right.clone()));
    Ok(right.iter().any(same))
}

/// Returns the standardized elements of a right list. The elements of a string are its characters.
fn elements(right: &Value) -> Result<Vec<Value>, Fault> {
    match right {
        Value::Array(items) => Ok(items.iter().map(standardized_value).collect()),
        Value::String(text) => Ok(text
            .chars()
            .map(|c| standardized(&c.to_string()).into())
            .collect()),
        Value::Object(fields) if fields.is_empty() => Ok(Vec::new()),
        other => crash(format!("{other} is not a list")),
    }
}

/// Returns true if an object fits a right one: it has only fields of the right one, each with one
/// of its right values, and it has all fields that may not be left out.
fn check_dict(object: &Map<String, Value>, right: &[Value]) -> Result<bool, Fault> {
    for right in right.iter().filter(|right| **right != "") {
        let Some(right) = right.as_object() else {
            return crash(format!("{right} is not an object"));
        };
        if fields_are_right(object, right)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn fields_are_right(object: &Map<String, Value>, right: &Map<String, Value>) -> Result<bool, Fault> {
    let mut all = true;
    for (name, value) in object {
        let is_right = match right.get(name) {
            Some(right) => contains(&elements(right)?, &standardized_value(value)),
            None => false,
        };
        if !is_right {
            all = false;
            break;
        }
    }
    for (name, right) in right.iter().filter(|(name, _)| !object.contains_key(*name)) {
        match right {
            Value::Array(right) if is_optional(right) => {}
            Value::String(_) => {} // Python finds `""` in any string
            Value::Array(_) | Value::Object(_) => return Ok(false),
            other => return crash(format!("`{name}`: {other} is not a list")),
        }
    }
    Ok(all)
}

/// Returns true if each object of a list is right for the one in its place in a right list.
fn check_dicts(items: &[Value], right: &[Value]) -> Result<bool, Fault> {
    for right in right {
        let right: Vec<Value> = match right {
            Value::Array(right) => right.clone(),
            Value::String(text) => text.chars().map(|c| c.to_string().into()).collect(),
            Value::Object(fields) => vec![Value::Null; fields.len()],
            other => return crash(format!("{other} is not a list")),
        };
        if right.len() != items.len() {
            continue;
        }
        let mut all = true;
        for (item, right) in items.iter().zip(&right) {
            let is_right = match (item, right) {
                (_, Value::String(text)) if text.is_empty() => false,
                (Value::Object(object), right) => check_dict(object, std::slice::from_ref(right))?,
                (item, _) => return crash(format!("{item} is not an object")),
            };
            if !is_right {
                all = false;
                break;
            }
        }
        if all {
            return Ok(true);
        }
    }
    Ok(false)
}
