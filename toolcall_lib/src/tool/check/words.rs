//! Messages of the checker: the kind of value that a field should have, and the value that came.

use crate::error::{self, Problem, place_in};
use crate::json::kind;
use fancy_regex::CompileError;
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::paths::LocationSegment;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Longest value or list of choices that a message shows, in characters.
const LONGEST: usize = 60;

/// Names a value in a message: its type and its JSON, shortened.
pub(in crate::tool) fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_string(),
        value => format!("{} {}", type_of(value), shortened(&value.to_string())),
    }
}

/// Returns a string with `…` in place of the part that is too long.
pub(super) fn shortened(text: &str) -> String {
    error::shortened(text, LONGEST)
}

/// Returns what is wrong with an invalid schema. A pattern may also be too large to be compiled.
pub(super) fn of_schema(error: &ValidationError<'_>) -> String {
    let pattern = matches!(error.kind(), Kind::Format { .. })
        .then(|| error.instance().as_str())
        .flatten();
    let Some(pattern) = pattern else {
        return shortened(&error.to_string());
    };
    let shown = shortened(pattern);
    let Err(reason) = fancy_regex::Regex::new(pattern) else {
        return format!("{shown} is not a regular expression");
    };
    match is_too_large(&reason) {
        true => format!("the regular expression {shown} is too large"),
        false => format!("{shown} is not a regular expression: {reason}"),
    }
}

/// Returns true if a pattern could be read, and what it compiles to is too large.
fn is_too_large(error: &fancy_regex::Error) -> bool {
    match error {
        fancy_regex::Error::CompileError(error) => match &**error {
            CompileError::InnerError(error) => error.size_limit().is_some(),
            CompileError::PatternTooComplex => true,
            _ => false,
        },
        _ => false,
    }
}

/// Returns the errors of `arguments` as problems of fields; `root` is the schema.
pub(super) fn describe(root: &Value, arguments: &Value, errors: &[ValidationError<'_>]) -> Vec<Problem> {
    let is_evaluated =
        |error: &&ValidationError<'_>| !matches!(error.kind(), Kind::UnevaluatedProperties { .. });
    let explained = |closed: &ValidationError<'_>| {
        let place = closed.instance_path().as_str();
        errors
            .iter()
            .filter(is_evaluated)
            .any(|error| error.instance_path().as_str().starts_with(place))
    };
    let is_unknown = |error: &&ValidationError<'_>| {
        matches!(
            error.kind(),
            Kind::UnevaluatedProperties { .. } | Kind::AdditionalProperties { .. }
        )
    };
    // If a value fits none of its schemas, its fields were not checked, and count as unknown too.
    // These errors say nothing new.
    let told = errors
        .iter()
        .filter(|error| is_evaluated(error) || !explained(error));
    let (unknown, others): (Vec<_>, Vec<_>) = told.partition(is_unknown);
    let mut problems = Vec::new();
    for error in others.into_iter().chain(unknown) {
        describe_one(root, arguments, error, &mut problems);
    }
    problems.dedup();
    problems
}

fn describe_one(root: &Value, arguments: &Value, error: &ValidationError<'_>, problems: &mut Vec<Problem>) {
    let path = path_of(error);
    let (keyword, schema) = schema_of(root, error);
    let value = error.instance();
    match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let expected = expected(root, &schema["properties"][name]);
            problems.push((place_in(&path, name), format!("is missing; expected {expected}")));
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let known = names(root, schema);
            problems.extend(
                unexpected
                    .iter()
                    .map(|name| (place_in(&path, name), unknown(&known))),
            );
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => match of_this_type(error, context) {
            Some(only) => problems.extend(describe(root, arguments, only)),
            None => problems.push((path, mismatch(root, schema, value))),
        },
        Kind::Type { .. } | Kind::Enum { .. } | Kind::Constant { .. } | Kind::Custom { .. } => {
            problems.push((path, mismatch(root, schema, value)));
        }
        Kind::MinItems { .. } | Kind::AdditionalItems { .. } if is_tuple(schema) => {
            let length = schema["prefixItems"].as_array().map_or(0, Vec::len);
            let got = value.as_array().map_or(0, Vec::len);
            problems.push((path, format!("expected {length} items, got {got}")));
        }
        Kind::OneOfMultipleValid { .. } => {
            let problem = format!("fits more than one schema of `oneOf`, got {}", found(value));
            problems.push((path, problem));
        }
        Kind::FalseSchema if keyword == "items" && is_tuple(schema) => {
            let place = error.instance_path().as_str();
            let list = place
                .rsplit_once('/')
                .and_then(|(list, _)| arguments.pointer(list));
            let got = list.and_then(Value::as_array).map_or(0, Vec::len);
            let length = schema["prefixItems"].as_array().map_or(0, Vec::len);
            let path = path.rsplit_once('[').map_or(path.as_str(), |(path, _)| path);
            problems.push((path.to_string(), format!("expected {length} items, got {got}")));
        }
        Kind::FalseSchema => problems.push((path, format!("no value is allowed here, got {}", found(value)))),
        _ => {
            let limit = schema.get(&keyword).map_or(String::new(), |limit| {
                format!(" {}", shortened(&limit.to_string()))
            });
            problems.push((path, format!("expected `{keyword}`{limit}, got {}", found(value))));
        }
    }
}

/// Returns the keyword that an error is about, and the schema that it is in.
fn schema_of<'a>(root: &'a Value, error: &ValidationError<'_>) -> (String, &'a Value) {
    let pointer = error.schema_path().as_str();
    let (parent, keyword) = pointer.rsplit_once('/').unwrap_or_default();
    (keyword.to_string(), root.pointer(parent).unwrap_or(&Value::Null))
}

