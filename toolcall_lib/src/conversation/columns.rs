//! Reads the messages of a row from its columns, in each of the forms that data files use.

use super::calls::{decoded, tool_calls};
use super::form::Form;
use super::message::messages;
use super::role::is_call_turn;
use super::{Conversation, Message, Role, keys};
use crate::error::Problem;
use crate::json::kind;
use indexmap::IndexSet;
use serde_json::{Map, Value, json};

const TEXTS: &str = "the strings `prompt` and `completion` are read as a user's and an assistant's message";

const ALPACA: &str = "`instruction`, `input` and `output` are read as a user's and an assistant's message";

/// A conversation, and the place of each of its messages in the row, such as `messages[1]`.
#[derive(Default)]
pub(crate) struct Read {
    pub(crate) conversation: Conversation,
    pub(crate) fields: Vec<String>,
    /// Columns that held the messages.
    pub(crate) form: Option<Form>,
    /// Remarks for the user about the row. All rows with the same remark have the same words for
    /// it.
    pub(crate) notes: IndexSet<String>,
    /// True if the last message came from a message of ShareGPT that holds nothing but calls.
    pub(super) after_calls: bool,
}

impl Read {
    /// Reads the messages of a row, or those of its prompt and completion. Of these two, only the
    /// completion is trained.
    pub(super) fn read_messages(&mut self, row: &Map<String, Value>, form: Form) -> Result<(), Vec<Problem>> {
        match form {
            Form::Messages => self.read_list("messages", &row["messages"]),
            Form::ShareGpt => self.read_list("conversations", &row["conversations"]),
            Form::PromptCompletion => {
                self.read_side("prompt", &row["prompt"], Role::User)?;
                let messages = self.conversation.messages.iter_mut();
                let turns = messages.filter(|message| message.role == Role::Assistant);
                turns.for_each(|message| message.train = false);
                self.read_side("completion", &row["completion"], Role::Assistant)
            }
            Form::Query => self.read_query(&row["query"], &row["answers"]),
            Form::Alpaca => self.read_alpaca(row),
        }
    }

    /// Reads a prompt or a completion: a list of messages, or a string that is one message.
    fn read_side(&mut self, side: &str, value: &Value, role: Role) -> Result<(), Vec<Problem>> {
        let Value::String(text) = value else {
            return self.read_list(side, value);
        };
        let list = decoded(value, side).ok();
        let is_messages = |list: &Value| list.as_array().is_some_and(|list| list.iter().all(is_message));
        if let Some(list) = list.filter(is_messages) {
            return self.read_list(side, &list);
        }
        self.read_text(side, text, role)?;
        self.notes.insert(TEXTS.to_string());
        Ok(())
    }

    /// Reads a text as a message of this role.
    fn read_text(&mut self, field: &str, text: &str, role: Role) -> Result<(), Vec<Problem>> {
        let message = json!({"role": role, "content": text});
        for message in messages(&message, field, &mut Vec::new())? {
            self.push(message, field, false);
        }
        Ok(())
    }

    /// Reads xLAM's form: a request and the calls that answer it.
    fn read_query(&mut self, query: &Value, answers: &Value) -> Result<(), Vec<Problem>> {
        let Value::String(query) = query else {
            let problem = format!("found {}, expected a string", kind(query));
            return Err(vec![("query".into(), problem)]);
        };
        let calls = tool_calls(answers, "answers")?;
        self.push(Message::user(query), "query", false);
        self.push(Message::assistant_calls(calls), "answers", false);
        Ok(())
    }

    /// Reads Alpaca's form as LLaMA-Factory does: the `history`, a list of requests with their
    /// replies; then `instruction` and `input`, with a newline between, and the reply `output`.
    fn read_alpaca(&mut self, row: &Map<String, Value>) -> Result<(), Vec<Problem>> {
        let problem = |key: &str, found: &Value, expected: &str| {
            vec![(
                key.to_string(),
                format!("found {}, expected {expected}", kind(found)),
            )]
        };
        let text = |key: &str| match row.get(key).unwrap_or(&Value::Null) {
            Value::Null => Ok(""),
            Value::String(text) => Ok(text.as_str()),
            other => Err(problem(key, other, "a string")),
        };
        let asked = [text("instruction")?, text("input")?];
        let output = text("output")?;
        let history = row.get("history").filter(|history| keys::says_something(history));
        let turns = match history.map(|history| decoded(history, "history")).transpose() {
            Ok(None) => Vec::new(),
            Ok(Some(Value::Array(turns))) => turns,
            Ok(Some(other)) => {
                return Err(problem(
                    "history",
                    &other,
                    "a list of requests with their replies",
                ));
            }
            Err(problem) => return Err(vec![problem]),
        };
        for (index, turn) in turns.iter().enumerate() {
            let field = format!("history[{index}]");
            let Some([Value::String(asked), Value::String(said)]) = turn.as_array().map(Vec::as_slice) else {
                return Err(problem(&field, turn, "a request and its reply"));
            };
            self.read_text(&field, asked, Role::User)?;
            self.read_text(&field, said, Role::Assistant)?;
        }
        let asked: Vec<&str> = asked.into_iter().filter(|part| !part.is_empty()).collect();
        self.read_text("instruction", &asked.join("\n"), Role::User)?;
        self.read_text("output", output, Role::Assistant)?;
        self.notes.insert(ALPACA.to_string());
        Ok(())
    }

    fn read_list(&mut self, list: &str, value: &Value) -> Result<(), Vec<Problem>> {
        let value = match value {
            Value::String(text) if text.trim_start().starts_with('[') => {
                decoded(value, list).map_err(|problem| vec![problem])?
            }
            other => other.clone(),
        };
        let Value::Array(items) = &value else {
            let problem = format!("found {}, expected a list of messages", kind(&value));
            return Err(vec![(list.into(), problem)]);
        };
        let (mut problems, mut noted) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            let field = format!("{list}[{index}]");
            match messages(item, &field, &mut noted) {
                Ok(messages) => {
                    let calls = is_call_turn(item);
                    messages
                        .into_iter()
                        .for_each(|message| self.push(message, &field, calls));
                }
                Err(found) => problems.extend(found),
            }
        }
        let notes = noted
            .iter()
            .map(|key| format!("the key `{key}` of messages is not read"));
        self.notes.extend(notes);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }

    /// Adds a message. ShareGPT has a message for each call; several of them one after the other
    /// become one turn.
    fn push(&mut self, message: Message, field: &str, calls: bool) {
        let follows =
            calls && self.after_calls && message.content.is_empty() && message.reasoning_content.is_none();
        match self
            .conversation
            .messages
            .last_mut()
            .filter(|last| follows && last.train == message.train)
        {
            Some(last) => last.tool_calls.extend(message.tool_calls),
            None => {
                self.conversation.messages.push(message);
                self.fields.push(field.to_string());
            }
        }
        self.after_calls = calls;
    }
}

fn is_message(value: &Value) -> bool {
    value.get("role").or(value.get("from")).is_some()
}
