//! Strict access to the fields of a request: each is taken once, with its type, and leftovers are
//! refused.

use super::Refusal;
use crate::error::{nearest, place_in};
use crate::json::kind;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// Smallest integer of 64 bits.
pub(crate) const LEAST: i128 = i64::MIN as i128;
/// Largest integer of 64 bits.
pub(crate) const MOST: i128 = u64::MAX as i128;

/// The fields of an object that were not taken yet; null counts as absent.
pub(crate) struct Fields {
    place: String,
    left: Map<String, Value>,
    /// Names of the fields that are null.
    nulls: Vec<String>,
    /// Names of the fields that were asked for.
    known: Vec<String>,
}

impl Fields {
    /// Returns the fields of the object at `place`; an empty place is the body.
    pub fn of(place: &str, object: Map<String, Value>) -> Self {
        let (nulls, left): (Map<_, _>, Map<_, _>) =
            object.into_iter().partition(|(_, value)| value.is_null());
        Self {
            place: place.to_string(),
            left,
            nulls: nulls.into_iter().map(|(name, _)| name).collect(),
            known: Vec::new(),
        }
    }

    /// Returns the fields of the value at `place`.
    ///
    /// # Errors
    /// It is not an object.
    pub fn of_value(place: &str, value: Value, expected: &str) -> Result<Self, Refusal> {
        match value {
            Value::Object(object) => Ok(Self::of(place, object)),
            other => {
                let problem = format!("found {}, expected {expected}", kind(&other));
                Err(Refusal::of_field(place, problem))
            }
        }
    }

    /// Returns the full name of a field.
    pub fn name(&self, field: &str) -> String {
        place_in(&self.place, field)
    }

    /// Takes a field of any type.
    pub fn take(&mut self, field: &str) -> Option<Value> {
        self.known.push(field.to_string());
        self.left.shift_remove(field)
    }

    fn typed<T>(
        &mut self,
        field: &str,
        expected: &str,
        read: impl Fn(Value) -> Result<T, Value>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.take(field) else {
            return Ok(None);
        };
        read(value).map(Some).map_err(|value| {
            let found = match &value {
                Value::Number(number) => number.to_string(),
                other => kind(other).to_string(),
            };
            Refusal::of_field(self.name(field), format!("found {found}, expected {expected}"))
        })
    }

    /// Takes a string.
    pub fn text(&mut self, field: &str) -> Result<Option<String>, Refusal> {
        self.typed(field, "a string", |value| match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        })
    }

    /// Takes a string that must be there and not be empty.
    pub fn required(&mut self, field: &str) -> Result<String, Refusal> {
        let found = self.text(field)?.filter(|text| !text.is_empty());
        found.ok_or_else(|| {
            let problem = format!("{}; expected a string", self.absence(field));
            Refusal::of_field(self.name(field), problem)
        })
    }

    /// Takes a boolean.
    pub fn flag(&mut self, field: &str) -> Result<Option<bool>, Refusal> {
        self.typed(field, "true or false", |value| value.as_bool().ok_or(value))
    }

    /// Takes an object.
    pub fn object(&mut self, field: &str) -> Result<Option<Map<String, Value>>, Refusal> {
        self.typed(field, "an object", |value| match value {
            Value::Object(object) => Ok(object),
            other => Err(other),
        })
    }

    /// Takes a list.
    pub fn list(&mut self, field: &str) -> Result<Option<Vec<Value>>, Refusal> {
        self.typed(field, "a list", |value| match value {
            Value::Array(list) => Ok(list),
            other => Err(other),
        })
    }

    /// Takes a number within these bounds.
    pub fn number(&mut self, field: &str, bounds: RangeInclusive<f64>) -> Result<Option<f64>, Refusal> {
        let expected = format!("a number from {} to {}", bounds.start(), bounds.end());
        self.typed(field, &expected, |value| {
            value.as_f64().filter(|n| bounds.contains(n)).ok_or(value)
        })
    }

    /// Takes an integer of at most 64 bits within these bounds.
    pub fn integer(&mut self, field: &str, bounds: RangeInclusive<i128>) -> Result<Option<i128>, Refusal> {
        let expected = match (*bounds.start(), *bounds.end()) {
            (LEAST, MOST) => "an integer of at most 64 bits".to_string(),
            (least, MOST) => format!("an integer, {least} or more"),
            (least, most) => format!("an integer from {least} to {most}"),
        };
        self.typed(field, &expected, |value| {
            whole(&value).filter(|n| bounds.contains(n)).ok_or(value)
        })
    }

    /// Takes a field that may only ask for what the server does anyway.
    pub fn only(&mut self, field: &str, allowed: &[Value], problem: &str) -> Result<(), Refusal> {
        match self.take(field) {
            Some(value) if !allowed.iter().any(|allowed| same(allowed, &value)) => Err(Refusal::of_field(
                self.name(field),
                format!("found {value}; {problem}"),
            )),
            _ => Ok(()),
        }
    }

    /// Drops fields that change nothing here.
    pub fn ignore(&mut self, fields: &[&str]) {
        fields.iter().for_each(|field| drop(self.take(field)));
    }

    /// Drops a field if it has this value, which asks for nothing.
    pub fn ignore_value(&mut self, field: &str, nothing: &Value) {
        if self.left.get(field) == Some(nothing) {
            self.left.shift_remove(field);
        }
    }

    /// Says how a required field is absent: it is null, or missing.
    pub fn absence(&self, field: &str) -> &'static str {
        match self.nulls.iter().any(|null| null == field) {
            true => "found null",
            false => "missing",
        }
    }

    /// Refuses the fields that there is advice for.
    pub fn refuse(&self, advice: &[(&str, &str)]) -> Result<(), Refusal> {
        match advice.iter().find(|(field, _)| self.left.contains_key(*field)) {
            Some((field, problem)) => Err(Refusal::unknown(self.name(field), problem)),
            None => Ok(()),
        }
    }

    /// Refuses any field that is left, with advice if there is some, or else with the field that
    /// may have been meant.
    pub fn end(self, advice: &[(&str, &str)]) -> Result<(), Refusal> {
        self.refuse(advice)?;
        let Some(field) = self.left.keys().next() else {
            return Ok(());
        };
        let problem = match nearest(field, self.known.iter().map(String::as_str)) {
            Some(near) => format!("is not known; did you mean `{near}`?"),
            None => "is not known; leave it out".to_string(),
        };
        Err(Refusal::unknown(self.name(field), problem))
    }
}

/// Reads an integer of at most 64 bits, which some clients write as `5.0`.
fn whole(value: &Value) -> Option<i128> {
    const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64; // a larger one stands for several integers
    let fraction = || {
        let number = value.as_f64()?;
        (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i128)
    };
    let signed = value.as_i64().map(i128::from);
    signed.or(value.as_u64().map(i128::from)).or_else(fraction)
}

/// Compares values; numbers are equal in any notation.
fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a == b)
}
