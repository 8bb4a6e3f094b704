//! The schemas of each type.

use super::{Unsupported, any_value, refuse, value};
use serde_json::{Map, Value, json};

/// Numbers are smaller than this: whole numbers fit an `i64`, and no text of digits is out of the range of an `f64`.
const LIMIT: f64 = 1e18;

/// Formats of strings that the grammar knows; others only describe.
const FORMATS: [&str; 10] = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
];

fn with(kind: &str, schema: &Map<String, Value>, keywords: &[&str]) -> Value {
    let mut kept = Map::from_iter([("type".to_string(), json!(kind))]);
    let given = keywords
        .iter()
        .filter_map(|&k| Some((k.to_string(), schema.get(k)?.clone())));
    kept.extend(given);
    kept.into()
}

pub(super) fn string(schema: &Map<String, Value>) -> Value {
    let mut string = with("string", schema, &["minLength", "maxLength", "pattern", "format"]);
    let known = string["format"]
        .as_str()
        .is_some_and(|format| FORMATS.contains(&format));
    if let Some(object) = string.as_object_mut().filter(|_| !known) {
        object.shift_remove("format");
    }
    string
}

/// The numbers below zero and the others: integers apart, because `-0` is none.
pub(super) fn numbers(schema: &Map<String, Value>, integer: bool) -> Vec<Value> {
    let kind = if integer { "integer" } else { "number" };
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let lowest = [bound("minimum"), bound("exclusiveMinimum"), Some(-LIMIT)];
    let highest = [bound("maximum"), bound("exclusiveMaximum"), Some(LIMIT)];
    let lowest = lowest.into_iter().flatten().fold(f64::NEG_INFINITY, f64::max);
    let highest = highest.into_iter().flatten().fold(f64::INFINITY, f64::min);
    let within = |from: f64, to: f64| {
        let keywords = ["exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
        let mut numbers = with(kind, schema, &keywords);
        numbers["minimum"] = json!(from);
        numbers["maximum"] = json!(to);
        numbers
    };
    if integer && lowest < 0.0 && highest >= 0.0 {
        let mut parts = vec![within(0.0, highest)];
        if lowest <= -1.0 {
            parts.push(within(lowest, -1.0));
        }
        parts
    } else {
        vec![within(lowest, highest)]
    }
}

pub(super) fn array(schema: &Map<String, Value>, path: &str) -> Result<Value, Unsupported> {
    let mut array = with("array", schema, &["minItems", "maxItems"]);
    let rest = schema.get("items");
    if let Some(prefix) = schema.get("prefixItems").and_then(Value::as_array) {
        let items = prefix.iter().enumerate();
        let items: Vec<Value> = items
            .map(|(i, item)| value(item, &format!("{path}[{i}]")))
            .collect::<Result<_, _>>()?;
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        array["minItems"] = json!(least.max(prefix.len() as u64));
        array["prefixItems"] = items.into();
        if rest.is_none() {
            array["items"] = json!(false);
            array["maxItems"] = json!(prefix.len());
            return Ok(array);
        }
    }
    array["items"] = match rest {
        Some(items) => value(items, &format!("{path}[]"))?,
        None => any_value(),
    };
    Ok(array)
}

pub(super) fn object(schema: &Map<String, Value>, path: &str) -> Result<Value, Unsupported> {
    let mut object = with("object", schema, &["required", "minProperties", "maxProperties"]);
    let join = |name: &str| match path {
        "" => name.to_string(),
        _ => format!("{path}.{name}"),
    };
    let mut properties = Map::new();
    for (name, schema) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        properties.insert(name.clone(), value(schema, &join(name))?);
    }
    let open = match schema.get("additionalProperties") {
        Some(open) => value(open, &join("*"))?,
        None if schema.contains_key("properties") => json!(false),
        None => any_value(),
    };
    if open == false {
        let required = object["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        if let Some(missing) = required.into_iter().find(|name| !properties.contains_key(*name)) {
            return refuse(&join(missing), "it is `required` but not among the `properties`");
        }
    }
    object["properties"] = properties.into();
    object["additionalProperties"] = open;
    Ok(object)
}
