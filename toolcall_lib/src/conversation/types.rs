//! The types of a conversation, and the JSON that templates take.

use crate::tool::{ToolCall, ToolSchema};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
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

/// One message. Its JSON is the one of chat templates, with calls as `{"type": "function",
/// "function": {"name": …, "arguments": {…}}}`.
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
    /// Further variables for the chat template, such as `{"enable_thinking": true}`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub chat_template_kwargs: Map<String, Value>,
}

/// A conversation that is to go on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Begun {
    /// The conversation so far.
    pub conversation: Conversation,
    /// Calls at its end that no tool has answered yet.
    pub open_calls: Vec<ToolCall>,
    /// Remarks for the user about how it was read.
    pub notes: Vec<String>,
}

impl Conversation {
    /// Iterates over the places of the assistant turns that are learnt, and that the answers of a
    /// model are compared with: those whose [`train`](Message::train) is true.
    pub fn trained_turns(&self) -> impl Iterator<Item = usize> {
        let messages = self.messages.iter().enumerate();
        let trained = messages.filter(|(_, message)| message.role == Role::Assistant && message.train);
        trained.map(|(place, _)| place)
    }
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
