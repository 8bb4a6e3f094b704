//! Do the arguments of a call fit the schema? A checker for the part of JSON schema that tools use.
//!
//! It is stricter than JSON schema where a call must be: `5.0` is no integer, a tuple has its exact length,
//! and an object with `properties` is closed unless `additionalProperties` opens it. Keywords that it does
//! not know (`pattern`, `minimum`, `$ref`, …) accept everything.

use serde_json::{Map, Value};

type Problems = Vec<(String, String)>;

/// All problems of the arguments of a call, as (path of the field, problem).
pub(super) fn arguments(parameters: &Value, arguments: &Map<String, Value>) -> Problems {
    let mut problems = Vec::new();
    check_object(parameters, arguments, "", &mut problems);
    problems
}

/// Whether an argument `value` fits `schema`.
pub(crate) fn fits(schema: &Value, value: &Value) -> bool {
    let mut problems = Vec::new();
    check_value(schema, value, "argument", &mut problems);
    problems.is_empty()
}

/// How a message names a value: its type and its JSON, shortened.
pub(super) fn found(value: &Value) -> String {
    const LONGEST: usize = 60;
    let json = value.to_string();
    match json.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} {}…", type_of(value), &json[..end]),
        None if value.is_null() => json,
        None => format!("{} {json}", type_of(value)),
    }
}

fn check_value(schema: &Value, value: &Value, path: &str, problems: &mut Problems) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if let Some(branches) = branches(schema) {
        return check_union(schema, branches, value, path, problems);
    }
    if !is_choice(schema, value) || !has_type(schema, value) {
        return problems.push((path.to_string(), mismatch(schema, value)));
    }
    match value {
        Value::Object(object) => check_object(schema, object, path, problems),
        Value::Array(items) => check_array(schema, items, path, problems),
        _ => {}
    }
}

fn check_union(schema: &Value, branches: &[Value], value: &Value, path: &str, problems: &mut Problems) {
    let mut of_this_type: Vec<Problems> = Vec::new();
    for branch in branches.iter().filter(|branch| has_type(branch, value)) {
        let mut problems = Vec::new();
        check_value(branch, value, path, &mut problems);
        of_this_type.push(problems);
    }
    match &mut of_this_type[..] {
        found if found.iter().any(Vec::is_empty) => {}
        [only] => problems.append(only),
        _ => problems.push((path.to_string(), mismatch(schema, value))),
    }
}

fn check_object(schema: &Value, object: &Map<String, Value>, path: &str, problems: &mut Problems) {
    let join = |name: &str| {
        if path.is_empty() {
            name.to_string()
        } else {
            format!("{path}.{name}")
        }
    };
    let required = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    for name in required.filter(|name| !object.contains_key(*name)) {
        let expected = expected(&schema["properties"][name]);
        problems.push((join(name), format!("is missing; expected {expected}")));
    }
    // The arguments of a call are a closed object even if the schema of a tool without arguments says
    // nothing.
    let closed = schema.get("properties").is_some() || path.is_empty();
    for (name, value) in object {
        match (schema["properties"].get(name), schema.get("additionalProperties")) {
            (Some(schema), _) => check_value(schema, value, &join(name), problems),
            (None, Some(Value::Bool(false))) => problems.push((join(name), unknown(schema))),
            (None, Some(schema)) => check_value(schema, value, &join(name), problems),
            (None, None) if closed => problems.push((join(name), unknown(schema))),
            (None, None) => {}
        }
    }
}

fn check_array(schema: &Value, items: &[Value], path: &str, problems: &mut Problems) {
    let prefix = schema["prefixItems"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rest = schema.get("items");
    if !prefix.is_empty() && (items.len() < prefix.len() || items.len() > prefix.len() && rest.is_none()) {
        let problem = format!("expected {} items, got {}", prefix.len(), items.len());
        problems.push((path.to_string(), problem));
        return;
    }
    for (index, item) in items.iter().enumerate() {
        if let Some(schema) = prefix.get(index).or(rest) {
            check_value(schema, item, &format!("{path}[{index}]"), problems);
        }
    }
}

fn unknown(schema: &Value) -> String {
    let known: Vec<&str> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| &**name)
        .collect();
    match known.is_empty() {
        true => "is unknown; the schema has no fields here".to_string(),
        false => format!("is unknown; the schema has {}", known.join(", ")),
    }
}

