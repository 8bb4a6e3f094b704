//! The syntax of calls in the text of a reply, and a parser for it that never panics.
//!
//! Each family of models writes calls in its own way. All have a string before the first call; for
//! each call its name, its arguments and perhaps an id, with strings between them; and a string
//! after the last call.
//!
//! - Hermes, Qwen: `<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>`
//! - Llama 3: `{"name": "f", "parameters": {"x": 1}}`
//! - Mistral: `[TOOL_CALLS][{"name": "f", "arguments": {"x": 1}, "id": "abcdefghi"}]`
//! - Qwen3-Coder:
//!   `<tool_call>\n<function=f>\n<parameter=x>\n1\n</parameter>\n</function>\n</tool_call>`
//!
//! [`ChatTemplate::call_syntax`](crate::template::ChatTemplate::call_syntax) finds the syntax of a
//! template.

mod fields;
mod literal;
mod object;

use crate::tool::{ToolCall, ToolSchema};

/// Tags that Qwen's and Hermes' templates put around calls and thoughts.
pub(crate) mod tags {
    pub const THINK: &str = "<think>";
    pub const THINK_END: &str = "</think>";
    pub const CALL: &str = "<tool_call>";
    pub const CALL_END: &str = "</tool_call>";
}

/// The syntax of calls in the text of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSyntax {
    /// Text before the first call.
    pub(crate) begin: String,
    /// Parts of a call; the first and the last are not fixed strings.
    pub(crate) call: Vec<Part>,
    /// Text between two calls; `None` if a turn has room for one call only.
    pub(crate) between: Option<String>,
    /// Text after the last call.
    pub(crate) end: String,
    /// The JSON object that a call is, if it is one as a whole.
    pub(crate) object: Option<CallObject>,
}

/// A part of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A string that is the same in every call.
    Text(String),
    /// The name of the tool.
    Name,
    /// The id of the call.
    Id,
    /// The arguments as a JSON object, with these separators between items and after keys.
    Json {
        item_separator: String,
        key_separator: String,
    },
    /// The arguments one by one.
    Fields(Fields),
}

/// Arguments that are written one by one; a call without arguments writes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    /// Text before the first name.
    pub open: String,
    /// Text between a name and its value.
    pub middle: String,
    /// Text between a value and the next name.
    pub between: String,
    /// Text after the last value.
    pub close: String,
    /// Strings have quotation marks, as in JSON.
    pub quoted: bool,
    /// Values are Python's `True`, `False` and `None`, not `true`, `false` and `null`.
    pub python: bool,
}

/// A call that is one JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallObject {
    /// Text before the object, or before the list of all objects.
    pub open: String,
    /// Text after the object or list.
    pub close: String,
    /// All calls are in one list.
    pub list: bool,
    /// Key of the tool's name.
    pub name: String,
    /// True if an integer that would be changed is an error, and calls may be as Python writes
    /// them.
    pub strict: bool,
}

impl CallSyntax {
    /// Returns the syntax of Hermes and Qwen.
    pub fn hermes() -> Self {
        let json = Part::Json {
            item_separator: ", ".into(),
            key_separator: ": ".into(),
        };
        Self {
            begin: "<tool_call>\n{\"name\": \"".into(),
            call: vec![Part::Name, Part::Text("\", \"arguments\": ".into()), json],
            between: Some("}\n</tool_call>\n<tool_call>\n{\"name\": \"".into()),
            end: "}\n</tool_call>".into(),
            object: Some(CallObject {
                open: tags::CALL.into(),
                close: tags::CALL_END.into(),
                list: false,
                name: "name".into(),
                strict: false,
            }),
        }
    }

    /// Returns the syntax for training data, in which an integer of more than 64 bits makes a call
    /// unreadable.
    pub(crate) fn strict(mut self) -> Self {
        self.object.iter_mut().for_each(|object| object.strict = true);
        self
    }

