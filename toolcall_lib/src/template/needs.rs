//! The form of messages that a template needs, found out by rendering some.
//!
//! transformers hands a conversation over as it is in the data, so every template works with the
//! data of its authors: most want the arguments of a call as an object, some add them to a text and
//! so want JSON, and Mistral's refuse a call without an id of nine characters. Conversations have
//! one form in this crate; here they take the form that a template can show.

use super::ChatTemplate;
use super::json::dumps;
use crate::conversation::{Message, Role};
use crate::error::Error;
use crate::tool::{ToolCall, ToolSchema};
use serde_json::{Map, Value, json};

/// The form of messages that a template can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Passes arguments as the JSON text of an object, not as the object.
    pub arguments_as_text: bool,
    /// Gives every call an id of nine letters and digits.
    pub short_ids: bool,
}

/// The parts of a turn with calls that a template shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shows {
    /// Shows offered tools, calls, and the answers of tools; or the reason why it does not.
    pub calls: Result<(), String>,
    /// Shows what the assistant says beside its calls.
    pub content_beside_calls: bool,
    /// Shows the assistant's thoughts.
    pub thoughts: bool,
}

/// Words of the probe; the text of a template that shows everything contains them all.
const TOOL: &str = "offered_tool";
const CALLED: &str = "called_tool";
const KEY: &str = "some_key";
const VALUE: &str = "some_value";
const ANSWER: &str = "some_answer";
const SAID: &str = "some_words";
const THOUGHT: &str = "some_thought";

impl ChatTemplate {
    /// Returns the form of messages that the template can show; finds it out once.
    pub(super) fn needs(&self) -> Needs {
        let tried = [(false, false), (false, true), (true, false), (true, true)];
        let tried = tried.map(|(arguments_as_text, short_ids)| Needs {
            arguments_as_text,
            short_ids,
        });
        *self.needs.get_or_init(|| {
            tried
                .into_iter()
                .find(|needs| self.shows_calls(*needs).is_ok())
                .unwrap_or_default()
        })
    }

    /// Returns which parts of a turn the template shows.
    pub(crate) fn shows(&self) -> Shows {
        let needs = self.needs();
        let turn = Message {
            content: SAID.to_string(),
            reasoning_content: Some(THOUGHT.to_string()),
            ..Message::assistant_calls(vec![call(None)])
        };
        let mut thinking = self.clone();
        thinking.thinking = true;
        let text = thinking
            .render_as(needs, &[Message::user("hi"), turn], &[tool()], false)
            .unwrap_or_default();
        Shows {
            calls: self.shows_calls(needs),
            content_beside_calls: text.contains(SAID),
            thoughts: text.contains(THOUGHT),
        }
    }

    /// Checks that the template shows tools, calls and answers of messages in the form `needs`.
    fn shows_calls(&self, needs: Needs) -> Result<(), String> {
        let with_id = |id: Option<&str>| {
            let answer = Message {
                tool_call_id: id.map(String::from),
                ..Message::tool(CALLED, ANSWER)
            };
            let messages = [
                Message::user("hi"),
                Message::assistant_calls(vec![call(id)]),
                answer,
            ];
            self.render_as(needs, &messages, &[tool()], false)
                .map_err(|error: Error| error.to_string())
        };
        // 1. Every word of the probe must appear.
        let text = with_id(None)?;
        if let Some(missing) = [TOOL, CALLED, KEY, VALUE, ANSWER]
            .into_iter()
            .find(|word| !text.contains(word))
        {
            let what = match missing {
                TOOL => "the tools that are offered",
                ANSWER => "the answer of a tool",
                _ => "the calls of the assistant",
            };
            return Err(format!("it does not show {what}"));
        }
        // 2. Arguments must not look like a Python dict.
        if !needs.arguments_as_text && text.contains(&format!("{{'{KEY}'")) {
            return Err("it writes arguments as Python does, not as JSON".to_string());
        }
        // 3. Ids of any length must be accepted.
        with_id(Some("call_of_twenty_characters")).map(drop)
    }

