//! Reads a call from its JSON, in all forms that APIs and models write.

use super::ToolCall;
use crate::error::{Problem, joined};
use crate::json::{self, kind};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Names under which a call may have its arguments.
pub(crate) const ARGUMENTS: [&str; 4] = ["arguments", "parameters", "args", "input"];

/// Keys that identify the call. With both, in the Responses API, answers name the first.
const IDS: [&str; 2] = ["call_id", "id"];

/// Keys that change nothing: the place in a stream, the state of a request, and a copy of the
/// arguments, which is compared with them.
const HARMLESS: [&str; 3] = ["index", "status", COPY];

/// Key of a copy of the arguments.
const COPY: &str = "parsed_arguments";

/// Values of `type` for a call.
const TYPES: [&str; 4] = ["function", "function_call", "tool_call", "tool_use"];

/// Reads `{"type": "function", "function": {"name": …, "arguments": {…}}}`, the flat
/// `{"name": …, "arguments": {…}}`, and both with `parameters`, `args` or `input` for `arguments`,
/// and with an `id`. Null counts as absent.
///
/// # Errors
/// Lists, with fields such as `.name`, all unknown keys, a missing name, and arguments that are
/// neither an object nor a JSON string of one.
pub(crate) fn call(value: &Value) -> Result<ToolCall, Vec<Problem>> {
    let Value::Object(outer) = value else {
        return Err(vec![(
            String::new(),
            format!("found {}, expected {SHAPE}", kind(value)),
        )]);
    };
    let mut problems = Vec::new();
    // 1. The object with name and arguments.
    let (function, place) = match outer.get("function") {
        Some(Value::Object(function)) => (function, ".function"),
        Some(Value::Null) | None => (outer, ""),
        Some(other) => {
            let problem = format!(
                "found {}, expected {{\"name\": …, \"arguments\": {{…}}}}",
                kind(other)
            );
            return Err(vec![(".function".into(), problem)]);
        }
    };
    // 2. Its keys.
    let wrapped = !place.is_empty();
    problems.extend(unknown_keys(outer, "", !wrapped));
    if wrapped {
        problems.extend(unknown_keys(function, place, true));
    }
    if let Some(kind) = outer.get("type").filter(|kind| !is_type(kind)) {
        problems.push((".type".into(), format!("found {kind}, expected \"function\"")));
    }
    // 3. Name and arguments.
    let name = function.get("name").and_then(Value::as_str);
    if name.is_none() {
        problems.push((".name".into(), format!("missing; a call is {SHAPE}")));
    }
    let arguments = arguments_of(function).unwrap_or_else(|problem| {
        problems.push(problem);
        Map::new()
    });
    if problems.is_empty() {
        let copy = other_copy(outer, "", &arguments);
        problems.extend(copy.or_else(|| other_copy(function, place, &arguments)));
    }
    let id = id_of_call(outer).unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    match (name, problems.is_empty()) {
        (Some(name), true) => Ok(ToolCall {
            id,
            name: name.into(),
            arguments,
        }),
        _ => Err(problems),
    }
}

impl<'de> Deserialize<'de> for ToolCall {
    /// Accepts every form in which a data file may hold a call.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        call(&value).map_err(|mut problems| {
            for (field, _) in &mut problems {
                field.insert_str(0, "call");
            }
            D::Error::custom(joined(&problems))
        })
    }
}

/// Returns the object with the name and the arguments of a call: its `function`, or the call
/// itself.
pub(crate) fn function_of(call: &Value) -> &Value {
    let function = Some(&call["function"]).filter(|function| function.is_object());
    function.unwrap_or(call)
}

const SHAPE: &str = r#"{"name": …, "arguments": {…}}"#;

fn is_type(value: &Value) -> bool {
    value.is_null() || TYPES.iter().any(|kind| value == kind)
}

/// Returns the unknown keys of a call, or of its function.
fn unknown_keys(object: &Map<String, Value>, place: &str, is_function: bool) -> Vec<Problem> {
    let of_function = |key: &str| key == "name" || ARGUMENTS.contains(&key);
    let of_call = |key: &str| IDS.contains(&key) || key == "type" || key == "function";
    let known = |key: &str| {
        HARMLESS.contains(&key) || (is_function && of_function(key)) || (place.is_empty() && of_call(key))
    };
    let expected = if is_function {
        "name and arguments"
    } else {
        "id, type and function"
    };
    let unknown = object
        .iter()
        .filter(|(key, value)| !value.is_null() && !known(key));
    unknown
        .map(|(key, _)| {
            let problem = format!("is not a known key of a call; expected {expected}");
            (format!("{place}.{key}"), problem)
        })
        .collect()
}

