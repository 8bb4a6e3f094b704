//! Text to tool calls or content; never panics.
//!
//! The format is the one that Qwen and Hermes models are taught: an optional `<think>…</think>`, then text,
//! then any number of `<tool_call>{"name": …, "arguments": {…}}</tool_call>`. One bad call makes the whole
//! reply text: half of what a model asked for is not what it asked for.

use crate::conversation::{Message, Role};
use crate::template::tags::{CALL, CALL_END, THINK, THINK_END};
use crate::tool::ToolCall;
use serde_json::{Map, Value};
use std::fmt;
use std::ops::Range;

/// Tokens that end a turn in the model families we load, as they look when they are decoded into the text.
const END_OF_TURN: [&str; 6] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "</s>",
];

/// One assistant turn, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// What is said beside the calls, trimmed; the whole text when a call is malformed.
    pub content: String,
    /// What the model thought first, where it thought anything.
    pub reasoning_content: Option<String>,
    /// The calls in order; empty when one of them is malformed.
    pub tool_calls: Vec<ToolCall>,
    /// The text holds a call that cannot be read.
    pub malformed: bool,
}

/// Takes the text of an assistant turn apart. Every text is a reply; the worst is one that is all content.
///
/// ```
/// let reply = toolcall_lib::reply::parse(
///     "<tool_call>\n{\"name\": \"start_timer\", \"arguments\": {\"duration\": 300}}\n</tool_call><|im_end|>",
/// );
/// assert_eq!(reply.tool_calls[0].name, "start_timer");
/// assert_eq!(reply.tool_calls[0].arguments["duration"], 300);
/// ```
pub fn parse(text: &str) -> Reply {
    let text = without_end_of_turn(text);
    let (reasoning_content, answer) = split_reasoning(text);
    match split_calls(answer) {
        Some((content, calls)) => Reply {
            content,
            reasoning_content,
            tool_calls: calls.into_iter().map(|(call, _)| call).collect(),
            malformed: false,
        },
        None => Reply {
            content: text.to_string(),
            malformed: true,
            ..Reply::default()
        },
    }
}

/// Where each call of a reply stands in its text, from `<tool_call>` to `</tool_call>`: as many as
/// [`parse`] reads.
pub fn call_spans(text: &str) -> Vec<Range<usize>> {
    let turn = without_end_of_turn(text);
    let (_, answer) = split_reasoning(turn);
    let before = text.len() - text.trim_start().len() + turn.len() - answer.len();
    let calls = split_calls(answer).map(|(_, calls)| calls).unwrap_or_default();
    let spans = calls.into_iter().map(|(_, span)| span);
    spans.map(|span| before + span.start..before + span.end).collect()
}

impl Reply {
    /// The model wanted to call a tool, well-formed or not.
    pub fn attempts_call(&self) -> bool {
        self.malformed || !self.tool_calls.is_empty()
    }

    /// The same as a message of the conversation.
    pub fn into_message(self) -> Message {
        Message {
            role: Role::Assistant,
            content: self.content,
            reasoning_content: self.reasoning_content,
            tool_calls: self.tool_calls,
            name: None,
        }
    }
}

/// The content, then a line for each call.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&turn_text(&self.content, &self.tool_calls))
    }
}

/// `name(argument=value, …)`, the values as JSON.
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

/// What an assistant turn says and calls, a line for each call.
pub(crate) fn turn_text(content: &str, calls: &[ToolCall]) -> String {
    let content = Some(content.to_string()).filter(|content| !content.is_empty());
    let lines: Vec<String> = content
        .into_iter()
        .chain(calls.iter().map(ToolCall::to_string))
        .collect();
    lines.join("\n")
}

fn without_end_of_turn(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(rest) = END_OF_TURN.iter().find_map(|marker| text.strip_suffix(marker)) {
        text = rest.trim_end();
    }
    text
}

fn split_reasoning(text: &str) -> (Option<String>, &str) {
    let opened = text.strip_prefix(THINK);
    let Some((thought, answer)) = opened.unwrap_or(text).split_once(THINK_END) else {
        return (None, text);
    };
    // Models that always think have `<think>` in their prompt, so their reply holds the closing tag alone.
    // Behind a call it is a part of an argument.
    if opened.is_none() && thought.contains(CALL) {
        return (None, text);
    }
    let thought = thought.trim();
    ((!thought.is_empty()).then(|| thought.to_string()), answer)
}

/// A call and where it stands.
type PlacedCall = (ToolCall, Range<usize>);

/// The text around the calls, and the calls with where they stand; `None` when one of them is
/// malformed.
fn split_calls(answer: &str) -> Option<(String, Vec<PlacedCall>)> {
    let (mut said, mut calls, mut rest) = (Vec::new(), Vec::new(), answer);
    while let Some((before, after)) = rest.split_once(CALL) {
        said.push(before.trim());
        let start = answer.len() - after.len() - CALL.len();
        let (call, after) = take_call(after)?;
        calls.push((call, start..answer.len() - after.len()));
        rest = after;
    }
    said.push(rest.trim());
    said.retain(|text| !text.is_empty());
    let lost_end = said.iter().any(|text| text.contains(CALL_END));
    (!lost_end).then(|| (said.join("\n"), calls))
}

/// Reads `{…}</tool_call>` from the start of `text`. The JSON says where the call ends, not the first closing
/// tag: that may stand in a string.
fn take_call(text: &str) -> Option<(ToolCall, &str)> {
    let mut objects = serde_json::Deserializer::from_str(text).into_iter::<Map<String, Value>>();
    let mut call = objects.next()?.ok()?;
    let rest = text
        .get(objects.byte_offset()..)?
        .trim_start()
        .strip_prefix(CALL_END)?;
    let Some(Value::String(name)) = call.remove("name") else {
        return None;
    };
    let arguments = match call.remove("arguments") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(arguments)) => arguments,
        Some(Value::String(json)) => serde_json::from_str(&json).ok()?,
        Some(_) => return None,
    };
    Some((ToolCall { name, arguments }, rest))
}
