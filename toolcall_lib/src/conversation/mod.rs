//! A conversation: messages, and the tools that the assistant may call.

mod announced;
mod arrow;
mod calls;
mod check;
mod columns;
mod finish;
mod form;
mod keys;
mod message;
mod parts;
mod read;
mod repair;
mod role;
mod text;
mod tools;
mod types;

pub(crate) use arrow::Shapes;
pub(crate) use check::problems;
pub(crate) use columns::Read;
pub(crate) use form::Form;
#[cfg(feature = "parquet")]
pub(crate) use keys::is_column;
pub(crate) use keys::{is_read, says_something};
pub(crate) use read::read;
#[cfg(feature = "serve")]
pub(crate) use read::template_kwargs;
pub use types::{Begun, Conversation, Message, Role};

use crate::error::{Problem, joined};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

impl<'de> Deserialize<'de> for Message {
    /// Accepts every form that [`crate::dataset::Dataset::load`] accepts, as long as it is one
    /// message.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let messages = message::messages(&value, "message", &mut Vec::new());
        let mut messages = messages.map_err(|problems| D::Error::custom(joined(&problems)))?;
        match (messages.pop(), messages.is_empty()) {
            (Some(message), true) => Ok(message),
            _ => Err(D::Error::custom(
                "message: holds the answers of several tools; write a message for each",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Conversation {
    /// Accepts every form that [`crate::dataset::Dataset::load`] accepts; the order of the roles is
    /// not checked.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let read =
            read(&value, &[], &Shapes::default()).map_err(|problems| D::Error::custom(joined(&problems)))?;
        Ok(read.conversation)
    }
}

impl<'de> Deserialize<'de> for Begun {
    /// Accepts every form that [`crate::dataset::Dataset::load`] accepts. Answers of tools must
    /// belong to calls, and calls before the last turn must be answered.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let refuse = |problems: Vec<Problem>| D::Error::custom(joined(&problems));
        let Read {
            conversation,
            fields,
            mut notes,
            ..
        } = read(&value, &[], &Shapes::default()).map_err(refuse)?;
        notes.retain(|note| note != finish::NONE_OFFERED); // whoever goes on offers the tools
        let open_calls = check::open_calls(&conversation.messages, &fields).map_err(refuse)?;
        Ok(Self {
            conversation,
            open_calls,
            notes: notes.into_iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::ToolCall;
    use serde_json::json;

    fn timer_call() -> ToolCall {
        let Value::Object(arguments) = json!({"duration": 60}) else {
            unreachable!()
        };
        ToolCall {
            id: None,
            name: "start_timer".into(),
            arguments,
        }
    }

    #[test]
    fn messages_are_written_as_chat_templates_take_them() {
        let write = |message: Message| serde_json::to_string(&message).unwrap();
        assert_eq!(write(Message::user("Hi")), r#"{"role":"user","content":"Hi"}"#);
        assert_eq!(
            write(Message::assistant_calls(vec![timer_call()])),
            r#"{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"start_timer","arguments":{"duration":60}}}]}"#
        );
        assert_eq!(
            write(Message::tool("start_timer", "60")),
            r#"{"role":"tool","name":"start_timer","content":"60"}"#
        );
        let thinking = Message {
            reasoning_content: Some("Hm.".into()),
            ..Message::assistant("Yes.")
        };
        assert_eq!(
            write(thinking),
            r#"{"role":"assistant","content":"Yes.","reasoning_content":"Hm."}"#
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let conversation = Conversation {
            messages: vec![
                Message::system("Be short."),
                Message::user("Start a timer of one minute."),
                Message::assistant_calls(vec![timer_call()]),
                Message::tool("start_timer", "60"),
                Message::assistant("Done."),
            ],
            ..Conversation::default()
        };
        let text = serde_json::to_string(&conversation).unwrap();
        assert_eq!(serde_json::from_str::<Conversation>(&text).unwrap(), conversation);
    }
}
