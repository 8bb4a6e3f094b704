//! Keywords and types of JSON schema, and other names for them.

use crate::error::{Problem, nearest_within};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Type names of Python, which function-calling benchmarks write, and those of Gemma's data, each
/// with its name in JSON schema. `any` has none.
const TYPES: [(&str, &str); 15] = [
    ("dict", "object"),
    ("float", "number"),
    ("tuple", "array"),
    ("list", "array"),
    ("any", ""),
    ("str", "string"),
    ("int", "integer"),
    ("bool", "boolean"),
    ("OBJECT", "object"),
    ("ARRAY", "array"),
    ("STRING", "string"),
    ("NUMBER", "number"),
    ("INTEGER", "integer"),
    ("BOOLEAN", "boolean"),
    ("NULL", "null"),
];

/// The types of JSON schema.
const KNOWN_TYPES: [&str; 7] = [
    "null", "boolean", "integer", "number", "string", "array", "object",
];

/// Keywords that hold a schema for a value inside of the value, or several.
pub(super) const INSIDE: [&str; 6] = [
    "items",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "prefixItems",
    "contains",
];

/// Keywords that hold schemas for the same value.
pub(super) const IN_PLACE: [&str; 9] = [
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "then",
    "else",
    "$ref",
    "dependentSchemas",
    "dependencies",
];

/// All other keywords that are known. A key that is almost spelled like a known one is a mistake.
const OTHERS: [&str; 30] = [
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minContains",
    "maxContains",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "not",
    "nullable",
    "definitions",
    "description",
    "default",
    "title",
];

/// Keys that list values as `enum` does.
const LISTS_OF_VALUES: [&str; 7] = [
    "choices",
    "values",
    "options",
    "allowedvalues",
    "possiblevalues",
    "validvalues",
    "acceptedvalues",
];

/// Keys that limit a value, each with the keywords that do.
const LIMITS: [(&str, [&str; 3]); 2] = [
    ("min", ["minimum", "minLength", "minItems"]),
    ("max", ["maximum", "maxLength", "maxItems"]),
];

/// Returns the name in JSON schema of a type under another name; an empty one for `any`.
pub(crate) fn json_type(name: &str) -> Option<&'static str> {
    let found = TYPES.iter().find(|(other, _)| *other == name);
    found.map(|(_, plain)| *plain)
}

/// Returns the types under their names in JSON schema; `None` if any type will do.
pub(super) fn types(value: &Value, path: &str) -> Result<Option<Value>, Problem> {
    let one = |name: &Value| -> Result<&str, Problem> {
        let name = name.as_str().unwrap_or_default();
        match json_type(name).or(KNOWN_TYPES.into_iter().find(|known| *known == name)) {
            Some(name) => Ok(name),
            None => {
                let expected = KNOWN_TYPES.join(", ");
                let problem = format!("{value} is unknown to JSON schema; expected one of {expected}");
                Err((path.to_string(), problem))
            }
        }
    };
    let Value::Array(names) = value else {
        let name = one(value)?;
        return Ok((!name.is_empty()).then(|| name.into()));
    };
    let mut types = names.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    types.dedup();
    Ok((!types.contains(&"")).then(|| json!(types)))
}

/// Refuses a key of `schema` that means a keyword, but is spelled differently or is another word:
/// JSON schema would ignore it. It may repeat what that keyword says next to it.
pub(super) fn refuse_misspelt(
    keyword: &str,
    value: &Value,
    schema: &Map<String, Value>,
    path: &str,
) -> Result<(), Problem> {
    let meant = meant(keyword, value);
    let given = |name: &&'static str| Some((*name, schema.get(*name).filter(|value| !value.is_null())?));
    let given: Vec<(&str, &Value)> = meant.iter().filter_map(given).collect();
    if meant.is_empty() || given.iter().any(|(_, other)| says_the_same(value, other)) {
        return Ok(());
    }
    let problem = match given[..] {
        [(other, _), ..] => format!("differs from `{other}`; write only `{other}`"),
        [] => {
            let meant: Vec<String> = meant.iter().map(|name| format!("`{name}`")).collect();
            format!(
                "is not a keyword of JSON schema; did you mean {}?",
                meant.join(" or ")
            )
        }
    };
    Err((path.to_string(), problem))
}

/// Returns the keywords that a key with this value may mean; none if it is a keyword itself, or no
/// mistake.
fn meant(key: &str, value: &Value) -> Vec<&'static str> {
    let known = || IN_PLACE.into_iter().chain(INSIDE).chain(OTHERS);
    if known().any(|known| known == key) {
        return Vec::new();
    }
    let bare = |word: &str| word.replace(['_', '-'], "").to_ascii_lowercase();
    let bare_key = bare(key);
    let spelt = known().find(|known| bare(known) == bare_key);
    if let Some(near) = spelt.or_else(|| nearest_within(key, known(), 1)) {
        return vec![near];
    }
    let limits = LIMITS.into_iter().find(|(limit, _)| *limit == key);
    match (value, limits) {
        (Value::Number(_), Some((_, keywords))) => keywords.to_vec(),
        (Value::Array(_), _) if LISTS_OF_VALUES.contains(&&*bare_key) => vec!["enum"],
        _ => Vec::new(),
    }
}

/// Returns true for equal values, for equal numbers, and for lists with the same values.
fn says_the_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            let set = |list: &[Value]| list.iter().map(Value::to_string).collect::<HashSet<_>>();
            set(one) == set(other)
        }
        _ => one == other,
    }
}
