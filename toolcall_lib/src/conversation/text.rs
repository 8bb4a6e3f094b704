//! Reads calls and answers that a data file holds as text.

use super::calls::{decoded, tool_calls};
use super::{Message, Role};
use crate::error::Problem;
use crate::syntax::{CallSyntax, split_thought, tags};
use crate::tool::ToolSchema;
use crate::tool::read::{ARGUMENTS, function_of, id_of};
use crate::{json, python};
use serde_json::Value;

/// Reads ShareGPT's calls: the value of a `function_call` message is the JSON of one call or of a
/// list of calls, perhaps after a thought or between tags.
pub(super) fn calls_in_text(value: &Value, field: &str) -> Result<Message, Vec<Problem>> {
    let (thought, value) = match value {
        Value::String(text) => {
            let (thought, answer) = thought_of(text);
            if answer.contains(tags::CALL) {
                let mut message = Message::assistant(text);
                take_from_text(&mut message, field)?;
                return Ok(message);
            }
            (thought, Value::from(answer))
        }
        value => (None, value.clone()),
    };
    let calls = decoded(&value, field).map_err(|problem| vec![problem])?;
    let calls = if calls.is_array() {
        calls
    } else {
        Value::Array(vec![calls])
    };
    Ok(Message {
        reasoning_content: thought,
        ..Message::assistant_calls(tool_calls(&calls, field)?)
    })
}

/// Splits a turn of a data file into its thought and the answer after it. In a file, unlike in a
/// reply, a thought that words come before is a part of the text.
fn thought_of(text: &str) -> (Option<String>, &str) {
    let begun = text.find(tags::THINK);
    match begun.is_some_and(|at| !text[..at].trim().is_empty()) {
        true => (None, text),
        false => split_thought(text),
    }
}

/// Reads the text of an assistant turn that holds calls in the syntax of Hermes. Returns the turn
/// with its words and its calls; `None` for a text without a call.
///
/// # Errors
/// A call that cannot be read.
pub(super) fn said_and_called(text: &str) -> Result<Option<Message>, String> {
    let (thought, answer) = thought_of(text);
    if !answer.contains(tags::CALL) && !answer.contains(tags::CALL_END) {
        return Ok(None);
    }
    match CallSyntax::hermes().strict().read(answer, &[]) {
        Some((content, tool_calls)) => Ok(Some(Message {
            reasoning_content: thought,
            tool_calls,
            ..Message::assistant(content)
        })),
        None => Err(format!(
            "holds a call that cannot be read; a call is {}{{\"name\": …, \"arguments\": {{…}}}}{}",
            tags::CALL,
            tags::CALL_END
        )),
    }
}

/// Marks of calls in the syntax of other models.
const MARKS: [&str; 21] = [
    "<functioncall>",
    "<function_call>",
    "<function_calls>",
    "<start_function_call>",
    "<function=",
    "<invoke name=",
    "<tool_calls>",
    "<tool_use>",
    "<tool_code>",
    "```tool_code",
    "<|tool_call|>",
    "<|tool_call>",
    "<|tool_calls|>",
    "<|tool_call_begin|>",
    "<|tool_calls_section_begin|>",
    "<|python_tag|>",
    "<|action_start|>",
    "<\u{ff5c}tool\u{2581}call",
    "[TOOL_CALLS]",
    "✿FUNCTION✿",
    "\nAction Input:",
];

/// Most places of a text at which an object is looked for.
const MOST_TRIED: usize = 100;

/// Returns how a call begins that the words of an assistant turn seem to hold in another syntax
/// than that of Hermes: with a mark, or as the JSON of a call of one of these tools.
pub(super) fn call_in_words(text: &str, tools: &[ToolSchema]) -> Option<&'static str> {
    if let Some(mark) = MARKS.into_iter().find(|mark| text.contains(mark)) {
        return Some(mark.trim());
    }
    let is_call = |(value, _): (Value, &str)| {
        let function = function_of(&value);
        let is_offered = tools.iter().any(|tool| function["name"] == tool.name());
        is_offered && ARGUMENTS.iter().any(|key| !function[*key].is_null())
    };
    let begins = text.match_indices('{').take(MOST_TRIED);
    let mut values = begins.filter_map(|(at, _)| {
        let rest = &text[at..];
        json::read_first(rest).or_else(|| python::read_first(rest))
    });
    values.any(is_call).then_some(r#"{"name": …"#)
}

const ANSWER: &str = "<tool_response>";
const ANSWER_END: &str = "</tool_response>";

/// Returns the answers of tools in a message that is nothing but
/// `<tool_response>…</tool_response>`, or else the message itself.
pub(super) fn answers_in_text(message: Message) -> Vec<Message> {
    let mut answers = Vec::new();
    let mut rest = message.content.trim();
    while let Some((inner, behind)) = rest
        .strip_prefix(ANSWER)
        .and_then(|rest| rest.split_once(ANSWER_END))
    {
        answers.push(answer(inner.trim(), &message));
        rest = behind.trim_start();
    }
    if answers.is_empty() || !rest.is_empty() {
        vec![message]
    } else {
        answers
    }
}

/// Reads an answer: plain text, or an object with the name of the tool and its content.
fn answer(text: &str, message: &Message) -> Message {
    let mut answer = Message {
        role: Role::Tool,
        content: text.to_string(),
        ..message.clone()
    };
    let Some(Value::Object(object)) = python::read_with_json(text) else {
        return answer;
    };
    let known = ["name", "content", "tool_call_id"];
    if let (Some(Value::String(name)), Some(content)) = (object.get("name"), object.get("content"))
        && object.keys().all(|key| known.contains(&key.as_str()))
    {
        answer.name = Some(name.clone());
        answer.content = content.as_str().map_or_else(|| content.to_string(), String::from);
        let id = object.get("tool_call_id").and_then(|id| id_of(id).ok().flatten());
        answer.tool_call_id = id.or(answer.tool_call_id);
    }
    answer
}

/// Reads the calls that the text of an assistant turn holds.
pub(super) fn take_from_text(message: &mut Message, field: &str) -> Result<(), Vec<Problem>> {
    let wrong = |problem: &str| vec![(field.to_string(), problem.to_string())];
    let Some(read) = said_and_called(&message.content).map_err(|problem| wrong(&problem))? else {
        return Ok(());
    };
    if !message.tool_calls.is_empty() {
        return Err(wrong(
            "holds a call as text, and the message has `tool_calls`; write it in one way",
        ));
    }
    if message.reasoning_content.is_some() && read.reasoning_content.is_some() {
        return Err(wrong(
            "holds a thought, and the message has another; write it in one way",
        ));
    }
    message.content = read.content;
    message.tool_calls = read.tool_calls;
    message.reasoning_content = read.reasoning_content.or(message.reasoning_content.take());
    Ok(())
}
