//! A conversation in the making.

use super::request::Answered;
use crate::conversation::{Conversation, Message, Role};
use crate::tool::ToolSchema;

/// Returns true if the steps compute something and do not only repeat a number.
fn is_computed(steps: &str) -> bool {
    steps.contains(" = ")
}

/// A conversation in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    messages: Vec<Message>,
    /// True if no tool of any list does what the user asks for.
    pub(super) open: bool,
}

impl Row {
    pub(super) fn system(mut self, text: impl Into<String>) -> Self {
        self.messages.push(Message::system(text));
        self
    }

    /// Adds this system prompt, unless the row has one.
    pub(super) fn under(mut self, system: Option<&str>) -> Self {
        let has = self
            .messages
            .first()
            .is_some_and(|first| first.role == Role::System);
        if let Some(system) = system.filter(|_| !has) {
            self.messages.insert(0, Message::system(system));
        }
        self
    }

    pub(super) fn user(mut self, text: impl Into<String>) -> Self {
        self.messages.push(Message::user(text));
        self
    }

    pub(super) fn says(mut self, text: impl Into<String>) -> Self {
        self.messages.push(Message::assistant(text));
        self
    }

    /// An assistant turn with these calls, after the steps to their values, and the tool messages
    /// that answer it.
    pub(super) fn calls(mut self, answered: Vec<Answered>) -> Self {
        let calls = answered.iter().map(|one| one.call.clone()).collect();
        let mut steps: Vec<&str> = answered
            .iter()
            .flat_map(|one| &one.worked)
            .map(String::as_str)
            .collect();
        steps.dedup();
        if !steps.iter().any(|step| is_computed(step)) {
            steps.clear();
        }
        self.messages.push(Message {
            content: steps.join("; "),
            ..Message::assistant_calls(calls)
        });
        let answers = answered
            .into_iter()
            .map(|one| Message::tool(one.call.name, one.result));
        self.messages.extend(answers);
        self
    }

    /// Removes the steps of earlier calls if a later call has steps. The earlier calls are then not
    /// trained: they look like calls of another program, and the model must not learn to leave
    /// steps out.
    pub(super) fn without_earlier_steps(mut self) -> Self {
        let has_steps = |message: &Message| !message.tool_calls.is_empty() && is_computed(&message.content);
        let last = self.messages.iter().rposition(has_steps).unwrap_or(0);
        for message in self.messages[..last]
            .iter_mut()
            .filter(|message| has_steps(message))
        {
            message.content.clear();
            message.train = false;
        }
        self
    }

    /// The row up to its last calls.
    pub(super) fn until_calls(mut self) -> Self {
        while self
            .messages
            .last()
            .is_some_and(|message| message.role == Role::Tool)
        {
            self.messages.pop();
        }
        self
    }

    /// The row as one that asks for what no tool of any list does.
    pub(super) fn open(mut self) -> Self {
        self.open = true;
        self
    }

    pub(super) fn with(self, tools: Vec<ToolSchema>) -> Conversation {
        Conversation {
            messages: self.messages,
            tools,
            ..Conversation::default()
        }
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }
}
