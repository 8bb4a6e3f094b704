//! Finishes a row whose messages and tools have been read: this needs the whole row.

use super::announced::announced;
use super::arrow::Shapes;
use super::calls::{clean_arguments, name_answers};
use super::columns::Read;
use super::text::call_in_words;
use super::tools::tool;
use super::{Conversation, Message, Role};
use crate::error::Problem;
use crate::json;
use crate::tool::ToolSchema;
use serde_json::Value;

const ANNOUNCED: &str = "the system text lists the tools as a chat template does; they are read as tools, and that \
    part is left to the template";

pub(super) const NONE_OFFERED: &str = "tools are called, but none is offered";
const WORDS: &str = "an assistant's text looks like a call, and is trained as words; write calls in `tool_calls`, or \
    between <tool_call> and </tool_call>";

impl Read {
    /// Removes the tools from a system text in which a chat template has listed them. A row that
    /// lists other tools too keeps its text, and so does one with its own sentences around the
    /// list.
    pub(super) fn take_announced(&mut self, tools: &mut Vec<ToolSchema>) -> Result<(), Problem> {
        let messages = &mut self.conversation.messages;
        let Some(system) = messages.first_mut().filter(|first| first.role == Role::System) else {
            return Ok(());
        };
        let Some(found) = announced(&system.content) else {
            return Ok(());
        };
        // 1. Read the listed tools.
        let listed = found
            .tools
            .into_iter()
            .map(|schema| tool(schema, &mut self.notes))
            .collect::<crate::Result<Vec<_>>>()
            .map_err(|problem| {
                let field = self.fields.first().map_or("messages[0]", String::as_str);
                (
                    field.to_string(),
                    format!("lists a tool that cannot be read: {problem}"),
                )
            })?;
        // 2. If the row has tools, the names must be the same.
        if tools.is_empty() {
            *tools = listed;
        } else if !listed
            .iter()
            .map(ToolSchema::name)
            .eq(tools.iter().map(ToolSchema::name))
        {
            return Ok(());
        }
        // 3. Remove the list from the text, if only sentences of a template are around it. A
        //    message without other text is removed.
        let Some(text) = found.text else {
            return Ok(());
        };
        system.content = text;
        if system.content.is_empty() {
            messages.remove(0);
            self.fields.remove(0);
        }
        self.notes.insert(ANNOUNCED.to_string());
        Ok(())
    }

    /// Finishes what needs the whole row: names the tool of each answer, cleans arguments by the
    /// schemas of their tools, and notes what the user should know.
    pub(super) fn finish(&mut self, shapes: &Shapes) {
        self.split_answers();
        let Conversation { messages, tools, .. } = &mut self.conversation;
        name_answers(messages);
        let cleaned = clean_arguments(messages, tools, &shapes.arguments);
        let called = messages.iter().any(|message| !message.tool_calls.is_empty());
        let shown_twice = messages
            .first()
            .is_some_and(|first| first.role == Role::System && first.content.contains("<tools>"));
        for (holds, note) in [
            (
                cleaned.whole > 0,
                "numbers such as 5.0 are read as integers, which the schema asks for",
            ),
            (
                cleaned.nulls > 0,
                "null is read as absent for arguments that take no null and may be left out",
            ),
            (
                cleaned.padding > 0,
                "null is read as absent for arguments that other rows have, as Arrow writes absent keys; to keep it, \
                    write arguments as a JSON string",
            ),
            (called && tools.is_empty(), NONE_OFFERED),
            (
                shown_twice && !tools.is_empty(),
                "the system text lists the tools, and the template shows them too",
            ),
        ] {
            if holds {
                self.notes.insert(note.to_string());
            }
        }
        let said = messages
            .iter()
            .filter(|message| message.role == Role::Assistant && message.train);
        let calls = said.filter_map(|message| call_in_words(&message.content, tools));
        self.notes.extend(calls.map(|call| format!("{call} in {WORDS}")));
    }

    /// Splits a message with a list of the answers to several calls into a message for each.
    fn split_answers(&mut self) {
        let messages = &mut self.conversation.messages;
        for index in (1..messages.len()).rev() {
            let calls = messages[index - 1].tool_calls.len();
            let [message, rest @ ..] = &messages[index..] else {
                continue;
            };
            let alone = rest.first().is_none_or(|next| next.role != Role::Tool);
            let unnamed = message.name.is_none() && message.tool_call_id.is_none();
            if calls < 2 || message.role != Role::Tool || !alone || !unnamed {
                continue;
            }
            let Ok(Value::Array(answers)) = json::read(&message.content) else {
                continue;
            };
            if answers.len() != calls {
                continue;
            }
            let answers = answers.into_iter().map(|answer| match answer {
                Value::String(text) => Message::new(Role::Tool, text),
                other => Message::new(Role::Tool, other.to_string()),
            });
            messages.splice(index..=index, answers.collect::<Vec<_>>());
            let field = self.fields[index].clone();
            self.fields.splice(index..=index, vec![field; calls]);
        }
    }
}
