//! Arguments of a tool as the data sets of xLAM describe them: a flat map from the name of an
//! argument to its description, its type in Python and its default.

use super::hint;
use serde_json::{Map, Value, json};

/// Turns a flat map of arguments into a JSON schema, if the tool has one.
///
/// An argument is required unless its type says `optional` or it has a default. Returns the types
/// that have no counterpart; such an argument takes any value.
///
/// `{"city": {"type": "str", "description": "Where."}}` becomes `{"type": "object", "properties":
/// {"city": {"type": "string", "description": "Where."}}, "required": ["city"]}`.
pub(crate) fn unfold(tool: &mut Value) -> Vec<String> {
    let function = match tool.get("function") {
        Some(Value::Object(_)) => &mut tool["function"],
        _ => tool,
    };
    match function.get_mut("parameters") {
        Some(Value::Object(parameters)) if is_flat(parameters) => {
            let (schema, unknown) = schema(std::mem::take(parameters));
            *parameters = schema;
            unknown
        }
        _ => Vec::new(),
    }
}

/// Returns true for a map whose entries all describe an argument. In a JSON schema, `type` is a
/// string instead.
pub(super) fn is_flat(parameters: &Map<String, Value>) -> bool {
    !parameters.is_empty() && parameters.values().all(describes)
}

/// Returns true for an object that gives the type or the meaning of an argument.
pub(super) fn describes(entry: &Value) -> bool {
    entry["type"].is_string() || entry["description"].is_string()
}

fn schema(parameters: Map<String, Value>) -> (Map<String, Value>, Vec<String>) {
    let (mut properties, mut required, mut unknown) = (Map::new(), Vec::new(), Vec::new());
    for (name, entry) in parameters {
        let Value::Object(mut entry) = entry else { continue };
        let said = entry.shift_remove("type");
        let said = said.as_ref().and_then(Value::as_str).unwrap_or("any");
        let hint = hint::read(said);
        let mut property = hint.schema.unwrap_or_else(|| {
            unknown.push(said.to_string());
            Map::new()
        });
        let is_required = match entry.get("required") {
            Some(&Value::Bool(required)) => {
                entry.shift_remove("required");
                required
            }
            _ => !hint.optional && !entry.contains_key("default"),
        };
        required.extend(is_required.then(|| name.clone()));
        property.extend(entry);
        properties.insert(name, property.into());
    }
    let mut schema = Map::from_iter([
        ("type".to_string(), json!("object")),
        ("properties".to_string(), properties.into()),
    ]);
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    (schema, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_map_becomes_a_schema() {
        let mut tool = json!({"name": "giveaways", "description": "Lists giveaways.", "parameters": {
            "type": {"description": "Of what.", "type": "str", "default": "game"},
            "pages": {"description": "Which.", "type": "List[int]"},
            "limit": {"description": "How many.", "type": "int, optional"},
            "sort": {"description": "By what.", "type": "Callable[[float], float]"}
        }});
        assert_eq!(unfold(&mut tool), ["Callable[[float], float]"]);
        let expected = json!({"name": "giveaways", "description": "Lists giveaways.", "parameters": {
            "type": "object",
            "properties": {
                "type": {"type": "string", "description": "Of what.", "default": "game"},
                "pages": {"type": "array", "items": {"type": "integer"}, "description": "Which."},
                "limit": {"type": "integer", "description": "How many."},
                "sort": {"description": "By what."}
            },
            "required": ["pages", "sort"]
        }});
        assert_eq!(tool.to_string(), expected.to_string());
    }

    #[test]
    fn schemas_stay_as_they_are() {
        for parameters in [
            json!({}),
            json!({"type": "object", "properties": {"type": {"type": "string"}}}),
            json!({"properties": {"a": {"type": "string"}}}),
            json!({"$ref": "#/x"}),
        ] {
            let tool = json!({"function": {"name": "f", "parameters": parameters}});
            let mut same = tool.clone();
            assert!(unfold(&mut same).is_empty());
            assert_eq!(same, tool);
        }
    }
}