fn mismatch(schema: &Value, value: &Value) -> String {
    format!("expected {}, got {}", expected(schema), found(value))
}

/// What a schema asks for, in words: `one of "C", "F"`, `integer or string`, `array or null`.
fn expected(schema: &Value) -> String {
    let mut parts: Vec<String> = match (branches(schema), schema["enum"].as_array()) {
        (Some(branches), _) => branches.iter().map(expected).collect(),
        (None, Some(choices)) => {
            let choices: Vec<String> = choices.iter().map(Value::to_string).collect();
            vec![format!("one of {}", choices.join(", "))]
        }
        (None, None) => match schema.get("const") {
            Some(constant) => vec![constant.to_string()],
            None => type_names(schema).into_iter().map(String::from).collect(),
        },
    };
    if schema["nullable"] == true {
        parts.push("null".to_string());
    }
    parts.dedup();
    if parts.is_empty() {
        "a value".to_string()
    } else {
        parts.join(" or ")
    }
}

fn branches(schema: &Value) -> Option<&Vec<Value>> {
    schema["anyOf"].as_array().or(schema["oneOf"].as_array())
}

fn is_choice(schema: &Value, value: &Value) -> bool {
    schema["enum"]
        .as_array()
        .is_none_or(|choices| choices.contains(value))
        && schema.get("const").is_none_or(|constant| constant == value)
}

