//! Tool calls and tool schemas of a row, from their JSON.

use super::arguments;
use super::arguments::kind;
use super::read::Problem;
use super::{Message, Role};
use crate::tool::{ToolCall, ToolSchema};
use serde_json::Value;

/// Reads a list of calls that stands at `field`.
pub(super) fn tool_calls(value: &Value, field: &str) -> Result<Vec<ToolCall>, Vec<Problem>> {
    let Value::Array(calls) = value else {
        return Err(vec![(
            field.into(),
            format!("found {}, expected a list of calls", kind(value)),
        )]);
    };
    all(calls
        .iter()
        .enumerate()
        .map(|(index, call)| tool_call(call, &format!("{field}[{index}]"))))
}

/// `{"type": "function", "function": {"name", "arguments"}}` or the flat `{"name", "arguments"}`.
fn tool_call(value: &Value, field: &str) -> Result<ToolCall, Problem> {
    let call = value.get("function").unwrap_or(value);
    let Some(name) = call
        .get("name")
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty())
    else {
        return Err((
            format!("{field}.name"),
            r#"missing; a call is {"name": …, "arguments": {…}}"#.into(),
        ));
    };
    match arguments::parse(call.get("arguments")) {
        Ok(arguments) => Ok(ToolCall {
            name: name.into(),
            arguments,
        }),
        Err(problem) => Err((format!("{field}.arguments"), problem)),
    }
}

/// Strips from the arguments the nulls that the schemas do not ask for, and names each tool message after the
/// call that it answers: by its own name, by `tool_call_id`, or by its place.
pub(super) fn fit_to_tools(messages: &mut [Message], items: &[Value], tools: &[ToolSchema]) {
    let mut waiting: Vec<(Option<&Value>, String)> = Vec::new();
    for (message, item) in messages.iter_mut().zip(items) {
        for call in &mut message.tool_calls {
            let tool = tools.iter().find(|tool| tool.name() == call.name);
            arguments::strip_nulls(&mut call.arguments, tool.map(ToolSchema::parameters));
        }
        if message.role == Role::Assistant {
            let names = message.tool_calls.iter().map(|call| call.name.clone());
            waiting = names
                .enumerate()
                .map(|(index, name)| (item["tool_calls"][index].get("id"), name))
                .collect();
        } else if message.role == Role::Tool {
            let id = item.get("tool_call_id").filter(|id| !id.is_null());
            let answered = waiting
                .iter()
                .position(|(call_id, name)| match (&message.name, id) {
                    (Some(own), _) => own == name,
                    (None, Some(id)) => *call_id == Some(id),
                    (None, None) => true,
                });
            if let Some(index) = answered {
                message.name = Some(waiting.remove(index).1);
            }
        }
    }
}

/// The JSON value in a text, or the value itself if it is no text.
pub(super) fn decoded(value: &Value, field: &str) -> Result<Value, Problem> {
    let Value::String(text) = value else {
        return Ok(value.clone());
    };
    match serde_json::from_str(text) {
        Ok(Value::String(_)) => Err((
            field.into(),
            "the JSON is encoded twice: this string holds a JSON string; encode it once".into(),
        )),
        Ok(value) => Ok(value),
        Err(error) => Err((field.into(), format!("the string is not valid JSON ({error})"))),
    }
}

/// All results, or all problems.
pub(super) fn all<T>(results: impl Iterator<Item = Result<T, Problem>>) -> Result<Vec<T>, Vec<Problem>> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => found.push(value),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(problems)
    }
}