fn id_of_call(call: &Map<String, Value>) -> Result<Option<String>, Problem> {
    for key in IDS {
        let id = call.get(key).unwrap_or(&Value::Null);
        if let Some(id) = id_of(id).map_err(|problem| (format!(".{key}"), problem))? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Reads the id of a call: a string, or a number. Null is none.
pub(crate) fn id_of(id: &Value) -> Result<Option<String>, String> {
    match id {
        Value::Null => Ok(None),
        Value::String(id) => Ok(Some(id.clone())),
        Value::Number(id) => Ok(Some(id.to_string())),
        other => Err(format!("found {}, expected a string", kind(other))),
    }
}

/// Returns the problem of a copy of the arguments that differs from them.
fn other_copy(object: &Map<String, Value>, place: &str, arguments: &Map<String, Value>) -> Option<Problem> {
    let copy = object.get(COPY).filter(|copy| !copy.is_null())?;
    (copy.as_object() != Some(arguments)).then(|| {
        let problem = "differs from `arguments`; write the arguments once";
        (format!("{place}.{COPY}"), problem.to_string())
    })
}

fn arguments_of(function: &Map<String, Value>) -> Result<Map<String, Value>, Problem> {
    let given = ARGUMENTS
        .into_iter()
        .filter(|key| function.get(*key).is_some_and(|value| !value.is_null()));
    match given.collect::<Vec<_>>()[..] {
        [] => Ok(Map::new()),
        [key] => arguments(&function[key]).map_err(|problem| (format!(".{key}"), problem)),
        [first, second, ..] => Err((
            format!(".{second}"),
            format!("is given as well as `{first}`; a call has its arguments once"),
        )),
    }
}

/// Returns the arguments of a call: an object, a JSON string of one, or nothing. `Err` has the
/// problem.
pub(crate) fn arguments(value: &Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Null => Ok(Map::new()),
        Value::Object(arguments) => Ok(arguments.clone()),
        Value::String(text) if text.trim().is_empty() => Ok(Map::new()),
        Value::String(text) => match json::read(text) {
            Ok(Value::Object(arguments)) => Ok(arguments),
            Ok(Value::Null) => Ok(Map::new()),
            Ok(Value::String(_)) => Err(
                "the JSON is encoded twice: this string holds a JSON string; encode the arguments once"
                    .into(),
            ),
            Ok(other) => Err(format!(
                "the string holds {}, expected a JSON object",
                kind(&other)
            )),
            Err(error) => Err(format!("the string is not valid JSON ({error})")),
        },
        other => Err(format!(
            "found {}, expected an object or a JSON string of it",
            kind(other)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(value: Value) -> String {
        let problems = call(&value).unwrap_err();
        let lines: Vec<String> = problems
            .iter()
            .map(|(field, problem)| format!("{field}: {problem}"))
            .collect();
        lines.join("\n")
    }

    #[test]
    fn every_form_of_a_call_is_read() {
        let minutes = json!({"minutes": 5});
        for (value, id) in [
            (json!({"name": "water", "arguments": minutes}), None),
            (json!({"name": "water", "arguments": "{\"minutes\": 5}"}), None),
            (json!({"name": "water", "parameters": minutes}), None),
            (json!({"name": "water", "args": minutes, "arguments": null}), None),
            (
                json!({"id": "a", "type": "function", "function": {"name": "water", "arguments": minutes}}),
                Some("a"),
            ),
            (
                json!({"type": "tool_use", "id": "toolu_1", "name": "water", "input": minutes}),
                Some("toolu_1"),
            ),
            (
                json!({"type": "function_call", "call_id": "b", "name": "water", "arguments": "{\"minutes\":5}", "status": "completed"}),
                Some("b"),
            ),
            (
                json!({"id": 7, "index": 0, "function": {"name": "water", "arguments": minutes}}),
                Some("7"),
            ),
        ] {
            let read = call(&value).unwrap();
            assert_eq!((read.name.as_str(), read.id.as_deref()), ("water", id), "{value}");
            assert_eq!(Value::Object(read.arguments), minutes, "{value}");
        }
        for none in [
            json!({"name": "water"}),
            json!({"name": "water", "arguments": null}),
            json!({"name": "water", "arguments": ""}),
        ] {
            assert!(call(&none).unwrap().arguments.is_empty());
        }
    }

    #[test]
    fn a_key_that_is_not_known_is_named() {
        assert_eq!(
            refused(json!({"name": "water", "argument": {"minutes": 5}})),
            ".argument: is not a known key of a call; expected name and arguments"
        );
        assert_eq!(
            refused(json!({"function": {"name": "water", "kwargs": {}}})),
            ".function.kwargs: is not a known key of a call; expected name and arguments"
        );
        assert_eq!(
            refused(json!({"function": {"name": "water"}, "arguments": {"minutes": 5}})),
            ".arguments: is not a known key of a call; expected id, type and function"
        );
        assert!(refused(json!({"type": "custom", "name": "water"})).starts_with(".type: found \"custom\""));
        assert!(refused(json!({"function": "water"})).starts_with(".function: found a string"));
        assert!(refused(json!("water")).starts_with(": found a string, expected {\"name\""));
    }

    #[test]
    fn arguments_stand_once_and_are_an_object() {
        assert_eq!(
            refused(json!({"name": "water", "arguments": {"minutes": 5}, "parameters": {"minutes": 6}})),
            ".parameters: is given as well as `arguments`; a call has its arguments once"
        );
        let wrong = |value: Value| arguments(&value).unwrap_err();
        assert!(wrong(json!("\"{\\\"duration\\\": 60}\"")).contains("encoded twice"));
        assert!(wrong(json!("[60]")).contains("holds an array, expected a JSON object"));
        assert!(wrong(json!("{duration")).contains("not valid JSON"));
        assert!(wrong(json!("{\"a\": 1, \"a\": 2}")).contains("duplicate key `a`"));
        assert!(wrong(json!(60)).contains("found a number"));
    }
}
