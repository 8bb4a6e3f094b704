//! Conversations to a file of columns or of lines.

use crate::conversation::{Conversation, Message};
use crate::error::{Error, Result};
use crate::tool::ToolSchema;
use serde_json::{Map, Value};
use std::path::Path;

/// A form of a file of rows.
pub(super) enum Format {
    /// An object of columns.
    Columns,
    /// One object per row.
    Lines,
}

/// Returns the form that the ending of a name asks for.
pub(super) fn format_of(path: &Path) -> Result<Format> {
    let Some(ending) = path.extension() else {
        return Ok(Format::Columns);
    };
    match ending.to_ascii_lowercase().to_str() {
        Some("json") => Ok(Format::Columns),
        Some("jsonl") => Ok(Format::Lines),
        _ => {
            let ending = ending.display();
            let problem = format!("rows are not written as `.{ending}`; name a file `.json` or `.jsonl`");
            Err(Error::invalid(path.display(), problem))
        }
    }
}

/// Returns one line per row. All have the same keys: a column that no row needs is left out.
pub(super) fn to_jsonl(rows: &[Conversation]) -> Result<String> {
    let has_tools = rows.iter().any(|row| !row.tools.is_empty());
    let has_kwargs = rows.iter().any(|row| !row.chat_template_kwargs.is_empty());
    let line = |row: &Conversation| -> Written {
        let mut line = Map::new();
        line.insert("messages".to_string(), messages(&row.messages)?);
        if has_tools {
            line.insert("tools".to_string(), tools(&row.tools)?);
        }
        if has_kwargs {
            let kwargs = serde_json::to_value(&row.chat_template_kwargs)?;
            line.insert("chat_template_kwargs".to_string(), kwargs);
        }
        Ok(line.into())
    };
    Ok(joined(rows.iter().map(line), "\n")? + "\n")
}

pub(super) fn to_json(rows: &[Conversation]) -> Result<String> {
    let mut text = format!(
        "{{\n\"messages\": [\n{}\n]",
        lines(rows.iter().map(|row| messages(&row.messages)))?
    );
    if rows.iter().any(|row| !row.tools.is_empty()) {
        text += &format!(
            ",\n\"tools\": [\n{}\n]",
            lines(rows.iter().map(|row| tools(&row.tools)))?
        );
    }
    if rows.iter().any(|row| !row.chat_template_kwargs.is_empty()) {
        text += &format!(
            ",\n\"chat_template_kwargs\": [\n{}\n]",
            lines(
                rows.iter()
                    .map(|row| serde_json::to_value(&row.chat_template_kwargs))
            )?
        );
    }
    Ok(text + "\n}\n")
}

type Written = serde_json::Result<Value>;

/// Writes messages. Arguments with a null become a JSON string: in objects that all have the same
/// keys the null would look like one of Arrow for an absent key.
fn messages(messages: &[Message]) -> Written {
    let mut written = serde_json::to_value(messages)?;
    for message in written.as_array_mut().into_iter().flatten() {
        let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
        for call in calls.into_iter().flatten() {
            with_nulls_as_text(&mut call["function"]["arguments"]);
        }
    }
    Ok(written)
}

/// Writes tools; one with a null becomes a JSON string, as arguments do.
fn tools(tools: &[ToolSchema]) -> Written {
    let mut written = serde_json::to_value(tools)?;
    let tools = written.as_array_mut().into_iter().flatten();
    tools.for_each(with_nulls_as_text);
    Ok(written)
}

fn with_nulls_as_text(value: &mut Value) {
    if has_null(value) {
        *value = value.to_string().into();
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

/// One JSON value per line: people can read the file, and a changed row is one changed line.
fn lines(values: impl Iterator<Item = Written>) -> Result<String> {
    joined(values, ",\n")
}

fn joined(values: impl Iterator<Item = Written>, separator: &str) -> Result<String> {
    let lines = values.map(|value| value.map(|value| value.to_string()));
    let lines: serde_json::Result<Vec<String>> = lines.collect();
    Ok(lines.map_err(Error::library("writing JSON"))?.join(separator))
}
