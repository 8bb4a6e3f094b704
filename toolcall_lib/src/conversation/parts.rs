//! Reads the content of a message: a string, or a list of parts.

use super::calls::tool_call;
use super::{Message, Role};
use crate::error::Problem;
use crate::json::kind;
use crate::tool::ToolCall;
use crate::tool::read::id_of;
use serde_json::{Map, Value};

/// Content of a message, by kind.
#[derive(Default)]
pub(super) struct Parts {
    pub text: String,
    pub reasoning: Option<String>,
    /// Calls among the parts of an assistant message.
    pub calls: Vec<ToolCall>,
    /// Answers of tools among the parts of a user message.
    pub answers: Vec<Message>,
}

/// Types of parts that are text.
const TEXTS: [&str; 3] = ["text", "input_text", "output_text"];

/// Keys of parts that change nothing.
const HARMLESS: [&str; 4] = ["cache_control", "annotations", "citations", "signature"];

/// Reads the content at `field`. A tool may answer with any JSON value. The other roles have a
/// string or a list of parts.
pub(super) fn parts(role: Role, value: &Value, field: &str) -> Result<Parts, Vec<Problem>> {
    let text = |text: String| {
        Ok(Parts {
            text,
            ..Parts::default()
        })
    };
    match value {
        Value::Null => Ok(Parts::default()),
        Value::String(said) => text(said.clone()),
        Value::Array(list) if role != Role::Tool || list.iter().any(is_part) => read_all(role, list, field),
        other if role == Role::Tool => text(other.to_string()),
        other => Err(vec![(
            field.into(),
            format!("found {}, expected a string", kind(other)),
        )]),
    }
}

/// Types of parts that are not text, which are also the keys of their content.
const MEDIA: [&str; 10] = [
    "image",
    "image_url",
    "input_image",
    "audio",
    "input_audio",
    "video",
    "video_url",
    "file",
    "input_file",
    "document",
];

/// Returns true for a part of a content. A tool may also answer with a list of other values.
fn is_part(value: &Value) -> bool {
    let Some(part) = value.as_object() else {
        return false;
    };
    let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
    let shows = |key: &str| MEDIA.contains(&key) || key == "source";
    let is_medium = match kind {
        // A tool may also list files or documents; the content of such a part is an object.
        "file" | "document" => part.iter().any(|(key, value)| shows(key) && value.is_object()),
        kind => MEDIA.contains(&kind) && (part.len() == 1 || part.keys().any(|key| shows(key))),
    };
    is_medium || TEXTS.contains(&kind) && part.contains_key("text")
}

fn read_all(role: Role, list: &[Value], field: &str) -> Result<Parts, Vec<Problem>> {
    let mut parts = Parts::default();
    for (index, part) in list.iter().enumerate() {
        let field = format!("{field}[{index}]");
        match part {
            Value::Object(part) => add(&mut parts, role, part, &field)?,
            Value::String(text) => parts.text += text,
            other => {
                let problem = format!(
                    "found {}, expected a part such as {{\"type\": \"text\", \"text\": …}}",
                    kind(other)
                );
                return Err(vec![(field, problem)]);
            }
        }
    }
    Ok(parts)
}

fn add(parts: &mut Parts, role: Role, part: &Map<String, Value>, field: &str) -> Result<(), Vec<Problem>> {
    let kind_of = part.get("type").and_then(Value::as_str);
    let text = |key: &str| match part.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        other => {
            let problem = format!("found {}, expected a string", kind(other.unwrap_or(&Value::Null)));
            Err(vec![(format!("{field}.{key}"), problem)])
        }
    };
    match (kind_of, role) {
        (Some("tool_use"), Role::Assistant) => parts
            .calls
            .push(tool_call(&without_harmless(part).into(), field)?),
        (Some("tool_result"), Role::User) => parts.answers.push(answer(part, field)?),
        (Some("thinking"), Role::Assistant) => {
            only(part, &["type", "thinking"], field)?;
            parts
                .reasoning
                .get_or_insert_default()
                .push_str(&text("thinking")?);
        }
        (Some(kind), _) if TEXTS.contains(&kind) => {
            only(part, &["type", "text"], field)?;
            parts.text += &text("text")?;
        }
        (None, _) if part.contains_key("text") => {
            only(part, &["text"], field)?;
            parts.text += &text("text")?;
        }
        (Some(other), _) => {
            return Err(vec![(
                format!("{field}.type"),
                format!("a part of type `{other}` cannot be read here; only text can"),
            )]);
        }
        (None, _) => return Err(vec![(field.into(), "found a part that is not text".into())]),
    }
    Ok(())
}

/// Reads Anthropic's answer of a tool, a part of a user message.
fn answer(part: &Map<String, Value>, field: &str) -> Result<Message, Vec<Problem>> {
    only(part, &["type", "tool_use_id", "content", "is_error"], field)?;
    let content = part.get("content").unwrap_or(&Value::Null);
    let content = parts(Role::Tool, content, &format!("{field}.content"))?.text;
    let wrong = |key: &str, problem: String| vec![(format!("{field}.{key}"), problem)];
    let is_error = match part.get("is_error").unwrap_or(&Value::Null) {
        Value::Null => false,
        Value::Bool(is_error) => *is_error,
        other => {
            let problem = format!("found {}, expected true or false", kind(other));
            return Err(wrong("is_error", problem));
        }
    };
    let failed = is_error && !content.starts_with("error");
    let id = part.get("tool_use_id").unwrap_or(&Value::Null);
    Ok(Message {
        tool_call_id: id_of(id).map_err(|problem| wrong("tool_use_id", problem))?,
        ..Message::new(
            Role::Tool,
            if failed {
                format!("error: {content}")
            } else {
                content
            },
        )
    })
}

fn without_harmless(part: &Map<String, Value>) -> Map<String, Value> {
    let kept = part.iter().filter(|(key, _)| !HARMLESS.contains(&key.as_str()));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn only(part: &Map<String, Value>, known: &[&str], field: &str) -> Result<(), Vec<Problem>> {
    let is_known = |key: &str| known.contains(&key) || HARMLESS.contains(&key);
    match part
        .iter()
        .find(|(key, value)| !value.is_null() && !is_known(key))
    {
        None => Ok(()),
        Some((key, _)) => Err(vec![(
            format!("{field}.{key}"),
            "is not a known key of a part".into(),
        )]),
    }
}
