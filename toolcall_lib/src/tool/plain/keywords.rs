//! Keywords and types of JSON schema, and other names for them.

use crate::error::{Problem, nearest_within};
use serde_json::{Value, json};

/// Type names of Python, which function-calling benchmarks write, and those of Gemma's data, each
/// with the one of JSON schema. `any` has none.
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

/// All other keywords whose meaning we know. A key that is almost one of all these is a mistake.
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
const LIMITS: [(&str, &str); 2] = [
    ("min", "`minimum`, `minLength` or `minItems`"),
    ("max", "`maximum`, `maxLength` or `maxItems`"),
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

/// Refuses a key that means a keyword, but is spelled differently or is another word: JSON schema
/// would ignore it.
pub(super) fn refuse_misspelt(keyword: &str, value: &Value, path: &str) -> Result<(), Problem> {
    let known = || IN_PLACE.into_iter().chain(INSIDE).chain(OTHERS);
    if known().any(|known| known == keyword) {
        return Ok(());
    }
    let bare = |word: &str| word.replace(['_', '-'], "").to_ascii_lowercase();
    let spelt = known().find(|known| bare(known) == bare(keyword));
    let near = spelt.or_else(|| nearest_within(keyword, known(), 1));
    let meant = near.map(|near| format!("`{near}`")).or_else(|| {
        let of_list = LISTS_OF_VALUES.contains(&bare(keyword).as_str()) && value.is_array();
        let of_number = LIMITS
            .iter()
            .find(|(limit, _)| *limit == keyword && value.is_number());
        let limit = of_number.map(|(_, keywords)| keywords.to_string());
        limit.or_else(|| of_list.then(|| "`enum`".to_string()))
    });
    match meant {
        Some(meant) => {
            let problem = format!("is not a keyword of JSON schema; did you mean {meant}?");
            Err((path.to_string(), problem))
        }
        None => Ok(()),
    }
}
