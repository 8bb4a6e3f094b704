//! The schema of a tool's arguments as the grammar takes it: what it accepts, [`ToolSchema::check`] accepts too.
//!
//! That check is stricter than JSON schema. An object is closed unless `additionalProperties` opens it, a tuple has its exact
//! length, `-0` and whole numbers of more digits than an `i64` has are no integers; and a number that does not fit an `f64`
//! cannot be read at all. So numbers are held below 10^18 and written without an exponent, where a schema says nothing else.
//!
//! [`ToolSchema::check`]: crate::tool::ToolSchema::check

mod types;

use crate::tool::fits;
use serde_json::{Map, Value, json};
use types::{array, numbers, object, string};

/// What a schema asks for that cannot be held to: where in the arguments, and the problem.
pub(super) type Unsupported = (String, String);

/// Where the schema of any value stands.
const ANY: &str = "any value";

/// Keywords that restrict a value and that the grammar does not know. What is neither here nor below only describes.
const REFUSED: [&str; 18] = [
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "propertyNames",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "unevaluatedItems",
    "unevaluatedProperties",
    "additionalItems",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
    "$dynamicRef",
    "$recursiveRef",
];

/// The schema of the arguments of a call.
pub(super) fn arguments(parameters: &Value) -> Result<Value, Unsupported> {
    let mut closed = parameters.as_object().cloned().unwrap_or_default();
    closed.insert("type".to_string(), json!("object"));
    closed.entry("properties").or_insert_with(|| json!({}));
    let mut prepared = value(&closed.into(), "")?;
    let mut definitions = Map::from_iter([(ANY.to_string(), any())]);
    for place in ["$defs", "definitions"] {
        for (name, schema) in parameters[place].as_object().into_iter().flatten() {
            definitions.insert(name.clone(), value(schema, &format!("{place}.{name}"))?);
        }
    }
    prepared["$defs"] = definitions.into();
    Ok(prepared)
}

/// Any JSON.
fn any() -> Value {
    let any = any_value();
    let mut types = numbers(&Map::new(), false);
    types.extend([
        json!({"type": "null"}),
        json!({"type": "boolean"}),
        json!({"type": "string"}),
        json!({"type": "array", "items": any}),
        json!({"type": "object", "additionalProperties": any}),
    ]);
    json!({ "anyOf": types })
}

/// A reference to the schema of any value.
fn any_value() -> Value {
    reference(ANY)
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn value(schema: &Value, path: &str) -> Result<Value, Unsupported> {
    let schema = match schema {
        Value::Object(schema) => schema,
        Value::Bool(true) => return Ok(any_value()),
        Value::Bool(false) => return Ok(json!(false)),
        _ => return refuse(path, "a schema must be an object"),
    };
    let restricts = |keyword: &&&str| schema.get(**keyword).is_some_and(|value| *value != false);
    if let Some(keyword) = REFUSED.iter().find(restricts) {
        return refuse(path, format!("the keyword `{keyword}` is not supported"));
    }
    if schema.get("nullable") == Some(&Value::Bool(true)) {
        let mut other = schema.clone();
        other.shift_remove("nullable");
        return Ok(json!({"anyOf": [value(&other.into(), path)?, {"type": "null"}]}));
    }
    if let Some(branches) = schema.get("anyOf").or(schema.get("oneOf")) {
        return branches_of(branches, path);
    }
    if let Some(all) = schema.get("allOf") {
        return match all.as_array().map(Vec::as_slice) {
            Some([only]) => value(only, path),
            _ => refuse(path, "the keyword `allOf` is supported with one schema only"),
        };
    }
    if let Some(target) = schema.get("$ref") {
        let local = target.as_str().and_then(|target| {
            target
                .strip_prefix("#/$defs/")
                .or(target.strip_prefix("#/definitions/"))
        });
        return match local {
            Some(name) => Ok(reference(name)),
            None => refuse(path, "the keyword `$ref` is supported for `#/$defs/…` only"),
        };
    }
    if schema.contains_key("enum") || schema.contains_key("const") {
        return choice(schema, path);
    }
    typed(schema, path)
}

fn branches_of(branches: &Value, path: &str) -> Result<Value, Unsupported> {
    let Some(branches) = branches.as_array().filter(|branches| !branches.is_empty()) else {
        return refuse(path, "`anyOf` and `oneOf` must be lists of schemas");
    };
    let branches: Vec<Value> = branches
        .iter()
        .map(|branch| value(branch, path))
        .collect::<Result<_, _>>()?;
    Ok(json!({ "anyOf": branches }))
}

/// The values of `enum` or `const` that are of the schema's type.
fn choice(schema: &Map<String, Value>, path: &str) -> Result<Value, Unsupported> {
    let given = match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(choices)), _) => choices.clone(),
        (_, Some(constant)) => vec![constant.clone()],
        _ => return refuse(path, "`enum` must be a list of values"),
    };
    let schema = Value::Object(schema.clone());
    let fitting: Vec<Value> = given.into_iter().filter(|choice| fits(&schema, choice)).collect();
    if fitting.is_empty() {
        return refuse(path, "`enum` has no value of its `type`");
    }
    Ok(json!({ "enum": fitting }))
}

fn typed(schema: &Map<String, Value>, path: &str) -> Result<Value, Unsupported> {
    let name = match schema.get("type") {
        Some(Value::Array(names)) => {
            let of_type = |name: &Value| {
                let mut schema = schema.clone();
                schema.insert("type".to_string(), name.clone());
                value(&schema.into(), path)
            };
            let branches: Vec<Value> = names.iter().map(of_type).collect::<Result<_, _>>()?;
            return Ok(json!({ "anyOf": branches }));
        }
        Some(name) => name.as_str().unwrap_or_default(),
        None => match implied_type(schema) {
            Some(name) => name,
            None => return Ok(any_value()),
        },
    };
    match name {
        "null" | "boolean" => Ok(json!({ "type": name })),
        "integer" => Ok(json!({ "anyOf": numbers(schema, true) })),
        "number" => Ok(json!({ "anyOf": numbers(schema, false) })),
        "string" => Ok(string(schema)),
        "array" => array(schema, path),
        "object" => object(schema, path),
        other => refuse(path, format!("the type `{other}` is unknown to JSON schema")),
    }
}

/// The type of a schema that only says what values of a type are like.
fn implied_type(schema: &Map<String, Value>) -> Option<&'static str> {
    let has = |keywords: &[&str]| keywords.iter().any(|keyword| schema.contains_key(*keyword));
    if has(&["properties", "additionalProperties", "required"]) {
        Some("object")
    } else if has(&["items", "prefixItems", "minItems", "maxItems"]) {
        Some("array")
    } else if has(&["pattern", "format", "minLength", "maxLength"]) {
        Some("string")
    } else if has(&[
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
    ]) {
        Some("number")
    } else {
        None
    }
}

fn refuse(path: &str, problem: impl Into<String>) -> Result<Value, Unsupported> {
    Err((path.to_string(), problem.into()))
}