fn type_names(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        name => name.as_str().into_iter().collect(),
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let names = type_names(schema);
    names.is_empty()
        || (value.is_null() && schema["nullable"] == true)
        || names.iter().any(|name| match *name {
            "number" => value.is_number(),
            "integer" | "string" | "boolean" | "array" | "object" | "null" => type_of(value) == *name,
            _ => true,
        })
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The problems of `value` as the argument `x` of schema `x`, one a line.
    fn problems(x: Value, value: Value) -> String {
        let parameters = json!({"type": "object", "properties": {"x": x}, "required": ["x"]});
        let Value::Object(given) = json!({"x": value}) else {
            panic!("an object")
        };
        let lines = arguments(&parameters, &given)
            .into_iter()
            .map(|(field, problem)| format!("{field}: {problem}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn types_are_strict() {
        let samples = [
            json!(5),
            json!(5.0),
            json!("5"),
            json!(true),
            json!([5]),
            json!({"a": 5}),
            json!(null),
        ];
        let fitting = [
            ("integer", vec![0]),
            ("number", vec![0, 1]),
            ("string", vec![2]),
            ("boolean", vec![3]),
            ("array", vec![4]),
            ("object", vec![5]),
            ("null", vec![6]),
        ];
        for (name, fitting) in fitting {
            for (index, sample) in samples.iter().enumerate() {
                let fits = problems(json!({"type": name}), sample.clone()).is_empty();
                assert_eq!(fits, fitting.contains(&index), "{sample} as {name}");
            }
        }
        assert_eq!(
            problems(json!({"type": "integer"}), json!("5")),
            r#"x: expected integer, got string "5""#
        );
    }

    #[test]
    fn all_problems_are_found_with_their_paths() {
        let stop = json!({
            "type": "object",
            "properties": {"city": {"type": "string"}, "minutes": {"type": "integer"}},
            "required": ["city", "minutes"]
        });
        let found = problems(
            json!({"type": "array", "items": stop}),
            json!([{"city": 1, "minutes": 2}, {"minutes": "2", "extra": null}]),
        );
        let expected = "x[0].city: expected string, got integer 1\n\
            x[1].city: is missing; expected string\n\
            x[1].minutes: expected integer, got string \"2\"\n\
            x[1].extra: is unknown; the schema has city, minutes";
        assert_eq!(found, expected);
    }

    #[test]
    fn missing_and_unknown_arguments_are_problems() {
        let n = json!({"type": ["integer", "string"]});
        let parameters = json!({"type": "object", "properties": {"n": n}, "required": ["n"]});
        let given = json!({"m": 1}).as_object().cloned().unwrap();
        let missing = (
            "n".to_string(),
            "is missing; expected integer or string".to_string(),
        );
        let unknown = ("m".to_string(), "is unknown; the schema has n".to_string());
        assert_eq!(arguments(&parameters, &given), [missing, unknown]);
        for without in [
            json!(null),
            json!({}),
            json!({"type": "object", "properties": {}}),
        ] {
            assert_eq!(arguments(&without, &given).len(), 1, "{without}");
            assert_eq!(arguments(&without, &Map::new()), []);
        }
    }

    #[test]
    fn null_fits_only_what_is_nullable() {
        assert_eq!(
            problems(json!({"type": "string", "nullable": true}), json!(null)),
            ""
        );
        assert_eq!(problems(json!({"type": ["string", "null"]}), json!(null)), "");
        assert_eq!(problems(json!({}), json!(null)), "");
        assert_eq!(
            problems(json!({"type": "string"}), json!(null)),
            "x: expected string, got null"
        );
        let branch = json!({"anyOf": [{"type": "string", "nullable": true}, {"type": "integer"}]});
        assert_eq!(problems(branch, json!(null)), "", "nullable in one of several");
        let nullable = json!({"type": "string", "nullable": true});
        assert_eq!(
            problems(nullable, json!(1)),
            "x: expected string or null, got integer 1"
        );
    }

    #[test]
    fn choices_are_named() {
        let unit = json!({"type": "string", "enum": ["C", "F"]});
        assert_eq!(problems(unit.clone(), json!("C")), "");
        assert_eq!(
            problems(unit, json!("K")),
            r#"x: expected one of "C", "F", got string "K""#
        );
        assert_eq!(
            problems(json!({"const": 1}), json!(2)),
            "x: expected 1, got integer 2"
        );
    }

    #[test]
    fn one_branch_of_a_union_must_fit() {
        let union = json!({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}]});
        assert_eq!(problems(union.clone(), json!([1])), "");
        assert_eq!(problems(union.clone(), json!("a")), "");
        assert_eq!(
            problems(union.clone(), json!(["a"])),
            r#"x[0]: expected integer, got string "a""#
        );
        assert_eq!(
            problems(union, json!(5)),
            "x: expected array or string, got integer 5"
        );
    }

    #[test]
    fn a_tuple_has_its_length_and_types() {
        let tuple = json!({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]});
        assert_eq!(problems(tuple.clone(), json!([1, "a"])), "");
        assert_eq!(problems(tuple.clone(), json!([1])), "x: expected 2 items, got 1");
        assert_eq!(
            problems(tuple.clone(), json!([1, "a", 2])),
            "x: expected 2 items, got 3"
        );
        assert_eq!(
            problems(tuple, json!([1, 2])),
            "x[1]: expected string, got integer 2"
        );
    }

    #[test]
    fn additional_properties_open_an_object() {
        let map = json!({"type": "object", "additionalProperties": {"type": "integer"}});
        assert_eq!(problems(map.clone(), json!({"a": 1})), "");
        assert_eq!(
            problems(map, json!({"a": "b"})),
            r#"x.a: expected integer, got string "b""#
        );
        let closed = json!({"type": "object", "additionalProperties": false});
        assert_eq!(
            problems(closed, json!({"a": 1})),
            "x.a: is unknown; the schema has no fields here"
        );
        assert_eq!(problems(json!({"type": "object"}), json!({"a": 1})), "");
        let open = json!({"type": "object", "properties": {}, "additionalProperties": true});
        assert_eq!(problems(open, json!({"a": 1})), "");
    }

    #[test]
    fn long_values_are_shortened_in_messages() {
        let text = problems(json!({"type": "integer"}), json!("ä".repeat(100)));
        assert!(text.ends_with('…') && text.chars().count() < 100, "{text}");
    }
}
