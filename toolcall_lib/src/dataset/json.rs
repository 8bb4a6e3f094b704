//! JSON to rows: an object of columns, a list of rows, one row, or one row per line.

use super::table::{Container, Table};
use crate::conversation::Form;
use crate::error::{Error, Problem, Result};
use crate::json;
use crate::tool::is_tool;
use serde_json::{Map, Value};
use std::path::Path;

/// The rows of a file: a column object, a list of rows, one row, or one row per line.
pub(super) fn rows(path: &Path, text: &str) -> Result<Table> {
    match json::read(text) {
        Ok(Value::Array(rows)) => Ok(Table::new(Container::JsonRows, rows.into_iter().map(Ok))),
        Ok(Value::Object(object)) if is_columns(&object) => columns(path, object),
        Ok(row) => one_row(path, row),
        Err(_) if is_lines(path, text) => Ok(Table::new(Container::JsonLines, lines(text))),
        Err(error) => {
            let place = format!("{}: line {}, column {}", path.display(), error.line, error.column);
            Err(Error::invalid(place, format!("not valid JSON: {}", error.reason)))
        }
    }
}

fn one_row(path: &Path, row: Value) -> Result<Table> {
    if let Some(name) = row.as_object().and_then(list_of_rows) {
        let problem =
            format!("has its rows under the key `{name}`; write only that list, one file per split");
        return Err(Error::invalid(path.display(), problem));
    }
    let container = match is_named_lines(path) {
        true => Container::JsonLines,
        false => Container::JsonRows,
    };
    Ok(Table::new(container, [Ok(row)]))
}

/// A row holds a list of objects where columns hold a list of lists.
fn is_columns(object: &Map<String, Value>) -> bool {
    let list = MESSAGES.iter().find_map(|list| object.get(*list));
    list.and_then(Value::as_array)
        .is_some_and(|list| !list.iter().any(Value::is_object))
}

/// Columns with a value in each row. A table has one of them.
const MESSAGES: [&str; 6] = [
    "messages",
    "conversations",
    "completion",
    "prompt",
    "query",
    "instruction",
];

/// Returns the key of a list of rows, such as `train`, in an object that is no row itself.
fn list_of_rows(object: &Map<String, Value>) -> Option<&String> {
    let is_row = |row: &Value| row.as_object().is_some_and(|row| Form::of(row).is_ok());
    let holds_rows = |value: &Value| value.as_array().and_then(|list| list.first()).is_some_and(is_row);
    let found = object.iter().find(|(_, value)| holds_rows(value));
    found.map(|(name, _)| name).filter(|_| Form::of(object).is_err())
}

/// Transposes columns to rows.
fn columns(path: &Path, object: Map<String, Value>) -> Result<Table> {
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
    let rows = rows.into_iter().map(|row| Ok(Value::Object(row)));
    Ok(Table::new(Container::JsonColumns, rows))
}

/// One value per row: those of the column, or the same value for all if it is not a column but one
/// list of tools. A row never has a single tool as the value of a column.
fn cells(column: &Value, rows: usize) -> std::result::Result<Vec<Value>, String> {
    match column {
        Value::Array(values) if values.len() == rows && !values.iter().all(is_tool) => Ok(values.clone()),
        Value::Array(values) if !values.is_empty() && !values.iter().any(Value::is_object) => Err(format!(
            "{} entries for {rows} rows; expected one per row, or one for all",
            values.len()
        )),
        one => Ok(vec![one.clone(); rows]),
    }
}

fn is_named_lines(path: &Path) -> bool {
    let extension = path.extension();
    extension.is_some_and(|extension| extension == "jsonl" || extension == "ndjson")
}

/// Returns true for JSONL: by the file's name, or because the first line alone is an object.
fn is_lines(path: &Path, text: &str) -> bool {
    let first = json::lines(text).next();
    is_named_lines(path) || first.is_some_and(|first| first.is_ok_and(|row| row.is_object()))
}

fn lines(text: &str) -> impl Iterator<Item = std::result::Result<Value, Problem>> {
    json::lines(text).map(|value| {
        value.map_err(|error| {
            let place = format!("line {}, column {}", error.line, error.column);
            (place, format!("not valid JSON: {}", error.reason))
        })
    })
}
