//! Reads the calls of a message from JSON, and finds the call that each answer belongs to.

use super::arrow::Shape;
use super::repair::{drop_refused_nulls, make_whole};
use super::{Message, Role};
use crate::error::Problem;
use crate::json::{self, kind};
use crate::python;
use crate::tool::{ToolCall, ToolSchema, read};
use serde_json::Value;

/// Reads the list of calls at `field`, or its JSON string.
pub(super) fn tool_calls(value: &Value, field: &str) -> Result<Vec<ToolCall>, Vec<Problem>> {
    let value = match value {
        Value::String(_) => decoded(value, field).map_err(|problem| vec![problem])?,
        value => value.clone(),
    };
    let calls = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(calls) => calls,
        other => {
            let problem = format!("found {}, expected a list of calls", kind(&other));
            return Err(vec![(field.into(), problem)]);
        }
    };
    all(calls
        .iter()
        .enumerate()
        .map(|(index, call)| tool_call(call, &format!("{field}[{index}]"))))
}

/// Reads the call at `field`.
pub(super) fn tool_call(value: &Value, field: &str) -> Result<ToolCall, Vec<Problem>> {
    let call = read::call(value).map_err(|problems| {
        let problems = problems.into_iter();
        problems
            .map(|(place, problem)| (format!("{field}{place}"), problem))
            .collect::<Vec<_>>()
    })?;
    if call.name.is_empty() {
        return Err(vec![(
            format!("{field}.name"),
            "is empty; expected the name of a tool".into(),
        )]);
    }
    Ok(call)
}

/// Changes that were made to the arguments of a row.
#[derive(Default)]
pub(super) struct Cleaned {
    /// Floats that became integers.
    pub whole: usize,
    /// Nulls that were dropped because the schema does not accept them.
    pub nulls: usize,
    /// Nulls that the schema accepts and that were dropped because Arrow may have put them there.
    pub padding: usize,
}

/// Removes from the arguments what Arrow put there, and what no schema accepts.
pub(super) fn clean_arguments(messages: &mut [Message], tools: &[ToolSchema], shape: &Shape) -> Cleaned {
    let mut cleaned = Cleaned::default();
    for call in messages.iter_mut().flat_map(|message| &mut message.tool_calls) {
        let tool = tools.iter().find(|tool| tool.name() == call.name);
        cleaned.padding += shape.clean_arguments(&mut call.arguments, tool);
        if let Some(tool) = tool {
            cleaned.nulls += drop_refused_nulls(&mut call.arguments, tool);
            cleaned.whole += make_whole(&mut call.arguments, tool);
        }
    }
    cleaned
}

/// Names each tool message after the call that it answers: by `tool_call_id`, by its own name, or
/// by its place.
pub(super) fn name_answers(messages: &mut [Message]) {
    let mut waiting: Vec<(Option<String>, String)> = Vec::new();
    for message in messages {
        if message.role == Role::Assistant {
            let calls = message.tool_calls.iter();
            waiting = calls.map(|call| (call.id.clone(), call.name.clone())).collect();
        } else if message.role == Role::Tool {
            let (id, name) = (&message.tool_call_id, &message.name);
            let of_id = |(call, _): &(Option<String>, String)| id.is_some() && call == id;
            let of_name = |(_, called): &(Option<String>, String)| name.as_ref() == Some(called);
            let by_id = waiting
                .iter()
                .position(|call| of_id(call) && (name.is_none() || of_name(call)));
            let by_name = || waiting.iter().position(of_name);
            let by_place = || (id.is_none() && name.is_none() && !waiting.is_empty()).then_some(0);
            if let Some(index) = by_id.or_else(by_name).or_else(by_place) {
                let (id, name) = waiting.remove(index);
                message.name = Some(name);
                message.tool_call_id = id.or(message.tool_call_id.take());
            }
        }
    }
}

/// Returns the value in a string of JSON, or of Python as pandas wrote it; any other value as it
/// is.
pub(super) fn decoded(value: &Value, field: &str) -> Result<Value, Problem> {
    let Value::String(text) = value else {
        return Ok(value.clone());
    };
    match json::read(text) {
        Ok(Value::String(_)) => Err((
            field.into(),
            "the JSON is encoded twice: this string holds a JSON string; encode it once".into(),
        )),
        Ok(value) => Ok(value),
        Err(error) => match python::read(text) {
            Some(value) if value.is_object() || value.is_array() => Ok(value),
            _ => Err((field.into(), format!("the string is not valid JSON ({error})"))),
        },
    }
}

/// All results, or all problems.
pub(super) fn all<T>(results: impl Iterator<Item = Result<T, Vec<Problem>>>) -> Result<Vec<T>, Vec<Problem>> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => found.push(value),
            Err(problem) => problems.extend(problem),
        }
    }
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(problems)
    }
}
