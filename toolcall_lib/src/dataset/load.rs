//! A file to rows of JSON, and rows of JSON to checked conversations.

use super::{Dataset, Origin};
use crate::conversation::{Conversation, problems, read};
use crate::error::{Error, Result, RowProblem};
use crate::tool::ToolSchema;
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;

/// A row of JSON, or the place and the reason why its line is not JSON.
type Row = std::result::Result<Value, (String, String)>;

pub(super) fn load(path: &Path, tools: &[ToolSchema]) -> Result<Dataset> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let rows = rows(path, text.trim_start_matches('\u{feff}'))?;
    if rows.is_empty() {
        return Err(Error::invalid(
            path.display(),
            r#"no rows; expected {"messages": [[…], …], "tools": [[…], …]}"#,
        ));
    }
    let file: Arc<Path> = path.into();
    let (mut data, mut found) = (Dataset::default(), Vec::new());
    for (index, row) in rows.into_iter().enumerate() {
        match row
            .map_err(|problem| vec![problem])
            .and_then(|row| conversation(&row, tools))
        {
            Ok(conversation) => data.rows.push(conversation),
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

fn conversation(
    row: &Value,
    tools: &[ToolSchema],
) -> std::result::Result<Conversation, Vec<(String, String)>> {
    let read = read(row, tools)?;
    let problems = problems(&read.conversation, &read.fields);
    if problems.is_empty() {
        Ok(read.conversation)
    } else {
        Err(problems)
    }
}

/// The rows of a file: a column object, a list of rows, one row, or a row a line.
fn rows(path: &Path, text: &str) -> Result<Vec<Row>> {
    match serde_json::from_str(text) {
        Ok(Value::Array(rows)) => Ok(rows.into_iter().map(Ok).collect()),
        Ok(Value::Object(object)) if is_columns(&object) => columns(path, object),
        Ok(row) => Ok(vec![Ok(row)]),
        Err(_) if is_lines(path, text) => Ok(lines(text)),
        Err(error) => {
            let place = format!(
                "{}: line {}, column {}",
                path.display(),
                error.line(),
                error.column()
            );
            Err(Error::invalid(
                place,
                format!("not valid JSON: {}", reason(&error)),
            ))
        }
    }
}

/// A row holds a list of objects where columns hold a list of lists.
fn is_columns(object: &Map<String, Value>) -> bool {
    let list = MESSAGES.iter().find_map(|list| object.get(*list));
    list.and_then(Value::as_array)
        .is_some_and(|list| !list.iter().any(Value::is_object))
}

const MESSAGES: [&str; 2] = ["messages", "conversations"];

/// Transposes columns to rows.
fn columns(path: &Path, object: Map<String, Value>) -> Result<Vec<Row>> {
    let list = MESSAGES
        .into_iter()
        .find(|list| object.contains_key(*list))
        .unwrap_or_default();
    let messages = object
        .get(list)
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let mut rows = vec![Map::new(); messages.len()];
    for name in [list, "tools", "system"] {
        let cells = cells(object.get(name), rows.len());
        let cells =
            cells.map_err(|problem| Error::invalid(format!("{}: `{name}`", path.display()), problem))?;
        for (row, cell) in rows.iter_mut().zip(cells) {
            row.insert(name.into(), cell);
        }
    }
    Ok(rows.into_iter().map(|row| Ok(Value::Object(row))).collect())
}

/// One value per row: the column's own, or the same for all where it is no column but one list of schemas.
fn cells(column: Option<&Value>, rows: usize) -> std::result::Result<Vec<Value>, String> {
    match column {
        None => Ok(vec![Value::Null; rows]),
        Some(Value::Array(values)) if !values.is_empty() && !values.iter().any(Value::is_object) => {
            let problem = format!(
                "{} entries for {rows} rows; expected one per row, or one for all",
                values.len()
            );
            if values.len() == rows {
                Ok(values.clone())
            } else {
                Err(problem)
            }
        }
        Some(one) => Ok(vec![one.clone(); rows]),
    }
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
    named || serde_json::from_str::<Map<String, Value>>(first).is_ok()
}

fn lines(text: &str) -> Vec<Row> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let rows = lines.map(|(index, line)| {
        serde_json::from_str(line).map_err(|error| {
            let place = format!("line {}, column {}", index + 1, error.column());
            (place, format!("not valid JSON: {}", reason(&error)))
        })
    });
    rows.collect()
}

/// What serde_json says, without the place that it puts at the end.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_string()
}
