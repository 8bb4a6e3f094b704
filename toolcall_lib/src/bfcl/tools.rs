//! The tools of a row as a model is offered them.

use crate::error::Result;
use crate::tool::{ToolSchema, json_type};
use serde_json::{Map, Value};

/// The schema of a tool whose types are Python's. Its name stays as it is, dots included.
pub(super) fn schema(function: &Map<String, Value>) -> Result<ToolSchema> {
    let mut function = function.clone();
    if let Some(parameters) = function.get_mut("parameters") {
        translate(parameters);
    }
    ToolSchema::new(function.into())
}

/// Makes a schema, and the schemas in it, name types as JSON schema does.
fn translate(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    match schema.get("type").and_then(Value::as_str).and_then(json_type) {
        Some("") => drop(schema.shift_remove("type")), // any type
        Some(name) => drop(schema.insert("type".into(), name.into())),
        None => {}
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    properties
        .into_iter()
        .flat_map(Map::values_mut)
        .for_each(translate);
    schema.get_mut("items").into_iter().for_each(translate);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_are_translated_wherever_they_stand() {
        let function = json!({"name": "geo.area", "description": "Area.", "parameters": {
            "type": "dict",
            "properties": {
                "type": {"type": "string", "description": "A dict or a tuple.", "default": "dict"},
                "points": {"type": "array", "items": {"type": "tuple", "items": {"type": "float"}}},
                "options": {"type": "dict", "properties": {"scale": {"type": "float"}, "any": {"type": "any"}}},
            },
            "required": ["points"]
        }});
        let expected = json!({"name": "geo.area", "description": "Area.", "parameters": {
            "type": "object",
            "properties": {
                "type": {"type": "string", "description": "A dict or a tuple.", "default": "dict"},
                "points": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
                "options": {"type": "object", "properties": {"scale": {"type": "number"}, "any": {}}},
            },
            "required": ["points"]
        }});
        let schema = schema(function.as_object().unwrap()).unwrap();
        assert_eq!(schema.0["function"], expected);
        assert_eq!(schema.name(), "geo.area");
    }
}
