//! JSON of one row to a [`Conversation`], in every form that data files use. Collects all problems of the row.

use super::arguments::{kind, strip_all_nulls};
use super::calls::{all, decoded, fit_to_tools, tool_calls};
use super::{Conversation, Message, Role};
use crate::tool::{ToolCall, ToolSchema};
use serde_json::{Map, Value};

/// A field of a row and what is wrong with it.
pub(crate) type Problem = (String, String);

/// A conversation and where in its row each message stands, such as `messages[1]`.
pub(crate) struct Read {
    pub(crate) conversation: Conversation,
    pub(crate) fields: Vec<String>,
}

/// Reads one row. `default_tools` are for rows without `tools` of their own.
pub(crate) fn read(row: &Value, default_tools: &[ToolSchema]) -> Result<Read, Vec<Problem>> {
    let Value::Object(row) = row else {
        return Err(vec![(
            "row".into(),
            format!("found {}, expected {ROW}", kind(row)),
        )]);
    };
    let (list, items) = message_list(row).map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    let mut messages = Vec::new();
    let mut fields: Vec<String> = (0..items.len()).map(|index| format!("{list}[{index}]")).collect();
    for (item, field) in items.iter().zip(&fields) {
        match message(item, field) {
            Ok(message) => messages.push(message),
            Err(found) => problems.extend(found),
        }
    }
    let tools = tools(row.get("tools")).unwrap_or_else(|found| {
        problems.extend(found);
        Vec::new()
    });
    if !problems.is_empty() {
        return Err(problems);
    }
    let tools = if tools.is_empty() {
        default_tools.to_vec()
    } else {
        tools
    };
    fit_to_tools(&mut messages, items, &tools);
    if let Some(text) = row
        .get("system")
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
    {
        messages.insert(0, Message::system(text));
        fields.insert(0, "system".into());
    }
    Ok(Read {
        conversation: Conversation { messages, tools },
        fields,
    })
}

const ROW: &str = r#"an object such as {"messages": […], "tools": […]}"#;

fn message_list(row: &Map<String, Value>) -> Result<(&'static str, &[Value]), Problem> {
    let found = ["messages", "conversations"]
        .into_iter()
        .find_map(|list| Some((list, row.get(list)?)));
    match found {
        Some((list, Value::Array(items))) => Ok((list, items)),
        Some((list, other)) => Err((
            list.into(),
            format!("found {}, expected a list of messages", kind(other)),
        )),
        None => Err(("messages".into(), format!("missing; a row is {ROW}"))),
    }
}

/// Reads one message that stands at `field`.
pub(super) fn message(value: &Value, field: &str) -> Result<Message, Vec<Problem>> {
    let Value::Object(object) = value else {
        let problem = format!("found {}, expected an object with role and content", kind(value));
        return Err(vec![(field.into(), problem)]);
    };
    let problem = |key: &str, problem: String| vec![(format!("{field}.{key}"), problem)];
    let (role_key, role_name) = either(object, "role", "from");
    let (text_key, text) = either(object, "content", "value");
    let Some(role_name) = role_name.as_str() else {
        return Err(problem(
            role_key,
            format!("found {}, expected {ROLES}", kind(role_name)),
        ));
    };
    if role_name == "function_call" {
        return Ok(Message::assistant_calls(json_calls(
            text,
            &format!("{field}.{text_key}"),
        )?));
    }
    let Some(role) = role(role_name) else {
        return Err(problem(
            role_key,
            format!("found `{role_name}`, expected {ROLES}"),
        ));
    };
    let optional = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_string);
    Ok(Message {
        role,
        content: content(role, text).map_err(|found| problem(text_key, found))?,
        reasoning_content: optional("reasoning_content"),
        tool_calls: match object.get("tool_calls") {
            None | Some(Value::Null) => Vec::new(),
            Some(calls) => tool_calls(calls, &format!("{field}.tool_calls"))?,
        },
        name: optional("name").filter(|_| role == Role::Tool),
    })
}

const ROLES: &str =
    "system, user, assistant or tool (ShareGPT: system, human, gpt, function_call, observation)";

fn role(name: &str) -> Option<Role> {
    match name {
        "system" => Some(Role::System),
        "user" | "human" => Some(Role::User),
        "assistant" | "gpt" => Some(Role::Assistant),
        "tool" | "observation" => Some(Role::Tool),
        _ => None,
    }
}

/// The key of chat templates or the one of ShareGPT, whichever is there, and its value.
fn either<'a>(object: &'a Map<String, Value>, key: &'a str, sharegpt: &'a str) -> (&'a str, &'a Value) {
    let found = [key, sharegpt]
        .into_iter()
        .find_map(|key| Some((key, object.get(key)?)));
    found.unwrap_or((key, &Value::Null))
}

/// The text of a message. A tool may answer with any JSON value; others speak text or a list of text parts.
fn content(role: Role, value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        other if role == Role::Tool => Ok(other.to_string()),
        Value::Array(parts) => {
            let texts: Option<Vec<&str>> = parts.iter().map(|part| part.get("text")?.as_str()).collect();
            texts
                .map(|texts| texts.concat())
                .ok_or("found an array with parts that are no text".into())
        }
        other => Err(format!("found {}, expected a string", kind(other))),
    }
}

/// ShareGPT: the value of a `function_call` message is the JSON text of one call or of a list of calls.
fn json_calls(value: &Value, field: &str) -> Result<Vec<ToolCall>, Vec<Problem>> {
    let calls = decoded(value, field).map_err(|problem| vec![problem])?;
    let calls = if calls.is_array() {
        calls
    } else {
        Value::Array(vec![calls])
    };
    tool_calls(&calls, field)
}

/// The tools of a row: a list of schemas or its JSON text; nothing gives none.
fn tools(value: Option<&Value>) -> Result<Vec<ToolSchema>, Vec<Problem>> {
    let list = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => return Ok(Vec::new()),
        Some(value) => decoded(value, "tools").map_err(|problem| vec![problem])?,
    };
    let Value::Array(schemas) = list else {
        return Err(vec![(
            "tools".into(),
            format!("found {}, expected a list of schemas", kind(&list)),
        )]);
    };
    all(schemas.into_iter().enumerate().map(|(index, mut schema)| {
        strip_all_nulls(&mut schema);
        ToolSchema::new(schema).map_err(|error| (format!("tools[{index}]"), error.to_string()))
    }))
}