    /// Returns the messages in the form that the template gets.
    pub(super) fn offered(&self, messages: &[Message], needs: Needs) -> Value {
        let mut offered: Vec<Value> = messages.iter().map(|message| json!(message)).collect();
        for message in offered.iter_mut().filter_map(Value::as_object_mut) {
            message.shift_remove("weight"); // a weight matters for training only
        }
        if needs.arguments_as_text {
            let calls = offered
                .iter_mut()
                .filter_map(|message| message.get_mut("tool_calls")?.as_array_mut())
                .flatten();
            for call in calls {
                let arguments = &mut call["function"]["arguments"];
                *arguments = dumps(arguments, Default::default()).unwrap_or_default().into();
            }
        }
        if needs.short_ids {
            give_ids(messages, &mut offered);
        }
        offered.into()
    }
}

fn tool() -> ToolSchema {
    let parameters = json!({"type": "object", "properties": {}});
    ToolSchema(
        json!({"type": "function", "function": {"name": TOOL, "description": "", "parameters": parameters}}),
    )
}

fn call(id: Option<&str>) -> ToolCall {
    ToolCall {
        id: id.map(String::from),
        name: CALLED.to_string(),
        arguments: Map::from_iter([(KEY.to_string(), json!(VALUE))]),
    }
}

/// Gives every call an id of nine letters and digits: its own if it has that form, or one made from
/// its own id or from its place. The answers of tools refer to it.
fn give_ids(messages: &[Message], offered: &mut [Value]) {
    let mut waiting: Vec<(&ToolCall, String)> = Vec::new();
    for (place, (message, offered)) in messages.iter().zip(offered).enumerate() {
        // A call: set its id, and remember it for the answers.
        if message.role == Role::Assistant {
            let ids = message.tool_calls.iter().enumerate().map(|(index, call)| {
                let id = call
                    .id
                    .as_deref()
                    .map_or_else(|| short_id(&format!("{place}.{index}")), short_id);
                (call, id)
            });
            waiting = ids.collect();
            for (index, (call, id)) in waiting.iter().enumerate() {
                let function = json!({"name": call.name, "arguments": offered["tool_calls"][index]["function"]["arguments"]});
                offered["tool_calls"][index] = json!({"id": id, "type": "function", "function": function});
            }
        // An answer: find its call by id, by name, or by order.
        } else if message.role == Role::Tool {
            let answered =
                waiting
                    .iter()
                    .position(|(call, _)| match (&message.tool_call_id, &message.name) {
                        (Some(id), _) if call.id.is_some() => call.id.as_ref() == Some(id),
                        (_, Some(name)) => call.name == *name,
                        (_, None) => true,
                    });
            let given = || message.tool_call_id.as_deref().map(short_id);
            if let Some(id) = answered.map(|index| waiting.remove(index).1).or_else(given) {
                offered["tool_call_id"] = id.into();
            }
        }
    }
}

/// Returns an id of nine letters and digits: the given one if it has that form, or a hash of it.
fn short_id(given: &str) -> String {
    const LENGTH: usize = 9;
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if given.len() == LENGTH && given.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return given.to_string();
    }
    // FNV-1a; 62^9 ids are far fewer than its 2^64 values.
    let hash = given.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let digits = (0..LENGTH as u32).map(|digit| LETTERS[(hash / 62u64.pow(digit) % 62) as usize] as char);
    digits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_where_they_fit_and_made_where_they_do_not() {
        assert_eq!(short_id("abcdefgh1"), "abcdefgh1");
        for other in ["", "call_1", "abcdefgh-", "äbcdefgh"] {
            let id = short_id(other);
            assert!(
                id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{id}"
            );
            assert_eq!(id, short_id(other));
        }
        assert_ne!(short_id("1.0"), short_id("1.1"));
    }
}
