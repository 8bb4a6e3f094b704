//! A file to rows, whatever it is stored as.

#[cfg(feature = "parquet")]
use super::parquet;
use super::table::Table;
use super::{csv, json};
use crate::error::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

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
    Ok(Table::new(super::table::Container::Parquet, parquet::rows(path)?))
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
        [0xff, 0xfe, 0, 0, ..] | [b'[' | b'{', 0, 0, 0, ..] => Some("UTF-32 (little-endian)"),
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, b'[' | b'{', ..] => Some("UTF-32 (big-endian)"),
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