/// Returns the errors of the one branch that is of the value's type, if there is one.
fn of_this_type<'e, 'v>(
    error: &ValidationError<'_>,
    branches: &'e [Vec<ValidationError<'v>>],
) -> Option<&'e [ValidationError<'v>]> {
    let about_type = |problem: &ValidationError<'_>| {
        let same_value = problem.instance_path() == error.instance_path();
        same_value
            && matches!(
                problem.kind(),
                Kind::Type { .. } | Kind::Enum { .. } | Kind::Constant { .. } | Kind::Custom { .. }
            )
    };
    let mut fitting = branches.iter().filter(|branch| !branch.iter().any(about_type));
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

fn is_tuple(schema: &Value) -> bool {
    let length = schema["prefixItems"].as_array().map(|items| items.len() as u64);
    length.is_some() && schema["minItems"].as_u64() == length
}

fn unknown(known: &[&str]) -> String {
    match known.is_empty() {
        true => "is unknown; the schema has no fields here".to_string(),
        false => format!("is unknown; the schema has {}", shortened(&known.join(", "))),
    }
}

fn mismatch(root: &Value, schema: &Value, value: &Value) -> String {
    format!("expected {}, got {}", expected(root, schema), found(value))
}

/// Returns the names of the fields that a schema knows, and those of the schemas that apply to the
/// same value.
fn names<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a str> {
    let parts = parts(root, schema);
    let names = parts
        .iter()
        .filter_map(|part| part["properties"].as_object())
        .flat_map(Map::keys);
    let mut seen = HashSet::new();
    names
        .map(String::as_str)
        .filter(|name| seen.insert(*name))
        .take(LONGEST) // more of them are not shown
        .collect()
}

/// Returns a schema and those that apply to the same value.
fn parts<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![schema];
    let mut seen = HashSet::from([std::ptr::from_ref(schema)]);
    let mut next = 0;
    while let Some(&schema) = found.get(next) {
        next += 1;
        let lists = ["allOf", "anyOf", "oneOf"]
            .iter()
            .filter_map(|keyword| schema[keyword].as_array());
        let ones = ["then", "else"].iter().filter_map(|keyword| schema.get(*keyword));
        let inner = lists.flatten().chain(ones).chain(referred(root, schema));
        for part in inner.collect::<Vec<_>>() {
            if seen.insert(std::ptr::from_ref(part)) {
                found.push(part);
            }
        }
    }
    found
}

/// Returns the schema that `schema` refers to; `root` is in plain JSON schema.
pub(super) fn referred<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    root.pointer(schema["$ref"].as_str()?.strip_prefix('#')?)
}

/// Returns the types that an argument may have; none if it may have any.
pub(super) fn types_of<'a>(root: &'a Value, argument: &str) -> Vec<&'a str> {
    let property = |part: &'a Value| -> Option<&'a Value> { part.get("properties")?.get(argument) };
    let mut types: Vec<&'a str> = Vec::new();
    for schema in parts(root, root)
        .into_iter()
        .filter_map(property)
        .flat_map(|schema| parts(root, schema))
    {
        let names = schema["type"]
            .as_array()
            .map_or(std::slice::from_ref(&schema["type"]), Vec::as_slice);
        types.extend(names.iter().filter_map(Value::as_str));
        if schema["type"].is_null() {
            let choices = schema["enum"]
                .as_array()
                .into_iter()
                .flatten()
                .chain(schema.get("const"));
            types.extend(choices.map(|value| -> &'a str { type_of(value) }));
        }
    }
    types
}

/// Names the values that a schema takes: `one of "C", "F"`, `integer or string`, `array or null`.
fn expected(root: &Value, schema: &Value) -> String {
    let mut words = Vec::new();
    collect_expected(root, schema, &mut words, 0);
    let mut seen = HashSet::new();
    words.retain(|word| seen.insert(word.clone()));
    match words.is_empty() {
        true => "a value".to_string(),
        false => words.join(" or "),
    }
}

fn collect_expected(root: &Value, schema: &Value, words: &mut Vec<String>, depth: usize) {
    const DEEPEST: usize = 8; // a reference may lead back here
    if depth > DEEPEST {
        return;
    }
    let choices = |choices: &[Value]| {
        let shown = choices.iter().take(LONGEST); // more of them are cut off
        let choices: Vec<String> = shown.map(Value::to_string).collect();
        shortened(&choices.join(", "))
    };
    if let Some(list) = schema["enum"].as_array() {
        words.push(format!("one of {}", choices(list)));
    } else if let Some(constant) = schema.get("const") {
        words.push(choices(std::slice::from_ref(constant)));
    } else if let Some(branches) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        branches
            .iter()
            .for_each(|branch| collect_expected(root, branch, words, depth + 1));
    } else if !schema["type"].is_null() {
        let names = schema["type"]
            .as_array()
            .map_or(std::slice::from_ref(&schema["type"]), Vec::as_slice);
        words.extend(names.iter().filter_map(Value::as_str).map(String::from));
    } else if let Some(target) = referred(root, schema) {
        collect_expected(root, target, words, depth + 1);
    } else if let Some(first) = schema["allOf"].as_array().and_then(|all| all.first()) {
        collect_expected(root, first, words, depth + 1);
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if !number.is_f64() => "integer",
        value => kind(value).trim_start_matches("an ").trim_start_matches("a "),
    }
}

/// The field that an error is about, as in `stops[1].minutes`.
pub(super) fn path_of(error: &ValidationError<'_>) -> String {
    let mut path = String::new();
    for segment in error.instance_path().segments() {
        match segment {
            LocationSegment::Index(index) => path += &format!("[{index}]"),
            LocationSegment::Property(name) => path = place_in(&path, &name),
        }
    }
    path
}
