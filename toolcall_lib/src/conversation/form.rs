//! The columns in which a row has its conversation.

use crate::error::some_of;
use serde_json::{Map, Value};
use std::fmt;

/// Words for a row in messages about one.
pub(super) const SHAPE: &str = r#"an object such as {"messages": […], "tools": […]}"#;

/// The columns in which a row has its conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// `messages`, as chat templates take them.
    Messages,
    /// `conversations`, as ShareGPT has them.
    ShareGpt,
    /// `prompt` and `completion`, as TRL has them.
    PromptCompletion,
    /// `query` and `answers`, as xLAM's data sets have them.
    Query,
    /// `instruction`, `input` and `output`, as Alpaca has them.
    Alpaca,
}

/// Columns of a request and its reply that other data sets have for `prompt` and `completion`.
const PAIRS: [[&str; 2]; 3] = [
    ["input", "output"],
    ["question", "answer"],
    ["question", "response"],
];

/// Columns that hold messages, each of which makes a row a conversation.
pub(super) const LISTS: [&str; 4] = ["messages", "conversations", "prompt", "completion"];

impl Form {
    /// The columns of this form.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Messages => &["messages"],
            Self::ShareGpt => &["conversations"],
            Self::PromptCompletion => &["prompt", "completion"],
            Self::Query => &["query", "answers"],
            Self::Alpaca => &["instruction", "input", "output", "history"],
        }
    }

    /// Returns the form that the columns of `row` have.
    ///
    /// # Errors
    /// The column that is missing or redundant, and the problem.
    pub fn of(row: &Map<String, Value>) -> Result<Self, (&'static str, String)> {
        let there = |key: &&str| row.get(*key).is_some_and(|value| !value.is_null());
        let missing = |key, other: &str| Err((key, format!("missing; a row with `{other}` needs it")));
        let lists: Vec<&str> = LISTS.into_iter().filter(there).collect();
        match lists[..] {
            ["messages"] => Ok(Self::Messages),
            ["conversations"] => Ok(Self::ShareGpt),
            // repeats the first message, as in ultrachat_200k
            ["messages", "prompt"] if row["prompt"].is_string() => Ok(Self::Messages),
            ["conversations", "prompt"] if row["prompt"].is_string() => Ok(Self::ShareGpt),
            ["prompt", "completion"] => Ok(Self::PromptCompletion),
            ["prompt"] => missing("completion", "prompt"),
            ["completion"] => missing("prompt", "completion"),
            [first, second, ..] => {
                let second = LISTS
                    .into_iter()
                    .find(|list| *list == second)
                    .unwrap_or("messages");
                Err((
                    second,
                    format!("is given as well as `{first}`; a row has its messages once"),
                ))
            }
            _ => match ["query", "answers", "instruction", "output"].map(|key| there(&key)) {
                [true, true, ..] => Ok(Self::Query),
                [true, false, ..] => missing("answers", "query"),
                [false, true, ..] => missing("query", "answers"),
                [.., true, true] => Ok(Self::Alpaca),
                [.., true, false] => missing("output", "instruction"),
                [.., false, _] => Err(("messages", format!("missing; {}", advice(row)))),
            },
        }
    }
}

/// Says what to do with a row that has no messages.
fn advice(row: &Map<String, Value>) -> String {
    let is_there = |key: &str| row.get(key).is_some_and(|value| !value.is_null());
    let keys = row.keys().filter(|key| is_there(key));
    let keys: Vec<String> = keys.map(|key| format!("`{key}`")).collect();
    let found = match keys.is_empty() {
        true => String::new(),
        false => format!("the row has {}; ", some_of(&keys)),
    };
    if is_there("text") {
        return format!("{found}plain text is not read, since it does not say who speaks; a row is {SHAPE}");
    }
    match PAIRS
        .into_iter()
        .find(|pair| pair.iter().all(|key| is_there(key)))
    {
        Some([asked, said]) => format!("{found}rename `{asked}` to `prompt` and `{said}` to `completion`"),
        None => format!("{found}a row is {SHAPE}"),
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Messages => "messages",
            Self::ShareGpt => "conversations of ShareGPT",
            Self::PromptCompletion => "prompt and completion",
            Self::Query => "query and answers of xLAM",
            Self::Alpaca => "instruction and output of Alpaca",
        })
    }
}
