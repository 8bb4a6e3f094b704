//! The one error type: a message names the file, row or field, what was expected, and what to do.
//!
//! Messages quote what others wrote, so they are made [`printable`] when they are shown.

use crate::terminal::printable;
use std::fmt;
use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong. `Debug` prints what `Display` prints, because a notebook shows `{:?}`.
pub enum Error {
    /// A file or folder could not be read or written.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Something that the user gave does not fit: a config field, a flag, a template, a model file.
    Invalid {
        /// Where it stands: a file, a field, an argument.
        place: String,
        /// What was found, what was expected and what to do.
        problem: String,
    },
    /// Rows of a data file that do not fit; all of them, not only the first.
    Rows(Vec<RowProblem>),
    /// A library below us failed.
    Library {
        /// What we were doing.
        doing: String,
        /// What the library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// One problem in one row of a data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowProblem {
    /// The data file.
    pub file: PathBuf,
    /// The row, counted from 0 as in `data[row]`.
    pub row: usize,
    /// The field in the row, such as `messages[1].tool_calls[0].arguments.duration`.
    pub field: String,
    /// What was found, what was expected and what to do.
    pub problem: String,
}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            row,
            field,
            problem,
        } = self;
        let text = format!("{}: row {row}: {field}: {problem}", file.display());
        f.write_str(&printable(&text))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Io { path, source } => format!("{}: {source}", path.display()),
            Self::Invalid { place, problem } => format!("{place}: {problem}"),
            Self::Rows(problems) => list(problems),
            Self::Library { doing, source } => format!("{doing}: {source}"),
        };
        f.write_str(&printable(&text))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Library { source, .. } => Some(&**source),
            Self::Invalid { .. } | Self::Rows(_) => None,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// Something at `place` (a file, field or argument) does not fit.
    pub fn invalid(place: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self::Invalid {
            place: place.to_string(),
            problem: problem.to_string(),
        }
    }

    /// For `map_err`: reading or writing `path` failed.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// For `map_err`: a library failed while we were `doing` something.
    pub fn library<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        doing: impl fmt::Display,
    ) -> impl FnOnce(E) -> Self {
        let doing = doing.to_string();
        move |source| Self::Library {
            doing,
            source: source.into(),
        }
    }
}

/// Problems that a message lists; of more it gives the number.
const SHOWN: usize = 50;

fn list(problems: &[RowProblem]) -> String {
    let mut lines: Vec<String> = problems.iter().take(SHOWN).map(RowProblem::to_string).collect();
    if problems.len() > SHOWN {
        lines.push(format!("and {} more", problems.len() - SHOWN));
    }
    format!("{} problem(s) in the data:\n{}", problems.len(), lines.join("\n"))
}
