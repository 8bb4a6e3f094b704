//! Reads data files to validated conversations.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
//! # fn main() -> toolcall_lib::Result<()> {
//! # let _folder = example_folder();
//! use toolcall_lib::Dataset;
//!
//! let data = Dataset::load("rows.json")?;
//! println!("{}", data.describe());
//! let (train, held_out) = data.split(0.2, 42)?;
//! # Ok(())
//! # }
//! ```

mod csv;
mod describe;
mod json;
mod load;
mod marked;
#[cfg(feature = "parquet")]
mod parquet;
mod report;
mod rows;
mod save;
mod slice;
mod split;
mod table;
mod tools;

pub use describe::Description;
pub(crate) use load::{Options, find, load};
pub(crate) use marked::{is_same, split_name};
pub use report::FileReport;
pub(crate) use slice::{Slice, parts as split_parts};

use crate::conversation::Conversation;
use crate::error::{Result, RowProblem, notes_on_rows};
use crate::files;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Conversations in the order of their file. A loaded dataset holds only rows that passed every
/// check.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// The conversations.
    pub rows: Vec<Conversation>,
    origins: Vec<Origin>,
    /// Remarks for the user, each with the number of rows that have it.
    notes: BTreeMap<String, usize>,
    files: Vec<FileReport>,
}

/// Place from which a row was read.
#[derive(Clone, Debug)]
struct Origin {
    file: Arc<Path>,
    row: usize,
    /// True if the row has `prompt` and `completion`.
    has_completion: bool,
}

impl Dataset {
    /// Report of each file that was read: its form, its columns, its rows.
    pub fn files(&self) -> &[FileReport] {
        &self.files
    }

    /// Writes the rows as columns, `{"messages": […], "tools": […]}`, one row per line. `tools` is
    /// left out if no row has any. A file `.jsonl` gets one object per row instead. An existing
    /// file is replaced once the new one is complete.
    ///
    /// # Errors
    /// The same as [`Dataset::check_name`], or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = match save::format_of(path)? {
            save::Format::Columns => self.to_json()?,
            save::Format::Lines => save::to_jsonl(&self.rows)?,
        };
        files::write(path, text)
    }

    /// Refuses the name of a file whose ending [`Dataset::save`] does not write.
    ///
    /// # Errors
    /// The name has another ending than `.json` and `.jsonl`. A name without ending is one of JSON.
    pub fn check_name(path: impl AsRef<Path>) -> Result<()> {
        save::format_of(path.as_ref()).map(|_| ())
    }

    /// Returns the text that [`Dataset::save`] writes.
    pub(crate) fn to_json(&self) -> Result<String> {
        save::to_json(&self.rows)
    }

    /// Returns remarks about the files for the user: keys that were not read, calls without tools,
    /// and values that were read as something else. Each names the number of rows. Of many, the
    /// first are listed, and the last line counts the others.
    pub fn notes(&self) -> Vec<String> {
        notes_on_rows(&self.notes)
    }

    fn note(&mut self, notes: impl IntoIterator<Item = String>, rows: usize) {
        for note in notes {
            *self.notes.entry(note).or_default() += rows;
        }
    }

    /// Adds the rows of `other` at the end.
    pub fn extend(&mut self, other: Self) {
        let offset = self.rows.len();
        self.origins = (0..offset).map(|row| self.origin(row)).collect();
        self.origins
            .extend((0..other.rows.len()).map(|row| other.origin(row)));
        self.rows.extend(other.rows);
        self.files.extend(other.files);
        for (note, rows) in other.notes {
            self.note([note], rows);
        }
    }

    /// Returns a problem of `rows[row]` for [`crate::Error::Rows`], with the file and row it was
    /// read from.
    pub fn problem(&self, row: usize, field: impl Into<String>, problem: impl Into<String>) -> RowProblem {
        let Origin { file, row, .. } = self.origin(row);
        RowProblem {
            file: PathBuf::from(&*file),
            row,
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// Returns the name of the file that a row was read from, without its folder; `memory` for a
    /// row that was made.
    pub fn file_name(&self, row: usize) -> String {
        let Origin { file, .. } = self.origin(row);
        let name = file.file_name().unwrap_or(file.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Returns true if a row was read from `prompt` and `completion`.
    pub(crate) fn has_completion(&self, row: usize) -> bool {
        self.origins.get(row).is_some_and(|origin| origin.has_completion)
    }

    /// Returns some of the rows, by index.
    fn select(&self, indices: &[usize]) -> Self {
        Self {
            rows: indices.iter().map(|&row| self.rows[row].clone()).collect(),
            origins: indices.iter().map(|&row| self.origin(row)).collect(),
            notes: BTreeMap::new(),
            files: Vec::new(),
        }
    }

    /// Returns the place of a row. A row that was not read from a file is in one called `memory`.
    fn origin(&self, row: usize) -> Origin {
        let origin = self.origins.get(row).cloned();
        origin.unwrap_or_else(|| Origin {
            file: Path::new("memory").into(),
            row,
            has_completion: false,
        })
    }
}

impl From<Vec<Conversation>> for Dataset {
    /// Takes rows as they are, without a check.
    fn from(rows: Vec<Conversation>) -> Self {
        Self {
            rows,
            ..Self::default()
        }
    }
}
