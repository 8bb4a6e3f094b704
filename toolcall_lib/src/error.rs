//! The one error type: a message names the file, row or field, what was expected, and what to do.
//!
//! Messages quote what others wrote, so they are clipped and made [`printable`] when they are
//! shown.

use crate::terminal::printable;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail. With two type arguments it is Rust's own,
/// so that `use toolcall_lib::*` hides nothing.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error. `Debug` prints what `Display` prints, because a notebook shows `{:?}`.
pub enum Error {
    /// A file or folder could not be read or written.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// Something that the user gave does not fit: a config field, a flag, a template, a model file.
    Invalid {
        /// Place of the problem: a file, a field, an argument.
        place: String,
        /// Problem: what was found, what was expected and what to do.
        problem: String,
    },
    /// Rows of a data file do not fit. All of them are listed, not only the first.
    Rows(Vec<RowProblem>),
    /// A library below us failed.
    Library {
        /// Work that the library was doing for us.
        doing: String,
        /// Error of the library.
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
    /// Problem: what was found, what was expected and what to do.
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
        f.write_str(&printable(&clipped(text, LONGEST_LINE)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Io { path, source } => format!("{}: {source}", path.display()),
            Self::Invalid { place, problem } => format!("{place}: {problem}"),
            Self::Rows(problems) => return f.write_str(&list(problems)),
            Self::Library { doing, source } => format!("{doing}: {source}"),
        };
        f.write_str(&printable(&clipped(text, 4_000)))
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
    /// Makes the error that something at `place` (a file, field or argument) does not fit.
    pub fn invalid(place: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self::Invalid {
            place: place.to_string(),
            problem: problem.to_string(),
        }
    }

    /// Makes, for `map_err`, the error that reading or writing `path` failed.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// Makes, for `map_err`, the error that a library failed while we were `doing` something.
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

/// Writes a number for a message: in full, or with a power of ten where that would be long.
pub(crate) fn short(number: f64) -> String {
    match number == 0.0 || (1e-6..1e15).contains(&number.abs()) {
        true => number.to_string(),
        false => format!("{number:e}"),
    }
}

/// Prints a line for the user on standard error. The line is lost if standard error cannot be
/// written to.
pub(crate) fn tell(line: impl fmt::Display) {
    writeln!(std::io::stderr(), "{}", printable(&line.to_string())).ok();
}

/// Returns the first `most` characters of a text, with an ellipsis in place of the rest.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// Replaces the middle of a message that is longer than `longest` characters: it may quote a
/// megabyte.
pub(crate) fn clipped(text: String, longest: usize) -> String {
    if text.len() <= longest || text.chars().count() <= longest {
        return text;
    }
    let (head, tail) = (longest / 4 * 3, longest / 4);
    let behind = text.char_indices().rev().nth(tail - 1).map_or(0, |(at, _)| at);
    let head: String = text.chars().take(head).collect();
    format!("{head} […] {}", &text[behind..])
}

/// Number of problems that a message lists. A file may have the same fault in every row.
pub(crate) const MOST_LISTED: usize = 20;

/// Most characters of a message about one row, or of a note.
pub(crate) const LONGEST_LINE: usize = 1_000;

/// Returns a number of things, such as `1 row` and `2 rows`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Returns notes with the number of rows that each is about. Of many, the first are listed, and the
/// last line counts the others.
pub(crate) fn notes_on_rows(notes: &BTreeMap<String, usize>) -> Vec<String> {
    let line = |(note, rows): (&String, &usize)| {
        let rows = counted(*rows, "row");
        clipped(format!("{rows}: {note}"), LONGEST_LINE)
    };
    let more = notes.len().saturating_sub(MOST_LISTED);
    let rest = (more > 0).then(|| format!("… and {more} more such notes"));
    notes.iter().take(MOST_LISTED).map(line).chain(rest).collect()
}

fn list(problems: &[RowProblem]) -> String {
    let shown = problems.iter().take(MOST_LISTED).map(RowProblem::to_string);
    let more = problems.len().saturating_sub(MOST_LISTED);
    let rest = (more > 0).then(|| format!("… and {more} more"));
    let lines: Vec<String> = shown.chain(rest).collect();
    format!("{} problem(s) in the data:\n{}", problems.len(), lines.join("\n"))
}

/// A place in the input, such as a field of a row, and the problem there. The caller, who knows the
/// file, makes an [`Error`] of it.
pub(crate) type Problem = (String, String);

/// Returns problems in one line: `place: problem; place: problem`.
pub(crate) fn joined(problems: &[Problem]) -> String {
    let each = problems
        .iter()
        .map(|(place, problem)| format!("{place}: {problem}"));
    each.collect::<Vec<_>>().join("; ")
}

/// Returns the place of `name` within `path`, as in `stops.minutes`. An empty path is the root.
pub(crate) fn place_in(path: &str, name: &str) -> String {
    match path.is_empty() {
        true => name.to_string(),
        false => format!("{path}.{name}"),
    }
}

/// Returns a list of names for a message, cut short.
pub(crate) fn some_of(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(MOST_LISTED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(MOST_LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Returns the known name that the user most likely meant: the one with the smallest edit distance.
/// `None` if it is too large for the name's length; names of up to three letters must match
/// exactly.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_within(name, known, usize::MAX)
}

/// Returns the [`nearest`] known name within an edit distance of `most`, for places where users may
/// add their own names and only a likely typo is an error.
pub(crate) fn nearest_within<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> Option<&'a str> {
    let few = |known: &str| match name.len().min(known.len()) {
        0..=3 => 0,
        4..=6 => 1,
        7..=11 => 2,
        _ => 3,
    };
    let near = known.into_iter().filter_map(|known| {
        let distance = strsim::osa_distance(known, name);
        (distance <= few(known).min(most)).then_some((distance, known))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_with_the_fewest_letters_that_differ() {
        let known = [
            "not",
            "type",
            "tools",
            "messages",
            "conversations",
            "learning_rate",
        ];
        for (name, meant) in [
            ("tool", Some("tools")),
            ("mesages", Some("messages")),
            ("masseges", Some("messages")),
            ("learnig_rat", Some("learning_rate")),
            ("convresation_", Some("conversations")),
            ("goals", None),
            ("typ", None),
            ("note", None),
            ("nott", None),
            ("x-message", None),
        ] {
            assert_eq!(nearest(name, known), meant, "{name}");
        }
        assert_eq!(nearest_within("mesages", known, 1), Some("messages"));
        assert_eq!(nearest_within("masseges", known, 1), None);
    }

    #[test]
    fn what_a_message_quotes_is_cut_short() {
        let problem = "ä".repeat(70_000) + "; expected a number";
        let text = Error::invalid("config.json", problem).to_string();
        assert!(text.starts_with("config.json: ä") && text.ends_with("ä; expected a number"));
        assert!(text.chars().count() < 4_100, "{}", text.len());
    }

    #[test]
    fn the_start_of_a_text_has_whole_characters() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöü", 2), "äö…");
        assert_eq!(shortened("ä", 0), "…");
    }

    #[test]
    fn long_lists_are_cut_short() {
        let problem = |row| RowProblem {
            file: "data.json".into(),
            row,
            field: "messages".into(),
            problem: "wrong".into(),
        };
        let text = Error::Rows((0..10_000).map(problem).collect()).to_string();
        assert!(text.starts_with("10000 problem(s) in the data:\ndata.json: row 0: messages: wrong\n"));
        assert!(text.ends_with("\n… and 9980 more") && text.len() < 2_000);
        let names: Vec<String> = (0..22).map(|i| i.to_string()).collect();
        assert!(some_of(&names).ends_with("18, 19 and 2 more"));
        assert_eq!(some_of(&names[..2]), "0, 1");
    }
}
