//! The schema of a tool's arguments as the grammar takes it: what it accepts, [`ToolSchema::check`] accepts too.
//!
//! That check is stricter than JSON schema. An object is closed unless `additionalProperties` opens it, a tuple has its exact
//! length, `-0` and whole numbers of more digits than an `i64` has are no integers; and a number that does not fit an `f64`
//! cannot be read at all. So numbers are held below 10^18 and written without an exponent, where a schema says nothing else.
//!
//! [`ToolSchema::check`]: crate::tool::ToolSchema::check

use crate::tool::fits;
use serde_json::{Map, Value, json};

/// What a schema asks for that cannot be held to: where in the arguments, and the problem.
pub(super) type Unsupported = (String, String);

/// Numbers are smaller than this: whole numbers fit an `i64`, and no text of digits is out of the range of an `f64`.
const LIMIT: f64 = 1e18;

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
    let any = reference(ANY);
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

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn value(schema: &Value, path: &str) -> Result<Value, Unsupported> {
    let schema = match schema {
        Value::Object(schema) => schema,
        Value::Bool(true) => return Ok(reference(ANY)),
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
            None => return Ok(reference(ANY)),
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

fn with(kind: &str, schema: &Map<String, Value>, keywords: &[&str]) -> Value {
    let mut kept = Map::from_iter([("type".to_string(), json!(kind))]);
    let given = keywords
        .iter()
        .filter_map(|&k| Some((k.to_string(), schema.get(k)?.clone())));
    kept.extend(given);
    kept.into()
}

fn string(schema: &Map<String, Value>) -> Value {
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
fn numbers(schema: &Map<String, Value>, integer: bool) -> Vec<Value> {
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

fn array(schema: &Map<String, Value>, path: &str) -> Result<Value, Unsupported> {
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
        None => reference(ANY),
    };
    Ok(array)
}

fn object(schema: &Map<String, Value>, path: &str) -> Result<Value, Unsupported> {
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
        None => reference(ANY),
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

fn refuse(path: &str, problem: impl Into<String>) -> Result<Value, Unsupported> {
    Err((path.to_string(), problem.into()))
}
