//! Tools in a file.

use super::ToolSchema;
use crate::error::{Error, Result};
use serde_json::Value;
use std::path::Path;

/// Reads the schemas of a file: a JSON list, one tool, an object with a list `tools`, or one tool a
/// line.
///
/// # Errors
/// Names the file, and the tool that does not fit.
pub fn load_tools(path: impl AsRef<Path>) -> Result<Vec<ToolSchema>> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    read_tools(&text).map_err(|problem| Error::invalid(path.display(), problem))
}

/// Reads the schemas of a text with one of the forms of [`load_tools`].
pub(crate) fn read_tools(text: &str) -> Result<Vec<ToolSchema>, String> {
    let values = match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(tools)) => tools,
        Ok(Value::Object(mut object)) => match object.remove("tools") {
            Some(Value::Array(tools)) => tools,
            Some(_) => return Err("expected a list of tools in `tools`".to_string()),
            None => vec![Value::Object(object)],
        },
        Ok(_) => return Err("expected a list of tools".to_string()),
        Err(problem) => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            let values: Result<Vec<Value>, _> = lines.map(serde_json::from_str).collect();
            values.map_err(|_| problem.to_string())?
        }
    };
    let read = |(index, value): (usize, Value)| {
        ToolSchema::new(value).map_err(|problem| format!("tool {index}: {problem}"))
    };
    values.into_iter().enumerate().map(read).collect()
}
