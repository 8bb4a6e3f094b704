//! Replies: splits the text of an assistant turn into thoughts, content and tool calls. Never
//! panics.
//!
//! A reply is an optional `<think>…</think>`, then text, then any number of calls in the syntax of
//! the model's chat template ([`CallSyntax`]). One malformed call turns the whole reply into text,
//! because half of the calls is not what the model asked for.

use crate::conversation::{Message, Role};
use crate::json;
use crate::syntax::tags::{CALL, CALL_END};
use crate::syntax::{CallSyntax, split_thought};
use crate::template::ChatTemplate;
use crate::tool::{ToolCall, ToolSchema};
use std::fmt;
use std::ops::Range;

/// Tokens that end a turn in the model families that can be loaded, as they appear in decoded text.
const END_OF_TURN: [&str; 6] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "</s>",
];

/// One assistant turn, split into its parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// Text besides the calls, trimmed; the whole text if a call is malformed.
    pub content: String,
    /// Thoughts at the beginning of the turn, if there are any.
    pub reasoning_content: Option<String>,
    /// The calls in order; empty if one of them is malformed.
    pub tool_calls: Vec<ToolCall>,
    /// True if the text contains a call that cannot be read.
    pub malformed: bool,
}

/// Splits the text of an assistant turn, with calls in the syntax of Hermes and Qwen. Any text is a
/// valid reply: in the worst case all of it is content.
///
/// ```
/// let reply = toolcall_lib::reply::parse(
///     "<tool_call>\n{\"name\": \"start_timer\", \"arguments\": {\"duration\": 300}}\n\
///      </tool_call><|im_end|>",
/// );
/// assert_eq!(reply.tool_calls[0].name, "start_timer");
/// assert_eq!(reply.tool_calls[0].arguments["duration"], 300);
/// ```
pub fn parse(text: &str) -> Reply {
    parse_as(text, &CallSyntax::hermes(), &[])
}

/// Splits a text as [`parse`] does, with calls in the syntax of this template, or of Hermes if that
/// is not known. Some templates write arguments without types; the schemas of `tools` supply them.
pub fn parse_with(text: &str, template: &ChatTemplate, tools: &[ToolSchema]) -> Reply {
    match template.call_syntax() {
        Some(syntax) => parse_as(text, syntax, tools),
        None => parse(text),
    }
}

/// Splits a text with calls in the given syntax.
fn parse_as(text: &str, syntax: &CallSyntax, tools: &[ToolSchema]) -> Reply {
    let text = without_end_of_turn(text);
    let (reasoning_content, answer) = split_thought(text);
    match syntax.read(answer, tools) {
        Some((content, tool_calls)) => Reply {
            content,
            reasoning_content,
            tool_calls,
            malformed: false,
        },
        None => Reply {
            content: text.to_string(),
            malformed: true,
            ..Reply::default()
        },
    }
}

/// Returns the byte range of each call in a text, from `<tool_call>` to `</tool_call>`: the same
/// calls that [`parse`] reads. Calls in another syntax are not found. Empty if one of them cannot
/// be read.
pub fn call_spans(text: &str) -> Vec<Range<usize>> {
    let turn = without_end_of_turn(text);
    let (_, answer) = split_thought(turn);
    // bytes before the answer: leading space and thoughts
    let before = text.len() - text.trim_start().len() + turn.len() - answer.len();
    let (mut spans, mut rest) = (Vec::new(), answer);
    while let Some((_, after)) = rest.split_once(CALL) {
        let start = answer.len() - after.len() - CALL.len();
        let behind =
            json::read_first(after).and_then(|(_, behind)| behind.trim_start().strip_prefix(CALL_END));
        let Some(behind) = behind else {
            return Vec::new();
        };
        spans.push(before + start..before + answer.len() - behind.len());
        rest = behind;
    }
    spans
}

impl Reply {
    /// Returns true if the model attempted a call, well-formed or not.
    pub fn attempts_call(&self) -> bool {
        self.malformed || !self.tool_calls.is_empty()
    }

    /// Converts the reply to a message of the conversation.
    pub fn into_message(self) -> Message {
        Message {
            reasoning_content: self.reasoning_content,
            tool_calls: self.tool_calls,
            ..Message::new(Role::Assistant, self.content)
        }
    }
}

/// Writes the content, then a line for each call.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&turn_text(&self.content, &self.tool_calls))
    }
}

/// Writes `name(argument=value, …)`, with values as JSON.
impl fmt::Display for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments: Vec<String> = self
            .arguments
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        write!(f, "{}({})", self.name, arguments.join(", "))
    }
}

/// Returns the text and calls of an assistant turn, with a line for each call.
pub(crate) fn turn_text(content: &str, calls: &[ToolCall]) -> String {
    let content = Some(content.to_string()).filter(|content| !content.is_empty());
    let lines: Vec<String> = content
        .into_iter()
        .chain(calls.iter().map(ToolCall::to_string))
        .collect();
    lines.join("\n")
}

/// Removes the tokens at the end of a turn, and space around the text.
fn without_end_of_turn(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(rest) = END_OF_TURN.iter().find_map(|marker| text.strip_suffix(marker)) {
        text = rest.trim_end();
    }
    text
}
