//! Reads the JSON of one row to a [`Conversation`], in every form that data files use. Collects all
//! problems of the row.

use super::announced::announced;
use super::arrow::Shapes;
use super::calls::{clean_arguments, decoded, name_answers, tool_calls};
use super::form::{Form, SHAPE};
use super::message::messages;
use super::role::is_call_turn;
use super::text::call_in_words;
use super::tools::{tool, tools};
use super::{Conversation, Message, Role, keys};
use crate::error::Problem;
use crate::json::{self, kind};
use crate::tool::ToolSchema;
use indexmap::IndexSet;
use serde_json::{Map, Value, json};

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
    after_calls: bool,
}

/// Reads one row. Rows without `tools` get `default_tools`. `shapes` are those of the whole file.
pub(crate) fn read(row: &Value, default_tools: &[ToolSchema], shapes: &Shapes) -> Result<Read, Vec<Problem>> {
    let Value::Object(row) = row else {
        return Err(vec![(
            "row".into(),
            format!("found {}, expected {SHAPE}", kind(row)),
        )]);
    };
    // 1. Keys, messages, tools and template variables. All problems are collected.
    let form = Form::of(row);
    let mut read = Read {
        form: form.as_ref().ok().copied(),
        ..Read::default()
    };
    let (mut problems, noted) = keys::of_row(row, read.form);
    read.notes.extend(
        noted
            .iter()
            .map(|key| format!("the key `{key}` of rows is not read")),
    );
    match form {
        Ok(form) => problems.extend(read.read_messages(row, form).err().unwrap_or_default()),
        Err((column, problem)) => problems.push((column.to_string(), problem)),
    }
    let mut tools = tools(row, shapes, &mut read.notes).unwrap_or_else(|found| {
        problems.extend(found);
        Vec::new()
    });
    let kwargs = row.get("chat_template_kwargs").unwrap_or(&Value::Null);
    read.conversation.chat_template_kwargs = template_kwargs(kwargs).unwrap_or_else(|problem| {
        problems.push(("chat_template_kwargs".into(), problem));
        Map::new()
    });
    // 2. The system text, and tools that it lists.
    problems.extend(read.add_system(row).err());
    problems.extend(read.take_announced(&mut tools).err());
    if !problems.is_empty() {
        return Err(problems);
    }
    // 3. Work that needs the whole row.
    read.conversation.tools = if tools.is_empty() {
        default_tools.to_vec()
    } else {
        tools
    };
    read.finish(shapes);
    Ok(read)
}

const TEXTS: &str = "the strings `prompt` and `completion` are read as a user's and an assistant's message";

const ALPACA: &str = "`instruction`, `input` and `output` are read as a user's and an assistant's message";

const ANNOUNCED: &str = "the system text lists the tools as a chat template does; they are read as tools, and that \
    part is left to the template";

pub(super) const NONE_OFFERED: &str = "tools are called, but none is offered";
const WORDS: &str = "an assistant's text looks like a call, and is trained as words; write calls in `tool_calls`, or \
    between <tool_call> and </tool_call>";

fn is_message(value: &Value) -> bool {
    value.get("role").or(value.get("from")).is_some()
}

impl Read {
    /// Reads the messages of a row, or those of its prompt and completion. Of these two, only the
    /// completion is trained.
    fn read_messages(&mut self, row: &Map<String, Value>, form: Form) -> Result<(), Vec<Problem>> {
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

    /// Puts the `system` of a row in front as its first message.
    fn add_system(&mut self, row: &Map<String, Value>) -> Result<(), Problem> {
        match row.get("system") {
            None | Some(Value::Null) => Ok(()),
            Some(Value::String(text)) if text.is_empty() => Ok(()),
            Some(_) if self.begins_with(Role::System) => Err((
                "system".into(),
                format!(
                    "is given as well as the system message {}; a row has one system text",
                    self.fields.first().map_or("", String::as_str)
                ),
            )),
            Some(Value::String(text)) => {
                self.conversation.messages.insert(0, Message::system(text));
                self.fields.insert(0, "system".into());
                Ok(())
            }
            Some(other) => Err((
                "system".into(),
                format!("found {}, expected a string", kind(other)),
            )),
        }
    }

    fn begins_with(&self, role: Role) -> bool {
        let first = self.conversation.messages.first();
        first.is_some_and(|first| first.role == role)
    }

    /// Removes the tools from a system text in which a chat template has listed them. A row that
    /// lists other tools too keeps its text, and so does one with its own sentences around the
    /// list.
    fn take_announced(&mut self, tools: &mut Vec<ToolSchema>) -> Result<(), Problem> {
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
    fn finish(&mut self, shapes: &Shapes) {
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

/// Reads the variables that a row gives to the template besides messages and tools: an object or
/// its JSON string.
pub(crate) fn template_kwargs(value: &Value) -> Result<Map<String, Value>, String> {
    let decoded = decoded(value, "").map_err(|(_, problem)| problem)?;
    let mut kwargs = match decoded {
        Value::Null => Map::new(),
        Value::Object(kwargs) => kwargs,
        other => return Err(format!("found {}, expected an object", kind(&other))),
    };
    kwargs.retain(|_, value| !value.is_null());
    const OURS: [&str; 3] = ["messages", "tools", "add_generation_prompt"];
    match OURS.into_iter().find(|key| kwargs.contains_key(*key)) {
        Some(key) => Err(format!(
            "`{key}` is given to the template in any case; leave it out"
        )),
        None => Ok(kwargs),
    }
}