    /// Reads the calls in `text`. Returns the text around them and the calls, or `None` if a call
    /// cannot be read. If values are written without their type, the schemas of `tools` decide.
    pub(crate) fn read(&self, text: &str, tools: &[ToolSchema]) -> Option<(String, Vec<ToolCall>)> {
        match &self.object {
            Some(object) => object.read(text),
            None => self.read_literally(text, tools),
        }
    }

    /// Returns the word that announces a call, such as `<tool_call>`. `None` if calls begin like
    /// any other JSON, and so only at the start of a reply.
    pub(crate) fn marker(&self) -> Option<&str> {
        let mark = match &self.object {
            Some(object) => object.open.trim(),
            None => self.begin.split_whitespace().next().unwrap_or_default(),
        };
        Some(mark).filter(|mark| mark.chars().any(char::is_alphanumeric))
    }

    /// Returns the word that ends a call, such as `</tool_call>`; `None` if calls end like other
    /// text.
    pub(crate) fn end_marker(&self) -> Option<&str> {
        let behind = match &self.object {
            Some(object) => object.close.trim(),
            None => self.end.split_whitespace().last().unwrap_or_default(),
        };
        Some(behind).filter(|word| word.chars().any(char::is_alphanumeric))
    }

    /// Returns true if each call is JSON between the tags of Hermes and Qwen, as
    /// [`call_spans`](crate::reply::call_spans) finds them.
    pub(crate) fn has_spans(&self) -> bool {
        self.object
            .as_ref()
            .is_some_and(|object| object.open.trim() == tags::CALL && object.close.trim() == tags::CALL_END)
    }

    /// Returns all strings around names and arguments, joined by zero bytes.
    pub(crate) fn texts(&self) -> String {
        let mut texts = vec![self.begin.as_str(), self.end.as_str()];
        texts.extend(self.between.as_deref());
        for part in &self.call {
            match part {
                Part::Text(text) => texts.push(text),
                Part::Fields(fields) => {
                    texts.extend([&*fields.open, &*fields.middle, &*fields.between, &*fields.close])
                }
                _ => {}
            }
        }
        texts.join("\0")
    }

    /// Returns true if the name has quotation marks.
    pub(crate) fn quotes_name(&self) -> bool {
        let before = match self.call.iter().position(|part| *part == Part::Name) {
            None | Some(0) => Some(self.begin.as_str()),
            Some(place) => match &self.call[place - 1] {
                Part::Text(text) => Some(text.as_str()),
                _ => None,
            },
        };
        before.is_some_and(|text| text.ends_with('"'))
    }
}

/// Splits a turn into the thought that it begins with, and the answer after it.
pub(crate) fn split_thought(text: &str) -> (Option<String>, &str) {
    let opened = text.trim_start().strip_prefix(tags::THINK);
    let Some((thought, answer)) = opened.unwrap_or(text).split_once(tags::THINK_END) else {
        return (None, text);
    };
    // Models that always think have `<think>` in their prompt, so their reply holds only the
    // closing tag. After a call, that tag is part of an argument.
    if opened.is_none() && thought.contains(tags::CALL) {
        return (None, text);
    }
    let thought = thought.trim();
    ((!thought.is_empty()).then(|| thought.to_string()), answer)
}

/// Joins the pieces of text in their order, without empty ones.
fn said(pieces: &[&str]) -> String {
    let pieces: Vec<&str> = pieces
        .iter()
        .map(|piece| piece.trim())
        .filter(|piece| !piece.is_empty())
        .collect();
    pieces.join("\n")
}

/// Returns the rest of `text` after `literal`. White space in the literal matches any amount of
/// it.
fn after<'a>(text: &'a str, literal: &str) -> Option<&'a str> {
    if let Some(rest) = text.strip_prefix(literal) {
        return Some(rest);
    }
    let mut rest = text;
    for word in literal.split_whitespace() {
        rest = rest.trim_start().strip_prefix(word)?;
    }
    let spaced = literal.ends_with(char::is_whitespace);
    Some(if spaced { rest.trim_start() } else { rest })
}
