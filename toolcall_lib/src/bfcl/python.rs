//! Python's rules for types and values, which the leaderboard's checker follows.

use crate::evaluate::standardized;
use serde_json::{Number, Value};
use std::cmp::Ordering;

/// The type of a value, as Python has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Str,
    Int,
    Float,
    Bool,
    List,
    Dict,
    None,
}

impl Type {
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::None,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_f64() => Self::Float,
            Value::Number(_) => Self::Int,
            Value::String(_) => Self::Str,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Dict,
        }
    }

    /// Returns the type that a schema asks for; `None` for a name that the checker does not know.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "string" | "any" => Some(Self::Str),
            "integer" => Some(Self::Int),
            "float" => Some(Self::Float),
            "boolean" => Some(Self::Bool),
            "array" | "tuple" => Some(Self::List),
            "dict" => Some(Self::Dict),
            _ => None,
        }
    }
}

/// Compares as Python's `a == b`: numbers are equal by their value, and `True` is 1.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Null, Value::Null) => true,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            let same = |(key, a): (&String, &Value)| b.get(key).is_some_and(|b| equal(a, b));
            a.len() == b.len() && a.iter().all(same)
        }
        _ => match (Numeric::of(a), Numeric::of(b)) {
            (Some(a), Some(b)) => a.equal(b),
            _ => false,
        },
    }
}

/// Returns true if `list` holds the value, as Python's `value in list` decides it.
pub(super) fn contains(list: &[Value], value: &Value) -> bool {
    list.iter().any(|other| equal(value, other))
}

#[derive(Clone, Copy)]
enum Numeric {
    Int(i128),
    Float(f64),
}

impl Numeric {
    fn of(value: &Value) -> Option<Self> {
        let whole = |number: &Number| {
            let signed = number.as_i64().map(i128::from);
            signed.or(number.as_u64().map(i128::from))
        };
        match value {
            Value::Bool(value) => Some(Self::Int((*value).into())),
            Value::Number(number) => match whole(number) {
                Some(whole) => Some(Self::Int(whole)),
                None => number.as_f64().map(Self::Float),
            },
            _ => None,
        }
    }

    fn equal(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b) == Some(Ordering::Equal),
            // A float equals an integer only if it holds exactly this integer.
            (Self::Int(int), Self::Float(float)) | (Self::Float(float), Self::Int(int)) => {
                float.fract() == 0.0 && float as i128 == int
            }
        }
    }
}

/// Applies [`standardized`] to a string. Other values stay as they are.
pub(super) fn standardized_value(value: &Value) -> Value {
    match value {
        Value::String(text) => standardized(text).into(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_equal_by_value_and_true_is_one() {
        let same = |a: Value, b: Value| equal(&a, &b) && equal(&b, &a);
        assert!(same(json!(1), json!(1.0)) && same(json!(true), json!(1)) && same(json!(0.0), json!(false)));
        assert!(same(json!([1, {"a": true}]), json!([1.0, {"a": 1}])) && same(json!(null), json!(null)));
        assert!(same(json!(-0.0), json!(0)) && same(json!(u64::MAX), json!(u64::MAX)));
        assert!(!same(json!(1), json!("1")) && !same(json!(1), json!(1.5)) && !same(json!(null), json!(0)));
        assert!(!same(json!([1, 2]), json!([2, 1])) && !same(json!({"a": 1}), json!({"a": 1, "b": 2})));
        assert!(
            !same(json!((1i64 << 53) + 1), json!((1i64 << 53) as f64)),
            "no float is this integer"
        );
        assert!(!same(json!(1e300), json!(1)) && !same(json!(u64::MAX), json!(u64::MAX as f64)));
    }
}
