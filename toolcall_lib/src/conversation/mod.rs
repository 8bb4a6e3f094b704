//! A conversation: messages, and the tools that the assistant may call.

mod announced;
mod arrow;
mod calls;
mod check;
mod form;
mod keys;
mod message;
mod parts;
mod read;
mod text;
mod tools;

pub(crate) use arrow::Shapes;
pub(crate) use check::problems;
pub(crate) use form::Form;
#[cfg(feature = "parquet")]
pub(crate) use keys::is_column;
pub(crate) use keys::is_read;
#[cfg(feature = "serve")]
pub(crate) use read::template_kwargs;
pub(crate) use read::{Read, read};

use crate::tool::{ToolCall, ToolSchema};
use read::Problem;
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

/// Role of the speaker of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions to the assistant.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The answer of a tool to a call.
    Tool,
}

/// One message. Its JSON is the one of chat templates: calls stand in it as
/// `{"type": "function", "function": {"name": …, "arguments": {…}}}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Role of the speaker.
    pub role: Role,
    /// Text of the message; empty for a turn that only calls tools.
    pub content: String,
    /// Thoughts of the assistant before its answer, for thinking models.
    pub reasoning_content: Option<String>,
    /// Calls that an assistant turn asks for.
    pub tool_calls: Vec<ToolCall>,
    /// Name of the tool that a tool message answers for; in other messages, the name of the
    /// speaker.
    pub name: Option<String>,
    /// Id of the call that a tool message answers, where the call has one.
    pub tool_call_id: Option<String>,
    /// True for an assistant turn that is learnt. If false, the model sees it like any other
    /// message.
    pub train: bool,
}

/// Messages and the tools that were offered with them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Conversation {
    /// The messages in order.
    pub messages: Vec<Message>,
    /// The tools that the assistant may call.
    pub tools: Vec<ToolSchema>,
    /// Variables for the chat template beside them, such as `{"enable_thinking": true}`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub chat_template_kwargs: Map<String, Value>,
}

impl Message {
    /// Returns a message that only says `content`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        let content = content.into();
        Self {
            role,
            content,
            reasoning_content: None,
            tool_calls: Vec::new(),
            name: None,
            tool_call_id: None,
            train: true,
        }
    }

    /// Returns a message with instructions to the assistant.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// Returns a message of the person.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// Returns a message of the assistant.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// Returns an assistant turn that calls tools and says nothing.
    pub fn assistant_calls(tool_calls: Vec<ToolCall>) -> Self {
        Self {
            tool_calls,
            ..Self::new(Role::Assistant, "")
        }
    }

    /// Returns the answer of the tool `name`.
    pub fn tool(name: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::new(Role::Tool, content)
        }
    }
}

impl Serialize for Message {
    /// Writes `content` in any case, empty for a turn that only calls tools: templates test its
    /// content.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", &self.role)?;
        if let Some(name) = &self.name {
            map.serialize_entry("name", name)?;
        }
        if let Some(id) = &self.tool_call_id {
            map.serialize_entry("tool_call_id", id)?;
        }
        map.serialize_entry("content", &self.content)?;
        if let Some(reasoning) = &self.reasoning_content {
            map.serialize_entry("reasoning_content", reasoning)?;
        }
        if !self.tool_calls.is_empty() {
            let calls = self.tool_calls.iter().map(|call| {
                let function = json!({"name": call.name, "arguments": call.arguments});
                match &call.id {
                    Some(id) => json!({"id": id, "type": "function", "function": function}),
                    None => json!({"type": "function", "function": function}),
                }
            });
            map.serialize_entry("tool_calls", &calls.collect::<Vec<_>>())?;
        }
        if !self.train {
            map.serialize_entry("weight", &0)?;
        }
        map.end()
    }
}

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

fn joined(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems
        .iter()
        .map(|(field, problem)| format!("{field}: {problem}"))
        .collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

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
