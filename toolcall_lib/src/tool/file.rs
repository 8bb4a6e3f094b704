//! Tools in a file.

use super::{ToolSchema, flat};
use crate::error::{Error, Result};
use crate::json;
use serde_json::{Map, Value};
use std::path::Path;

/// Reads the schemas of a file: a JSON list, one tool, an object with a list `tools`, an MCP
/// server's answer to `tools/list`, or one tool per line. A tool may have its arguments in a flat
/// map, as in the data of xLAM.
///
/// # Examples
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::load_tools;
///
/// let tools = load_tools("tools.json")?;
/// assert_eq!(tools[0].name(), "start_timer");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A tool does not fit, a key is duplicate or not read, or an integer has more than 64 bits. The
/// error names the file and the place.
pub fn load_tools(path: impl AsRef<Path>) -> Result<Vec<ToolSchema>> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    read_tools(&text).map_err(|problem| Error::invalid(path.display(), problem))
}

/// Reads the schemas of a text with one of the forms of [`load_tools`].
pub(crate) fn read_tools(text: &str) -> std::result::Result<Vec<ToolSchema>, String> {
    let read =
        |(index, value): (usize, Value)| tool(value).map_err(|problem| format!("tool {index}: {problem}"));
    values(text)?.into_iter().enumerate().map(read).collect()
}

/// Returns the tools of a text, one by one.
fn values(text: &str) -> std::result::Result<Vec<Value>, String> {
    match json::read(text) {
        Ok(Value::Array(tools)) => Ok(tools),
        Ok(Value::Object(object)) => in_object(object),
        Ok(other) => Err(format!("found {}, expected a list of tools", json::kind(&other))),
        Err(problem) => lines(text).unwrap_or_else(|| Err(problem.to_string())),
    }
}

/// Returns the tools of an object: its list `tools`, that of its `result` (JSON-RPC), or the object
/// itself.
fn in_object(object: Map<String, Value>) -> std::result::Result<Vec<Value>, String> {
    match object.get("result") {
        _ if object.contains_key("tools") => listed(object),
        Some(Value::Object(result)) if result.contains_key("tools") => {
            only(&object, "result", &["jsonrpc", "id"])?;
            listed(result.clone())
        }
        _ => Ok(vec![object.into()]),
    }
}

/// Refuses keys that would not be read.
fn only(object: &Map<String, Value>, read: &str, harmless: &[&str]) -> std::result::Result<(), String> {
    let is_known = |key: &str| key == read || harmless.contains(&key);
    match object
        .iter()
        .find(|(key, value)| !is_known(key) && !value.is_null())
    {
        None => Ok(()),
        Some((key, _)) => Err(format!(
            "`{key}` is given as well as `{read}` and is not read; leave it out"
        )),
    }
}

/// Returns true for a cursor that names no further page.
fn is_nothing(cursor: &Value) -> bool {
    cursor.is_null() || cursor == ""
}

/// Returns the list `tools` of an object, which has nothing else in it.
fn listed(mut object: Map<String, Value>) -> std::result::Result<Vec<Value>, String> {
    if object.get("nextCursor").is_some_and(|cursor| !is_nothing(cursor)) {
        let problem = "the list goes on (`nextCursor`), and its other pages are missing; ask the server for \
                       them, and put the tools of all pages into one list";
        return Err(problem.to_string());
    }
    only(&object, "tools", &["_meta", "nextCursor"])?; // `_meta` is from an MCP server to its client
    match object.shift_remove("tools") {
        Some(Value::Array(tools)) => Ok(tools),
        other => {
            let found = json::kind(&other.unwrap_or_default());
            Err(format!("`tools`: found {found}, expected a list of tools"))
        }
    }
}

/// Returns the values of a text with one per line; `None` if the first line is not a value.
fn lines(text: &str) -> Option<std::result::Result<Vec<Value>, String>> {
    let mut lines = json::lines(text);
    let first = lines.next()?.ok()?;
    let rest =
        lines.map(|value| value.map_err(|problem| format!("line {}: {}", problem.line, problem.reason)));
    Some(std::iter::once(Ok(first)).chain(rest).collect())
}

/// Reads a tool: its schema, or a JSON string of it.
fn tool(value: Value) -> Result<ToolSchema> {
    let mut schema = match value {
        Value::String(text) => json::read(&text).map_err(|problem| Error::invalid("tool schema", problem))?,
        value => value,
    };
    match flat::unfold(&mut schema).first() {
        None => ToolSchema::new(schema),
        Some(unknown) => {
            let problem = format!(
                "the type `{unknown}` of an argument has no values in JSON; write `any` for any value"
            );
            Err(Error::invalid("tool schema", problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> std::result::Result<Vec<ToolSchema>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        load_tools(file.path()).map_err(|error| {
            error
                .to_string()
                .replace(&file.path().display().to_string(), "FILE")
        })
    }

    #[test]
    fn every_form_of_a_file_is_read() {
        let dim = r#"{"name": "dim"}"#;
        for text in [
            format!("[{dim}]"),
            dim.to_string(),
            format!("{{\"tools\": [{dim}], \"nextCursor\": null}}"),
            format!(
                "{{\"jsonrpc\": \"2.0\", \"id\": 1, \"result\": {{\"tools\": [{dim}], \"_meta\": {{}}}}}}"
            ),
            format!("\n{dim}\n\n"),
        ] {
            assert_eq!(load(&text).unwrap()[0].name(), "dim", "{text}");
        }
        assert_eq!(load(&format!("{dim}\n{dim}\n")).unwrap().len(), 2);
        let flat = load(
            r#"[{"name": "dim", "parameters": {"room": {"type": "str"}, "level": {"type": "int, optional"}}}]"#,
        );
        let parameters = flat.unwrap()[0].parameters().to_string();
        assert_eq!(
            parameters,
            r#"{"type":"object","properties":{"room":{"type":"string"},"level":{"type":"integer"}},"required":["room"]}"#
        );
    }

    #[test]
    fn what_would_be_lost_is_named() {
        for (text, says) in [
            (
                r#"[{"name": "dim", "name": "water"}]"#,
                "FILE: duplicate key `name`",
            ),
            (
                r#"[{"name": "dim", "parameters": {"properties": {"n": {"maximum": 123456789012345678901}}}}]"#,
                "FILE: the integer 123456789012345678901 has more than 64 bits",
            ),
            (
                r#"{"tools": [{"name": "dim"}], "tool_choice": "none"}"#,
                "FILE: `tool_choice` is given as well as `tools` and is not read",
            ),
            (
                r#"{"jsonrpc": "2.0", "id": 1, "result": {"tools": [], "nextCursor": "2"}}"#,
                "FILE: the list goes on (`nextCursor`), and its other pages are missing",
            ),
            (
                r#"{"jsonrpc": "2.0", "id": 1, "result": {"tools": []}, "system": "Be short."}"#,
                "FILE: `system` is given as well as `result` and is not read",
            ),
            (
                r#"{"tools": {"name": "dim"}}"#,
                "FILE: `tools`: found an object, expected a list",
            ),
            ("7", "FILE: found a number, expected a list of tools"),
            (
                "{\"name\": \"dim\"}\n{\"name\": }",
                "FILE: line 2: expected value",
            ),
            (
                r#"[{"name": "dim", "parameters": {"by": {"type": "Callable"}}}]"#,
                "FILE: tool 0: tool schema: the type `Callable` of an argument has no values in JSON",
            ),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
