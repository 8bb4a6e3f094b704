//! The limits of numbers in a schema.

use super::draw::Draw;
use super::value::{Argument, Kind};
use indexmap::IndexMap;
use serde_json::{Map, Value};

/// The lowest and the highest number that a schema allows.
pub(super) type Bounds = (Option<i64>, Option<i64>);

/// Writes the limits of a kind into its schema. Leaves out a minimum of 2 or less: values begin at
/// 2 only to avoid `1 days`, and a tool would take 1. Leaves out both where the default or a range
/// in the description says otherwise.
pub(super) fn limit(argument: &Argument, schema: &mut Value) {
    let (Kind::Int(low, high) | Kind::Money(low, high)) = &argument.kind else {
        return;
    };
    let default = argument.default.as_ref().and_then(Value::as_i64);
    let contradicted = default.is_some_and(|default| !(*low..=*high).contains(&default));
    if contradicted || argument.about.iter().any(|about| names_a_range(about)) {
        return;
    }
    if *low > 2 {
        schema["minimum"] = (*low).into();
    }
    schema["maximum"] = (*high).into();
}

/// Returns true if the string has two numbers, such as `from 1 to 5`.
fn names_a_range(text: &str) -> bool {
    let numbers = text.split(|sign: char| !sign.is_ascii_digit());
    numbers.filter(|digits| !digits.is_empty()).count() >= 2
}

/// Largest magnitude of a number that is drawn; arithmetic with it cannot overflow.
pub(super) const LARGEST: i64 = 1_000_000_000_000_000;

/// The limits that a schema gives to its numbers. Larger ones than [`LARGEST`] are none.
pub(super) fn limits(properties: &Value, names: &IndexMap<String, String>) -> IndexMap<String, Bounds> {
    let of = |(slot, name): (&String, &String)| {
        let schema = &properties[name.as_str()];
        let limit = |key: &str| {
            let limit = schema[key].as_i64();
            limit.filter(|limit| (-LARGEST..=LARGEST).contains(limit))
        };
        let (low, high) = (limit("minimum"), limit("maximum"));
        (low.is_some() || high.is_some()).then(|| (slot.clone(), (low, high)))
    };
    let own = names.iter().filter(|(slot, _)| !slot.contains('.')); // not a field of an object
    own.filter_map(of).collect()
}

/// Writes limits into two thirds of the descriptions, as many schemas have them, and removes the
/// keywords `minimum` and `maximum` from half of these.
pub(super) fn say_limits(properties: &mut Value, draw: &mut Draw) {
    for schema in properties.as_object_mut().into_iter().flat_map(Map::values_mut) {
        let said = match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
            (Some(low), Some(high)) => {
                draw.text(&[format!("{low} to {high}"), format!("between {low} and {high}")])
            }
            (Some(low), None) => draw.text(&[format!("at least {low}"), format!("{low} or more")]),
            (None, Some(high)) => draw.text(&[format!("at most {high}"), format!("up to {high}")]),
            (None, None) => continue,
        };
        let Some(about) = schema["description"].as_str().filter(|_| !draw.chance(3)) else {
            continue;
        };
        schema["description"] = format!("{}, {said}.", about.trim_end_matches('.')).into();
        if let Some(schema) = schema.as_object_mut().filter(|_| draw.chance(2)) {
            schema.remove("minimum");
            schema.remove("maximum");
        }
    }
}
