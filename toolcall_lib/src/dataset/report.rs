//! The report of a file that was read: its form, and the columns that were used.

use super::table::{Row, Table};
use crate::conversation::{Form, is_read};
use crate::error::{LONGEST_LINE, clipped, counted, some_of};
use indexmap::IndexSet;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// Report of how a file was read. `Display` prints it for reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub file: PathBuf,
    /// Storage form of the file, and the form of its conversations.
    pub format: String,
    /// Columns, or keys of rows, that were read.
    pub read: Vec<String>,
    /// Columns that were not read.
    pub left_aside: Vec<String>,
    /// Number of rows that were read.
    pub rows: usize,
}

impl FileReport {
    /// Describes the rows of a file; `used` is a column that was read and removed from them.
    pub(super) fn of(file: &Path, table: &Table, used: Option<&str>) -> Self {
        let (mut forms, mut all) = (BTreeSet::new(), IndexSet::new());
        let mut read: IndexSet<String> = used.iter().map(|column| column.to_string()).collect();
        for row in table.rows.iter().filter_map(Row::object) {
            let form = Form::of(row).ok();
            forms.extend(form);
            for (key, value) in row {
                let list = if is_read(form, key, value) {
                    &mut read
                } else {
                    &mut all
                };
                if !list.contains(key) {
                    list.insert(key.clone());
                }
            }
        }
        all.retain(|key| !read.contains(key));
        let forms: Vec<String> = forms.iter().map(Form::to_string).collect();
        Self {
            file: file.to_path_buf(),
            format: format!("{}, {}", table.container, forms.join("; ")),
            read: read.into_iter().collect(),
            left_aside: all.into_iter().collect(),
            rows: table.rows.len(),
        }
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, format, rows) = (self.file.display(), &self.format, counted(self.rows, "row"));
        let mut text = format!("{file}: {format}; {rows}; read: {}", some_of(&self.read));
        if !self.left_aside.is_empty() {
            text += &format!("; left aside: {}", some_of(&self.left_aside));
        }
        f.write_str(&clipped(text, LONGEST_LINE))
    }
}
