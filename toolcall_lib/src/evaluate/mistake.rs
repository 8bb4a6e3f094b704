//! The first mistake of a row, and its kind.

use std::fmt;

/// The place where a dialogue went wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mistake {
    /// Index of the row, counted from 0 as in `data[row]`.
    pub row: usize,
    /// Index of the assistant turn within the row, counted from 0.
    pub turn: usize,
    /// The kind of mistake.
    pub kind: MistakeKind,
    /// The user's last message.
    pub user: String,
    /// The row's turn: text and calls.
    pub expected: String,
    /// The model's turn in the same form.
    pub got: String,
}

/// A kind of mistake in a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MistakeKind {
    /// The reply did not end by itself, whatever it says.
    Unfinished,
    /// A call cannot be read.
    Malformed,
    /// Words where a call is expected.
    NoCall,
    /// Other tools than expected, or in other numbers.
    WrongTool,
    /// The right tools with other arguments.
    WrongArguments,
    /// A call where words are expected.
    OverCall,
    /// Neither words nor a call.
    Empty,
}

impl fmt::Display for MistakeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unfinished => "did not end",
            Self::Malformed => "malformed call",
            Self::NoCall => "no call",
            Self::WrongTool => "wrong tool",
            Self::WrongArguments => "wrong arguments",
            Self::OverCall => "call without need",
            Self::Empty => "empty reply",
        })
    }
}
