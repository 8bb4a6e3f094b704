//! Conversations to a file of columns.

use crate::conversation::Conversation;
use crate::error::{Error, Result};

pub(super) fn to_json(rows: &[Conversation]) -> Result<String> {
    let mut text = format!(
        "{{\n\"messages\": [\n{}\n]",
        lines(rows.iter().map(|row| &row.messages))?
    );
    if rows.iter().any(|row| !row.tools.is_empty()) {
        text += &format!(
            ",\n\"tools\": [\n{}\n]",
            lines(rows.iter().map(|row| &row.tools))?
        );
    }
    if rows.iter().any(|row| !row.chat_template_kwargs.is_empty()) {
        text += &format!(
            ",\n\"chat_template_kwargs\": [\n{}\n]",
            lines(rows.iter().map(|row| &row.chat_template_kwargs))?
        );
    }
    Ok(text + "\n}\n")
}

/// One JSON value a line: the file can be read by eye, and a changed row is one changed line.
fn lines<T: serde::Serialize>(values: impl Iterator<Item = T>) -> Result<String> {
    let lines: std::result::Result<Vec<String>, _> =
        values.map(|value| serde_json::to_string(&value)).collect();
    Ok(lines.map_err(Error::library("writing JSON"))?.join(",\n"))
}
