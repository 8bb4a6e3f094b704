//! Repairs the arguments of a call where that makes them fit their schema: drops nulls, and turns
//! floats such as `5.0` into integers. Makes a fixed number of checks, however much there is to
//! repair.

use crate::json::escaped;
use crate::tool::{Failures, ToolSchema};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Most changes that are tried one by one.
const MOST_TRIED: usize = 16;

/// Turns floats such as `5.0` into integers where the schema takes nothing else; returns how many.
/// Arrow writes integers as floats in a column that also has a float or a null.
pub(super) fn make_whole(arguments: &mut Map<String, Value>, tool: &ToolSchema) -> usize {
    as_value(arguments, |arguments| whole(arguments, tool))
}

fn whole(value: &mut Value, tool: &ToolSchema) -> usize {
    let failures = |value: &Value| failures(Some(tool), value);
    let mut places = Vec::new();
    fractions(value, "", &mut places);
    if places.is_empty() {
        return 0;
    }
    let before = failures(value);
    if before.count == 0 {
        return 0;
    }
    // 1. Change those that do not fit, all at once. Put back a float that fits no better as an
    //    integer.
    let (failing, others): (Vec<_>, Vec<_>) = places
        .into_iter()
        .partition(|(place, _)| before.at.contains_key(place));
    for (place, number) in &failing {
        put(value, place, (*number as i64).into());
    }
    let left = failures(value);
    let at = |failures: &Failures, place: &str| failures.at.get(place).copied().unwrap_or(0);
    let (mut made, mut count) = (0, left.count);
    for (place, number) in &failing {
        match at(&left, place) < at(&before, place) {
            true => made += 1,
            false => put(value, place, (*number).into()),
        }
    }
    // 2. Change others one by one: what does not fit may be a list or an object around them.
    if count > 0 {
        for (place, number) in others.into_iter().take(MOST_TRIED) {
            put(value, &place, (number as i64).into());
            let left = failures(value).count;
            match left < count {
                true => (made, count) = (made + 1, left),
                false => put(value, &place, number.into()),
            }
        }
    }
    made
}

fn put(value: &mut Value, place: &str, number: Value) {
    if let Some(found) = value.pointer_mut(place) {
        *found = number;
    }
}

/// Drops nulls for arguments that may be left out and take no null; returns how many.
pub(super) fn drop_refused_nulls(arguments: &mut Map<String, Value>, tool: &ToolSchema) -> usize {
    let nulls = arguments.iter().filter(|(_, value)| value.is_null());
    let nulls: Vec<String> = nulls.map(|(name, _)| format!("/{}", escaped(name))).collect();
    if nulls.is_empty() {
        return 0;
    }
    as_value(arguments, |arguments| {
        let fails = failures(Some(tool), arguments);
        let refused = nulls.into_iter().filter(|place| fails.at.contains_key(place));
        drop_nulls(arguments, &fails, refused.collect(), Some(tool)).len()
    })
}

/// Drops the nulls at these places, except those that the schema requires; returns the places of
/// the dropped nulls. `fails` says where the arguments do not fit now.
pub(super) fn drop_nulls(
    arguments: &mut Value,
    fails: &Failures,
    mut places: HashSet<String>,
    tool: Option<&ToolSchema>,
) -> HashSet<String> {
    // 1. Drop all at once, then again without those that are required.
    for _ in 0..2 {
        if places.is_empty() {
            return places;
        }
        let (after, left) = without(arguments, &places, tool);
        let missed = |place: &String| left.missing.contains(place);
        if left.count <= fails.count && !places.iter().any(missed) {
            *arguments = after;
            return places;
        }
        places.retain(|place| !missed(place));
    }
    // 2. Drop one by one: their effects depend on each other.
    let (mut count, mut gone) = (fails.count, HashSet::new());
    let mut tried: Vec<String> = places.into_iter().collect();
    tried.sort_unstable();
    for place in tried.into_iter().take(MOST_TRIED) {
        let (after, left) = without(arguments, &HashSet::from([place.clone()]), tool);
        if left.count <= count {
            (*arguments, count) = (after, left.count);
            gone.insert(place);
        }
    }
    gone
}

/// Returns the arguments without the fields at these places, and where they do not fit then.
fn without(arguments: &Value, places: &HashSet<String>, tool: Option<&ToolSchema>) -> (Value, Failures) {
    let mut after = arguments.clone();
    remove(&mut after, "", places);
    let left = failures(tool, &after);
    (after, left)
}

/// Returns where arguments do not fit; nowhere if there is no tool, or if that is unknown.
pub(super) fn failures(tool: Option<&ToolSchema>, arguments: &Value) -> Failures {
    tool.and_then(|tool| tool.failures(arguments)).unwrap_or_default()
}

/// Lets `edit` change arguments as a JSON value.
pub(super) fn as_value<T>(arguments: &mut Map<String, Value>, edit: impl FnOnce(&mut Value) -> T) -> T {
    let mut value = Value::Object(std::mem::take(arguments));
    let result = edit(&mut value);
    if let Value::Object(edited) = value {
        *arguments = edited;
    }
    result
}

/// Finds the places of integers that are written as floats.
fn fractions(value: &Value, place: &str, found: &mut Vec<(String, f64)>) {
    const EXACT: f64 = 9_007_199_254_740_992.0; // integers up to here are different floats
    match value {
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|n| number.is_f64() && n.fract() == 0.0 && n.abs() <= EXACT);
            found.extend(whole.map(|n| (place.to_string(), n)));
        }
        Value::Object(object) => object.iter().for_each(|(name, value)| {
            fractions(value, &format!("{place}/{}", escaped(name)), found);
        }),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(i, item)| fractions(item, &format!("{place}/{i}"), found));
        }
        _ => {}
    }
}

/// Removes the fields at these places; `place` is that of `value`.
pub(super) fn remove(value: &mut Value, place: &str, places: &HashSet<String>) {
    match value {
        Value::Object(object) if !places.is_empty() => object.retain(|name, value| {
            let place = format!("{place}/{}", escaped(name));
            remove(value, &place, places);
            !places.contains(&place)
        }),
        Value::Array(items) if !places.is_empty() => {
            let items = items.iter_mut().enumerate();
            items.for_each(|(i, item)| remove(item, &format!("{place}/{i}"), places));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(parameters: Value) -> ToolSchema {
        ToolSchema::new(json!({"name": "f", "parameters": parameters})).unwrap()
    }

    #[test]
    fn a_null_goes_that_the_schema_refuses_and_does_not_require() {
        let tool = tool(
            json!({"properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]},
            "c": {"type": "integer"}}, "required": ["c"]}),
        );
        let mut arguments = json!({"a": null, "b": null, "c": null})
            .as_object()
            .cloned()
            .unwrap();
        assert_eq!(drop_refused_nulls(&mut arguments, &tool), 1);
        assert_eq!(Value::Object(arguments), json!({"b": null, "c": null}));
    }

    #[test]
    fn fractions_become_whole_where_nothing_else_fits() {
        let tool = tool(
            json!({"properties": {"n": {"type": "integer"}, "x": {"type": "number"}, "l": {"type": "array", "items": {"type": "integer"}}}}),
        );
        let mut arguments = json!({"n": 5.0, "x": 2.0, "l": [1.0, 2.5]})
            .as_object()
            .cloned()
            .unwrap();
        assert_eq!(make_whole(&mut arguments, &tool), 2);
        assert_eq!(
            Value::Object(arguments).to_string(),
            r#"{"n":5,"x":2.0,"l":[1,2.5]}"#
        );
    }
}
