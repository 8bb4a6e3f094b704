//! A file to rows, whatever it is stored as.

#[cfg(feature = "parquet")]
use super::parquet;
use super::{csv, json};
use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A place in a row, or in a file, and what is wrong there.
pub(super) type Problem = (String, String);

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
    /// An object a line.
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
    /// Rows that are known by their number alone.
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

/// Reads a file. Parquet is known by its first bytes, CSV by its name; everything else is JSON.
pub(super) fn read(path: &Path) -> Result<Table> {
    let is_csv = path
        .extension()
        .is_some_and(|name| name.eq_ignore_ascii_case("csv"));
    if is_parquet(path)? {
        parquet_rows(path)
    } else if is_csv {
        csv::rows(path, &text(path)?)
    } else {
        json::rows(path, &text(path)?)
    }
}

fn is_parquet(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(Error::io(path))?;
    file.take(4).read_to_end(&mut start).map_err(Error::io(path))?;
    Ok(start == b"PAR1")
}

#[cfg(feature = "parquet")]
fn parquet_rows(path: &Path) -> Result<Table> {
    Ok(Table::new(Container::Parquet, parquet::rows(path)?))
}

#[cfg(not(feature = "parquet"))]
fn parquet_rows(path: &Path) -> Result<Table> {
    let problem = "is a Parquet file, and this program was built without the feature `parquet`";
    Err(Error::invalid(path.display(), problem))
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
