//! A file to rows of JSON, and rows of JSON to checked conversations.

use super::{Dataset, Origin};
use crate::conversation::{Read, Shapes, problems, read};
use crate::error::{Error, Result, RowProblem};
use crate::json;
use crate::tool::ToolSchema;
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;

/// A row of JSON, or the place and the reason why its line is not JSON.
type Row = std::result::Result<Value, (String, String)>;

pub(super) fn load(path: &Path, tools: &[ToolSchema]) -> Result<Dataset> {
    let rows = rows(path, &text(path)?)?;
    if rows.is_empty() {
        return Err(Error::invalid(
            path.display(),
            r#"no rows; expected {"messages": [[…], …], "tools": [[…], …]}"#,
        ));
    }
    let mut shapes = Shapes::default();
    rows.iter().flatten().for_each(|row| shapes.add_row(row));
    let file: Arc<Path> = path.into();
    let (mut data, mut found) = (Dataset::default(), Vec::new());
    for (index, row) in rows.into_iter().enumerate() {
        let read = row
            .map_err(|problem| vec![problem])
            .and_then(|row| checked(&row, tools, &shapes));
        match read {
            Ok(read) => {
                data.rows.push(read.conversation);
                data.note(read.notes, 1);
            }
            Err(problems) => found.extend(problems.into_iter().map(|(field, problem)| RowProblem {
                file: path.to_path_buf(),
                row: index,
                field,
                problem,
            })),
        }
        data.origins.push(Origin {
            file: file.clone(),
            row: index,
        });
    }
    if found.is_empty() {
        Ok(data)
    } else {
        Err(Error::Rows(found))
    }
}

/// The text of a file; another encoding than UTF-8 is named.
fn text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let wide = match bytes[..] {
        [0xff, 0xfe, ..] | [b'[' | b'{', 0, ..] => Some("UTF-16 (little-endian)"),
        [0xfe, 0xff, ..] | [0, b'[' | b'{', ..] => Some("UTF-16 (big-endian)"),
        _ => None,
    };
    if let Some(encoding) = wide {
        let problem = format!("is encoded in {encoding}, expected UTF-8; save it as UTF-8");
        return Err(Error::invalid(path.display(), problem));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        let problem = "holds bytes that are no UTF-8, perhaps Latin-1 or Windows-1252; save it as UTF-8";
        Error::invalid(format!("{}: line {line}", path.display()), problem)
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_string(),
        None => text,
    })
}

fn checked(
    row: &Value,
    tools: &[ToolSchema],
    shapes: &Shapes,
) -> std::result::Result<Read, Vec<(String, String)>> {
    let read = read(row, tools, shapes)?;
    let problems = problems(&read.conversation, &read.fields);
    if problems.is_empty() {
        Ok(read)
    } else {
        Err(problems)
    }
}

/// The rows of a file: a column object, a list of rows, one row, or a row a line.
fn rows(path: &Path, text: &str) -> Result<Vec<Row>> {
    match json::read(text) {
        Ok(Value::Array(rows)) => Ok(rows.into_iter().map(Ok).collect()),
        Ok(Value::Object(object)) if is_columns(&object) => columns(path, object),
        Ok(row) => Ok(vec![Ok(row)]),
        Err(_) if is_lines(path, text) => Ok(lines(text)),
        Err(error) => {
            let place = format!("{}: line {}, column {}", path.display(), error.line, error.column);
            Err(Error::invalid(place, format!("not valid JSON: {}", error.reason)))
        }
    }
}

/// A row holds a list of objects where columns hold a list of lists.
fn is_columns(object: &Map<String, Value>) -> bool {
    let list = MESSAGES.iter().find_map(|list| object.get(*list));
    list.and_then(Value::as_array)
        .is_some_and(|list| !list.iter().any(Value::is_object))
}

const MESSAGES: [&str; 4] = ["messages", "conversations", "completion", "prompt"];

/// Transposes columns to rows.
fn columns(path: &Path, object: Map<String, Value>) -> Result<Vec<Row>> {
    let list = MESSAGES.iter().find_map(|list| object.get(*list)?.as_array());
    let mut rows = vec![Map::new(); list.map_or(0, Vec::len)];
    for (name, column) in &object {
        let cells = cells(column, rows.len());
        let cells =
            cells.map_err(|problem| Error::invalid(format!("{}: `{name}`", path.display()), problem))?;
        for (row, cell) in rows.iter_mut().zip(cells) {
            row.insert(name.clone(), cell);
        }
    }
    Ok(rows.into_iter().map(|row| Ok(Value::Object(row))).collect())
}

/// One value per row: the column's own, or the same for all where it is no column but one list of schemas.
fn cells(column: &Value, rows: usize) -> std::result::Result<Vec<Value>, String> {
    match column {
        Value::Array(values) if values.len() == rows && !values.iter().all(is_schema) => Ok(values.clone()),
        Value::Array(values) if !values.is_empty() && !values.iter().any(Value::is_object) => Err(format!(
            "{} entries for {rows} rows; expected one per row, or one for all",
            values.len()
        )),
        one => Ok(vec![one.clone(); rows]),
    }
}

/// A tool, which no row has as the value of a column.
fn is_schema(value: &Value) -> bool {
    value.get("function").or(value.get("name")).is_some()
}

/// JSONL: by the file's name, or because the first line alone is an object.
fn is_lines(path: &Path, text: &str) -> bool {
    let named = path
        .extension()
        .is_some_and(|extension| extension == "jsonl" || extension == "ndjson");
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    named || json::read_object(first).is_ok()
}

fn lines(text: &str) -> Vec<Row> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let rows = lines.map(|(index, line)| {
        json::read(line).map_err(|error| {
            let place = format!("line {}, column {}", index + 1, error.column);
            (place, format!("not valid JSON: {}", error.reason))
        })
    });
    rows.collect()
}
