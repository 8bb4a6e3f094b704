//! The messages of a request, as OpenAI's API defines them. Text stays as it is, with any tags in
//! it; the other forms that data files use are refused by name.

use super::Refusal;
use super::fields::Fields;
use crate::json::kind;
use crate::tool::{ToolCall, read};
use crate::{Message, Role};
use serde_json::{Map, Value};

/// Fields of messages that are not supported, and advice for each.
const ADVICE: [(&str, &str); 2] = [
    ("function_call", "is not supported; write `tool_calls`"),
    ("audio", "is not supported; the model reads only text"),
];

/// Fields of an assistant message that repeat its content or say where it comes from.
const REPEATED: [&str; 3] = ["parsed", "annotations", LITELLM];

/// Field that LiteLLM adds to messages, calls and functions, and that clients send back.
const LITELLM: &str = "provider_specific_fields";

/// Fields of a part that change nothing here.
const OF_PARTS: [&str; 3] = ["annotations", "cache_control", "prompt_cache_breakpoint"];

/// Reads the conversation. Its last message must be one that the model can answer.
pub(super) fn messages(fields: &mut Fields) -> Result<Vec<Message>, Refusal> {
    let problem = match fields.list("messages")? {
        Some(list) if !list.is_empty() => return conversation(list),
        Some(_) => "empty; expected at least one message of the user",
        None => "missing; expected a list of messages",
    };
    Err(Refusal::of_field("messages", problem))
}

fn conversation(list: Vec<Value>) -> Result<Vec<Message>, Refusal> {
    let (mut messages, mut open) = (Vec::with_capacity(list.len()), Open::default());
    for (index, value) in list.into_iter().enumerate() {
        let place = format!("messages[{index}]");
        let mut message = message(value, &place)?;
        match message.role {
            Role::Tool => open.answer(&mut message, &place)?,
            _ => open.end()?,
        }
        if message.role == Role::Assistant {
            open = Open::of(&message, &place)?;
        }
        messages.push(message);
    }
    if messages.last().is_some_and(|last| last.role == Role::Assistant) {
        let problem = "is a message of the assistant; end with a message of the user or of a tool";
        let last = messages.len() - 1;
        return Err(Refusal::of_field(format!("messages[{last}]"), problem));
    }
    open.end()?;
    Ok(messages)
}

/// The calls of an assistant message that no tool has answered yet.
#[derive(Default)]
struct Open {
    /// Place of the assistant message.
    place: String,
    /// Id and tool of each call.
    calls: Vec<(String, String)>,
}

impl Open {
    fn of(message: &Message, place: &str) -> Result<Self, Refusal> {
        let mut calls: Vec<(String, String)> = Vec::new();
        for (index, call) in message.tool_calls.iter().enumerate() {
            let id = call.id.clone().unwrap_or_default();
            if calls.iter().any(|(other, _)| *other == id) {
                let field = format!("{place}.tool_calls[{index}].id");
                let problem = format!("a second call `{id}`; ids of a message must differ");
                return Err(Refusal::of_field(field, problem));
            }
            calls.push((id, call.name.clone()));
        }
        let place = place.to_string();
        Ok(Self { place, calls })
    }

    /// Names the answer of a tool after the call that its id names.
    fn answer(&mut self, message: &mut Message, place: &str) -> Result<(), Refusal> {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        let Some(index) = self.calls.iter().position(|(call, _)| call == id) else {
            let expected = match self.calls.is_empty() {
                true => "no call waits for one".to_string(),
                false => format!("expected one of {}", self.ids()),
            };
            let problem = format!("`{id}` answers no call of the assistant's turn before it; {expected}");
            return Err(Refusal::of_field(format!("{place}.tool_call_id"), problem));
        };
        let (_, tool) = self.calls.remove(index);
        if let Some(name) = message.name.as_ref().filter(|name| **name != tool) {
            let problem = format!("found `{name}`, but this answers a call of `{tool}`; leave it out");
            return Err(Refusal::of_field(format!("{place}.name"), problem));
        }
        message.name = Some(tool);
        Ok(())
    }

    /// Refuses calls that were not answered where something else follows.
    fn end(&self) -> Result<(), Refusal> {
        if self.calls.is_empty() {
            return Ok(());
        }
        let problem = format!(
            "no tool has answered {}; a message of the role `tool` must follow for each call",
            self.ids()
        );
        Err(Refusal::of_field(format!("{}.tool_calls", self.place), problem))
    }

    fn ids(&self) -> String {
        let ids: Vec<&str> = self.calls.iter().map(|(id, _)| id.as_str()).collect();
        ids.join(", ")
    }
}

fn message(value: Value, place: &str) -> Result<Message, Refusal> {
    let mut fields = Fields::of_value(place, value, "an object with `role` and `content`")?;
    fields.refuse(&ADVICE)?;
    let role = role(&mut fields)?;
    let content = content(&mut fields, role)?;
    let has_content = content.is_some();
    let mut message = Message::new(role, content.unwrap_or_default());
    message.name = fields.text("name")?.filter(|name| !name.is_empty());
    match role {
        Role::System | Role::User => {}
        Role::Tool => message.tool_call_id = Some(fields.required("tool_call_id")?),
        Role::Assistant => add_turn(&mut message, &mut fields, has_content)?,
    }
    fields.end(&[])?;
    Ok(message)
}

