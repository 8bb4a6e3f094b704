//! The rows of a file before they are checked.

use crate::error::Problem;
use serde_json::{Map, Value};
use std::fmt;

/// A row of a file.
pub(super) struct Row {
    /// Its number in the file, from 0.
    pub index: usize,
    /// A line of the file, where that says more than the number.
    pub place: Option<String>,
    /// An object, if the file is sound.
    pub value: std::result::Result<Value, Problem>,
}

/// Storage form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    /// A list of objects.
    JsonRows,
    /// An object of lists.
    JsonColumns,
    /// One object per line.
    JsonLines,
    Csv,
    Parquet,
}

/// The rows of a file.
pub(super) struct Table {
    pub container: Container,
    pub rows: Vec<Row>,
}

impl Row {
    /// The row, if it is an object.
    pub fn object(&self) -> Option<&Map<String, Value>> {
        self.value.as_ref().ok().and_then(Value::as_object)
    }

    /// The row to change, if it is an object.
    pub fn object_mut(&mut self) -> Option<&mut Map<String, Value>> {
        self.value.as_mut().ok().and_then(Value::as_object_mut)
    }
}

impl Table {
    /// Rows that have no place but their number.
    pub fn new(
        container: Container,
        rows: impl IntoIterator<Item = std::result::Result<Value, Problem>>,
    ) -> Self {
        let rows = rows.into_iter().enumerate().map(|(index, value)| Row {
            index,
            place: None,
            value,
        });
        Self {
            container,
            rows: rows.collect(),
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JsonRows => "JSON with rows",
            Self::JsonColumns => "JSON with columns",
            Self::JsonLines => "JSONL",
            Self::Csv => "CSV",
            Self::Parquet => "Parquet",
        })
    }
}
