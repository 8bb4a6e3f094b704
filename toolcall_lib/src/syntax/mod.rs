//! How calls stand in the text of a reply, and reading them there; never panics.
//!
//! Each family of models writes calls in its own way. What all have in common: a text before the first call, then for each
//! call its name, its arguments and perhaps an id with texts between them, then a text behind the last.
//!
//! | family | a call |
//! |---|---|
//! | Hermes, Qwen | `<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>` |
//! | Llama 3 | `{"name": "f", "parameters": {"x": 1}}` |
//! | Mistral | `[TOOL_CALLS][{"name": "f", "arguments": {"x": 1}, "id": "abcdefghi"}]` |
//! | Qwen3-Coder | `<tool_call>\n<function=f>\n<parameter=x>\n1\n</parameter>\n</function>\n</tool_call>` |
//!
//! [`ChatTemplate::call_syntax`](crate::template::ChatTemplate::call_syntax) finds out which one a template has.

mod fields;
mod literal;
mod object;

use crate::tool::{ToolCall, ToolSchema};

/// The tags that Qwen's and Hermes' templates put around calls and thoughts.
pub(crate) mod tags {
    pub const THINK: &str = "<think>";
    pub const THINK_END: &str = "</think>";
    pub const CALL: &str = "<tool_call>";
    pub const CALL_END: &str = "</tool_call>";
}

/// How calls stand in the text of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSyntax {
    /// Before the first call.
    pub(crate) begin: String,
    /// A call; the first and the last of its parts are no texts.
    pub(crate) call: Vec<Part>,
    /// From a call to the next; none where a turn has room for one.
    pub(crate) between: Option<String>,
    /// Behind the last call.
    pub(crate) end: String,
    /// The JSON object that a call is, where it is one.
    pub(crate) object: Option<CallObject>,
}

/// A part of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The same in every call.
    Text(String),
    /// The name of the tool.
    Name,
    /// The name that the call has for itself.
    Id,
    /// The arguments as a JSON object, with these texts between them and behind their names.
    Json {
        item_separator: String,
        key_separator: String,
    },
    /// The arguments one by one.
    Fields(Fields),
}

/// Arguments that are written one by one; without any, nothing is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    /// Before the name of the first.
    pub open: String,
    /// Between a name and its value.
    pub middle: String,
    /// Between a value and the next name.
    pub between: String,
    /// Behind the last value.
    pub close: String,
    /// Texts stand in quotation marks, as in JSON.
    pub quoted: bool,
    /// `True`, `False` and `None`, not `true`, `false` and `null`.
    pub python: bool,
}

/// A call that is one JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallObject {
    /// Before the object, or before the list of all of them.
    pub open: String,
    /// Behind it.
    pub close: String,
    /// All calls stand in one list.
    pub list: bool,
    /// The key of the name.
    pub name: String,
    /// A key that stands twice is an error.
    pub strict: bool,
}

impl CallSyntax {
    /// The way of Hermes and Qwen.
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

    /// The same for what is to be learnt: a key that stands twice makes a call unreadable.
    pub(crate) fn strict(mut self) -> Self {
        self.object.iter_mut().for_each(|object| object.strict = true);
        self
    }

    /// The calls in `text` and what is said around them, or `None` when one of them cannot be read. Where values are written
    /// without their type, `tools` say which one was meant.
    pub(crate) fn read(&self, text: &str, tools: &[ToolSchema]) -> Option<(String, Vec<ToolCall>)> {
        match &self.object {
            Some(object) => object.read(text),
            None => self.read_literally(text, tools),
        }
    }

    /// The text by which a call is known, such as `<tool_call>`; none if calls begin as any JSON does, and so only at the start
    /// of a reply.
    pub(crate) fn marker(&self) -> Option<&str> {
        let mark = match &self.object {
            Some(object) => object.open.trim(),
            None => self.begin.split_whitespace().next().unwrap_or_default(),
        };
        Some(mark).filter(|mark| mark.chars().any(char::is_alphanumeric))
    }

    /// The text by which the end of a call is known, such as `</tool_call>`; none if calls end as other texts do.
    pub(crate) fn end_marker(&self) -> Option<&str> {
        let behind = match &self.object {
            Some(object) => object.close.trim(),
            None => self.end.split_whitespace().last().unwrap_or_default(),
        };
        Some(behind).filter(|word| word.chars().any(char::is_alphanumeric))
    }

    /// All texts around names and arguments.
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

    /// The name stands in quotation marks.
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

/// The thought that a turn begins with, and the answer behind it.
pub(crate) fn split_thought(text: &str) -> (Option<String>, &str) {
    let opened = text.trim_start().strip_prefix(tags::THINK);
    let Some((thought, answer)) = opened.unwrap_or(text).split_once(tags::THINK_END) else {
        return (None, text);
    };
    // Models that always think have `<think>` in their prompt, so their reply holds the closing tag alone.
    // Behind a call it is a part of an argument.
    if opened.is_none() && thought.contains(tags::CALL) {
        return (None, text);
    }
    let thought = thought.trim();
    ((!thought.is_empty()).then(|| thought.to_string()), answer)
}

/// What is said, in its order, without empty pieces.
fn said(pieces: &[&str]) -> String {
    let pieces: Vec<&str> = pieces
        .iter()
        .map(|piece| piece.trim())
        .filter(|piece| !piece.is_empty())
        .collect();
    pieces.join("\n")
}

/// What follows `literal` in `text`, however much white space stands where the literal has some.
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
