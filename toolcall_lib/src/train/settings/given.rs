//! Names and values as a file or a command line gives them, before they are read.

use crate::error::{Error, Result};
use crate::{json, yaml};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::Path;

/// Names with values, and their places.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// The file, or `command line`.
    pub place: String,
    /// The values, by names with underscores.
    pub values: Map<String, Value>,
    lines: HashMap<String, u64>,
    flags: bool,
}

impl Given {
    /// Reads a file: YAML, or JSON if it ends with `.json` or begins with `{`.
    ///
    /// # Errors
    /// It cannot be read, or is neither; with the line.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let text = text.trim_start_matches('\u{feff}');
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        let wrong = |language: &str, problem: json::Problem| {
            let json::Problem { line, column, reason } = problem;
            let place = format!("{}: line {line}, column {column}", path.display());
            Error::invalid(place, format!("not valid {language}: {reason}"))
        };
        let read = match is_json || text.trim_start().starts_with('{') {
            true => yaml::Mapping {
                values: json::read_object(text).map_err(|problem| wrong("JSON", problem))?,
                lines: HashMap::new(),
            },
            false => yaml::read_object(text).map_err(|problem| wrong("YAML", problem))?,
        };
        Ok(Self {
            place: path.display().to_string(),
            values: read.values,
            lines: read.lines,
            flags: false,
        })
    }

    /// Flags of a command line.
    pub(super) fn flags(values: Map<String, Value>) -> Self {
        Self {
            place: "command line".to_string(),
            flags: true,
            ..Self::from(values)
        }
    }

    /// Returns true if these are the flags of a command line.
    pub(super) fn is_flags(&self) -> bool {
        self.flags
    }

    /// Returns a name as the file or the command line writes it.
    pub(super) fn shown(&self, name: &str) -> String {
        match self.flags {
            true => format!("--{}", name.replace('_', "-")),
            false => name.to_string(),
        }
    }

    /// [`Given::shown`], after its line.
    pub(super) fn placed(&self, name: &str) -> String {
        let shown = self.shown(name);
        match self.lines.get(name) {
            Some(line) if *line > 0 => format!("line {line}: {shown}"),
            _ => shown,
        }
    }
}

impl From<Map<String, Value>> for Given {
    fn from(values: Map<String, Value>) -> Self {
        Self {
            place: "settings".to_string(),
            values,
            lines: HashMap::new(),
            flags: false,
        }
    }
}
