//! The form of messages that a template gets.
//!
//! transformers passes a conversation as it is in the data, so every template works with the data
//! of its authors: most want the arguments of a call as an object, some append them to a string and
//! so want JSON, and Mistral's refuse a call without an id of nine characters. Conversations have
//! one form in this crate; here they take the form that a template can show.

use super::json::dumps;
use crate::conversation::{Message, Role};
use crate::tool::ToolCall;
use serde_json::{Value, json};

/// The form of messages that a template can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Passes arguments as a JSON string, not as an object.
    pub arguments_as_text: bool,
    /// Gives every call an id of nine letters and digits.
    pub short_ids: bool,
    /// Passes name and arguments of a call as its own, not as those of its `function`.
    pub flat_calls: bool,
}

impl Needs {
    /// Returns the messages in the form that the template gets.
    pub(super) fn offered(self, messages: &[Message]) -> Value {
        let mut offered: Vec<Value> = messages.iter().map(|message| json!(message)).collect();
        for message in offered.iter_mut().filter_map(Value::as_object_mut) {
            message.shift_remove("weight"); // a weight matters for training only
        }
        if self.arguments_as_text {
            for call in calls(&mut offered) {
                let arguments = &mut call["function"]["arguments"];
                *arguments = dumps(arguments, Default::default()).unwrap_or_default().into();
            }
        }
        if self.short_ids {
            give_ids(messages, &mut offered);
        }
        if self.flat_calls {
            calls(&mut offered).for_each(flatten);
        }
        offered.into()
    }
}

/// Iterates over the calls of all messages.
fn calls(offered: &mut [Value]) -> impl Iterator<Item = &mut Value> {
    let lists = offered
        .iter_mut()
        .filter_map(|message| message.get_mut("tool_calls")?.as_array_mut());
    lists.flatten()
}

/// Takes name and arguments of a call out of its `function`.
fn flatten(call: &mut Value) {
    let Some(call) = call.as_object_mut() else { return };
    if let Some(Value::Object(function)) = call.shift_remove("function") {
        call.extend(function);
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