fn role(fields: &mut Fields) -> Result<Role, Refusal> {
    const EXPECTED: &str = "expected system, developer, user, assistant or tool";
    let problem = match fields.text("role")?.as_deref() {
        Some("system" | "developer") => return Ok(Role::System),
        Some("user") => return Ok(Role::User),
        Some("assistant") => return Ok(Role::Assistant),
        Some("tool") => return Ok(Role::Tool),
        Some("function") => {
            "found `function`, which is not supported; write `tool`, with the `tool_call_id` of the call"
                .into()
        }
        Some(other) => format!("found `{other}`, {EXPECTED}"),
        None => format!("missing; {EXPECTED}"),
    };
    Err(Refusal::of_field(fields.name("role"), problem))
}

/// Takes the content. Only the assistant may say nothing: it may call tools instead.
fn content(fields: &mut Fields, role: Role) -> Result<Option<String>, Refusal> {
    const EXPECTED: &str = "a string or a list of parts {\"type\": \"text\", \"text\": …}";
    let place = fields.name("content");
    let problem = match fields.take("content") {
        Some(Value::String(text)) => return Ok(Some(text)),
        Some(Value::Array(list)) if !list.is_empty() => return parts(list, &place, role).map(Some),
        None if role == Role::Assistant => return Ok(None),
        None => format!("{}; expected {EXPECTED}", fields.absence("content")),
        Some(Value::Array(_)) => format!("empty; expected {EXPECTED}"),
        Some(other) => format!("found {}, expected {EXPECTED}", kind(&other)),
    };
    Err(Refusal::of_field(place, problem))
}

/// Joins the texts of a list of parts.
fn parts(list: Vec<Value>, place: &str, role: Role) -> Result<String, Refusal> {
    let mut said = String::new();
    for (index, part) in list.into_iter().enumerate() {
        let expected = "a part such as {\"type\": \"text\", \"text\": …}";
        let mut part = Fields::of_value(&format!("{place}[{index}]"), part, expected)?;
        let key = match part.text("type")?.as_deref() {
            Some("text") => "text",
            Some("refusal") if role == Role::Assistant => "refusal",
            other => {
                let problem = format!(
                    "found `{}`, expected `text`; only text can be read",
                    other.unwrap_or("nothing")
                );
                return Err(Refusal::of_field(part.name("type"), problem));
            }
        };
        let Some(text) = part.text(key)? else {
            return Err(Refusal::of_field(part.name(key), "missing; expected a string"));
        };
        said += &text;
        part.ignore(&OF_PARTS);
        part.end(&[])?;
    }
    Ok(said)
}

/// Adds what only the assistant's messages have: thoughts, calls, a refusal in place of content.
fn add_turn(message: &mut Message, fields: &mut Fields, has_content: bool) -> Result<(), Refusal> {
    fields.ignore(&REPEATED);
    message.tool_calls = tool_calls(fields)?;
    message.reasoning_content = thought(fields)?;
    let refusal = fields.text("refusal")?.filter(|text| !text.is_empty());
    match refusal {
        None if !has_content && message.tool_calls.is_empty() => {
            let problem = "missing; expected a string, or `tool_calls` instead";
            Err(Refusal::of_field(fields.name("content"), problem))
        }
        Some(_) if !message.content.is_empty() => {
            let problem = "cannot be combined with `content`; leave one of them out";
            Err(Refusal::of_field(fields.name("refusal"), problem))
        }
        refusal => {
            message.content += &refusal.unwrap_or_default();
            Ok(())
        }
    }
}

/// Takes the thought, which servers send under either name or under both.
fn thought(fields: &mut Fields) -> Result<Option<String>, Refusal> {
    let ours = fields.text("reasoning_content")?;
    let other = fields.text("reasoning")?;
    match (ours, other) {
        (Some(ours), Some(other)) if ours != other => Err(Refusal::of_field(
            fields.name("reasoning"),
            "differs from `reasoning_content`; leave one of them out",
        )),
        (ours, other) => Ok(ours.or(other).filter(|thought| !thought.is_empty())),
    }
}

fn tool_calls(fields: &mut Fields) -> Result<Vec<ToolCall>, Refusal> {
    let place = fields.name("tool_calls");
    let calls = fields.list("tool_calls")?.unwrap_or_default().into_iter();
    calls
        .enumerate()
        .map(|(index, call)| tool_call(call, &format!("{place}[{index}]")))
        .collect()
}

fn tool_call(value: Value, place: &str) -> Result<ToolCall, Refusal> {
    let expected = "{\"id\": …, \"type\": \"function\", \"function\": {\"name\": …, \"arguments\": …}}";
    let mut call = Fields::of_value(place, value, expected)?;
    call.only(
        "type",
        &["function".into()],
        "only calls of functions are supported",
    )?;
    let id = Some(call.required("id")?);
    let function = call.object("function")?;
    // `confidence` is ours; `index` comes from streams that a client has joined.
    call.ignore(&["confidence", "index", LITELLM]);
    let Some(function) = function else {
        let problem = format!("missing; a call is {expected}");
        return Err(Refusal::of_field(call.name("function"), problem));
    };
    call.end(&[])?;
    let mut function = Fields::of(&format!("{place}.function"), function);
    let name = function.required("name")?;
    let arguments = arguments(&mut function)?;
    function.ignore(&["parsed_arguments", LITELLM]); // the first is a copy of the arguments
    function.end(&[])?;
    Ok(ToolCall { id, name, arguments })
}

/// Takes the arguments: an object as a JSON string, or an empty string for none.
fn arguments(function: &mut Fields) -> Result<Map<String, Value>, Refusal> {
    let place = function.name("arguments");
    let Some(text) = function.text("arguments")? else {
        let problem = "missing; expected an object as a JSON string";
        return Err(Refusal::of_field(place, problem));
    };
    read::arguments(&Value::String(text)).map_err(|problem| Refusal::of_field(place, problem))
}

#[cfg(test)]
mod tests;
