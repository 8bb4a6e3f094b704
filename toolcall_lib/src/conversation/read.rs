//! Reads the JSON of one row to a [`Conversation`](super::Conversation), in every form that data
//! files use. Collects all problems of the row.

use super::arrow::Shapes;
use super::calls::decoded;
use super::columns::Read;
use super::form::{Form, SHAPE};
use super::tools::tools;
use super::{Message, Role, keys};
use crate::error::Problem;
use crate::json::kind;
use crate::tool::ToolSchema;
use serde_json::{Map, Value};

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

impl Read {
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
