//! Schemas of arguments as the schema of one kind of value: references, nullable types and parts
//! that only wrap another schema are taken apart.

use crate::tool::{json_type, place_of};
use serde_json::{Map, Value, json};

/// Most references and wrappers around a schema; more of them form a cycle.
const MOST_WRAPPERS: usize = 16;

/// Returns the schema of the values that are not null, with what its wrappers say besides.
pub(super) fn unwrapped(root: &Value, schema: &Value) -> Value {
    let mut schema = schema.clone();
    for _ in 0..MOST_WRAPPERS {
        let Some(inner) = inner(root, &schema) else { break };
        let around = match schema {
            Value::Object(around) => around,
            _ => Map::new(),
        };
        // The description and the default of the argument stay; the wrapper itself goes.
        let wrappers = ["$ref", "allOf", "anyOf", "oneOf"];
        let said = around
            .into_iter()
            .filter(|(key, _)| !wrappers.contains(&key.as_str()));
        schema = match inner {
            Value::Object(inner) => Value::Object(inner.into_iter().chain(said).collect()),
            _ => Value::Object(said.collect()),
        };
    }
    // One type, under its name in JSON schema.
    let given = match &schema["type"] {
        Value::Array(types) => types.iter().find(|name| *name != "null"),
        one => Some(one),
    };
    if let Some(name) = given.and_then(Value::as_str) {
        schema["type"] = json_type(name).unwrap_or(name).into();
    }
    if let Some(value) = schema.get("const").cloned() {
        schema["enum"] = json!([value]);
    }
    schema
}

/// Returns the schema that this one refers to, or the only one of its parts that is not null.
fn inner(root: &Value, schema: &Value) -> Option<Value> {
    if let Some(target) = schema["$ref"].as_str() {
        return place_of(root, target).cloned();
    }
    let parts = ["allOf", "anyOf", "oneOf"]
        .into_iter()
        .find_map(|keyword| schema[keyword].as_array())?;
    let mut parts = parts.iter().filter(|part| part["type"] != "null");
    let first = parts.next()?;
    parts.next().is_none().then(|| first.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_nullable_types_are_taken_apart() {
        let root = json!({"$defs": {"color": {"enum": ["red"]}, "loop": {"$ref": "#/$defs/loop"}}});
        for (schema, expected) in [
            (json!({"type": ["null", "integer"]}), json!({"type": "integer"})),
            (json!({"type": "float"}), json!({"type": "number"})),
            (
                json!({"anyOf": [{"type": "integer"}, {"type": "null"}], "default": null, "description": "A."}),
                json!({"type": "integer", "default": null, "description": "A."}),
            ),
            (
                json!({"allOf": [{"$ref": "#/%24defs/color"}]}),
                json!({"enum": ["red"]}),
            ),
            (json!({"const": 3}), json!({"const": 3, "enum": [3]})),
            (json!(true), json!(true)),
            (
                json!({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
                json!({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
            ),
        ] {
            assert_eq!(unwrapped(&root, &schema), expected, "{schema}");
        }
        unwrapped(&root, &json!({"$ref": "#/$defs/loop"})); // ends
    }
}
