//! The arguments of a call as data files hold them: an object, or its JSON text; with nulls that Arrow left.

use serde_json::{Map, Value};

/// The arguments of a call: an object, the JSON text of one, or nothing. `Err` says what is wrong.
pub(super) fn parse(value: Option<&Value>) -> Result<Map<String, Value>, String> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(arguments)) => Ok(arguments.clone()),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(Map::new()),
        Some(Value::String(text)) => match serde_json::from_str(text) {
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
        Some(other) => Err(format!(
            "found {}, expected an object or its JSON text",
            kind(other)
        )),
    }
}

/// Removes the nulls that Arrow writes for arguments of *other* tools: `{"duration": 60, "time": null}`.
/// A null stays where `schema` (JSON schema of the object) requires the argument: that one was meant.
pub(super) fn strip_nulls(arguments: &mut Map<String, Value>, schema: Option<&Value>) {
    let required = |name: &str| {
        let names = schema
            .and_then(|schema| schema.get("required"))
            .and_then(Value::as_array);
        names.is_some_and(|names| names.iter().any(|required| required == name))
    };
    arguments.retain(|name, value| !value.is_null() || required(name));
    let properties = schema.and_then(|schema| schema.get("properties"));
    for (name, value) in arguments {
        strip_nested(value, properties.and_then(|properties| properties.get(name)));
    }
}

fn strip_nested(value: &mut Value, schema: Option<&Value>) {
    match value {
        Value::Object(fields) => strip_nulls(fields, schema),
        Value::Array(items) => {
            let schema = schema.and_then(|schema| schema.get("items"));
            items.iter_mut().for_each(|item| strip_nested(item, schema));
        }
        _ => {}
    }
}

/// Removes every null field, as tool schemas have none of their own.
pub(super) fn strip_all_nulls(value: &mut Value) {
    strip_nested(value, None);
}

/// What a JSON value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_texts_and_nothing_are_arguments() {
        let expected = json!({"duration": 60});
        for given in [json!({"duration": 60}), json!("{\"duration\": 60}")] {
            assert_eq!(Value::Object(parse(Some(&given)).unwrap()), expected);
        }
        for given in [
            None,
            Some(json!(null)),
            Some(json!("")),
            Some(json!("{}")),
            Some(json!("null")),
        ] {
            assert!(parse(given.as_ref()).unwrap().is_empty());
        }
    }

    #[test]
    fn other_values_are_refused_with_a_reason() {
        let refused = |given: Value| parse(Some(&given)).unwrap_err();
        assert!(refused(json!("\"{\\\"duration\\\": 60}\"")).contains("encoded twice"));
        assert!(refused(json!("[60]")).contains("holds an array, expected a JSON object"));
        assert!(refused(json!("{duration")).contains("not valid JSON"));
        assert!(refused(json!(60)).contains("found a number"));
    }

    #[test]
    fn nulls_of_optional_and_unknown_arguments_go_and_required_ones_stay() {
        let schema = json!({
            "properties": {"duration": {"type": "integer"}, "label": {"type": "string"}, "note": {"nullable": true}},
            "required": ["duration", "note"]
        });
        let given = json!({"duration": 60, "time": null, "label": null, "note": null});
        let Value::Object(mut arguments) = given else {
            unreachable!()
        };
        strip_nulls(&mut arguments, Some(&schema));
        assert_eq!(Value::Object(arguments), json!({"duration": 60, "note": null}));
    }

    #[test]
    fn nulls_inside_objects_and_lists_go_and_list_items_stay() {
        let mut value = json!({"a": {"b": null, "c": 1}, "d": [{"e": null}, null]});
        strip_all_nulls(&mut value);
        assert_eq!(value, json!({"a": {"c": 1}, "d": [{}, null]}));
    }
}
