//! CSV (RFC 4180) to rows: the first line names the columns, a cell is a string, an empty cell is
//! absent.

use super::table::{Container, Row, Table};
use crate::error::{Error, Result};
use csv::{ReaderBuilder, StringRecord};
use serde_json::{Map, Value};
use std::path::Path;

/// Reads the rows of a file.
pub(super) fn rows(path: &Path, text: &str) -> Result<Table> {
    let wrong =
        |line: u64, problem: String| Error::invalid(format!("{}: line {line}", path.display()), problem);
    if let Some(line) = open_quote(text) {
        let problem = "a quotation mark is not closed; a cell that contains one must be in quotation marks, with the mark doubled";
        return Err(wrong(line, problem.to_string()));
    }
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let failed = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        Error::invalid(format!("{}: line {line}", path.display()), error)
    };
    let names = names(reader.headers().map_err(failed)?).map_err(|problem| wrong(1, problem))?;
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(failed)?;
        let line = record.position().map_or(0, csv::Position::line);
        rows.push(Row {
            index,
            place: Some(format!("line {line}")),
            value: cells(&names, &record).map_err(|problem| (format!("line {line}"), problem)),
        });
    }
    Ok(Table {
        container: Container::Csv,
        rows,
    })
}

/// The names of the columns. The index that pandas writes has none, and gets its number.
fn names(header: &StringRecord) -> std::result::Result<Vec<String>, String> {
    if header.len() == 1 && header[0].contains([';', '\t']) {
        return Err("names a single column; expected commas between columns, not semicolons or tabs".into());
    }
    let mut names: Vec<String> = Vec::new();
    for (index, name) in header.iter().enumerate() {
        let name = match name.trim() {
            "" => format!("column {}", index + 1),
            name => name.to_string(),
        };
        if names.contains(&name) {
            return Err(format!("duplicate column `{name}`"));
        }
        names.push(name);
    }
    Ok(names)
}

fn cells(names: &[String], record: &StringRecord) -> std::result::Result<Value, String> {
    if record.len() != names.len() {
        let (found, expected) = (record.len(), names.len());
        return Err(format!(
            "has {found} cells, expected {expected}, as the first line has"
        ));
    }
    let cells = names.iter().zip(record).filter(|(_, cell)| !cell.is_empty());
    Ok(Value::Object(
        cells
            .map(|(name, cell)| (name.clone(), cell.into()))
            .collect::<Map<_, _>>(),
    ))
}

/// The line of a quotation mark that never closes: all that follows would be one cell.
fn open_quote(text: &str) -> Option<u64> {
    let (mut line, mut open) = (1, None);
    for byte in text.bytes() {
        match byte {
            b'"' => open = open.map_or(Some(line), |_| None),
            b'\n' => line += 1,
            _ => {}
        }
    }
    open
}
