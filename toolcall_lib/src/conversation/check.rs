//! Checks that a conversation can be trained on: roles in order, calls answered, calls that fit the
//! tools.

use super::{Conversation, Message, Role};
use crate::error::Problem;
use crate::tool::{ToolCall, ToolSchema, doubled};

/// Returns all problems of a conversation; `fields[i]` is the place of message `i` in its row.
pub(crate) fn problems(conversation: &Conversation, fields: &[String]) -> Vec<Problem> {
    let Conversation { messages, tools, .. } = conversation;
    let mut problems: Vec<Problem> = doubled(tools)
        .map(|index| {
            let problem = format!("a second tool `{}`; names must differ", tools[index].name());
            (format!("tools[{index}]"), problem)
        })
        .collect();
    problems.extend(ends(messages, fields));
    problems.extend(answers(messages, fields));
    for (index, (message, field)) in messages.iter().zip(fields).enumerate() {
        let previous = index.checked_sub(1).map(|previous| messages[previous].role);
        let out_of_order =
            out_of_order(previous, message.role).map(|problem| (field.clone(), problem.to_string()));
        problems.extend(out_of_order);
        problems.extend(spoken(message, field));
        for (index, call) in message.tool_calls.iter().enumerate() {
            problems.extend(call_problems(
                call,
                tools,
                &format!("{field}.tool_calls[{index}]"),
            ));
        }
    }
    problems
}

fn ends(messages: &[Message], fields: &[String]) -> Option<Problem> {
    let (Some(last), Some(field)) = (messages.last(), fields.last()) else {
        return Some((
            "messages".into(),
            "empty; a conversation has a user and an assistant message".into(),
        ));
    };
    matches!(last.role, Role::System | Role::User).then(|| {
        (
            field.clone(),
            "the last message has no reply; end with the assistant's".into(),
        )
    })
}

fn out_of_order(previous: Option<Role>, role: Role) -> Option<&'static str> {
    match (previous, role) {
        (None | Some(Role::System), Role::Assistant) => {
            Some("starts with the assistant; a user message comes first")
        }
        (Some(_), Role::System) => Some("a system message must be the first"),
        (Some(Role::User), Role::User) => Some("a second user message in a row; join the two"),
        (Some(Role::Assistant), Role::Assistant) => Some("a second assistant message in a row; join the two"),
        (Some(Role::Tool), Role::User) => Some("the assistant must answer the tool message before it"),
        _ => None,
    }
}

fn spoken(message: &Message, field: &str) -> Option<Problem> {
    let silent = message.content.trim().is_empty() && message.tool_calls.is_empty();
    match message.role {
        Role::Assistant if silent => Some((
            field.into(),
            "an empty assistant turn; nothing to learn from".into(),
        )),
        Role::User if silent => Some((format!("{field}.content"), "an empty user message".into())),
        Role::Assistant => None,
        _ if message.tool_calls.is_empty() => None,
        _ => Some((
            format!("{field}.tool_calls"),
            "only an assistant message can call tools".into(),
        )),
    }
}

/// Checks that every tool message answers a call of the turn before it. All calls of a turn must be
/// answered or, at the end of a conversation, none.
fn answers(messages: &[Message], fields: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut waiting: Vec<&str> = Vec::new();
    let mut asked_at = 0;
    let unanswered = |at: usize, waiting: &[&str]| {
        let names = waiting.join("`, `");
        (
            format!("{}.tool_calls", fields[at]),
            format!("no tool message answers `{names}`"),
        )
    };
    for (index, message) in messages.iter().enumerate() {
        if message.role == Role::Tool {
            let name = message.name.as_deref().unwrap_or_default();
            match waiting.iter().position(|called| *called == name) {
                Some(answered) => drop(waiting.remove(answered)),
                None => problems.push((fields[index].clone(), answers_nothing(name))),
            }
            continue;
        }
        if !waiting.is_empty() {
            problems.push(unanswered(asked_at, &waiting));
        }
        let asks = message.role == Role::Assistant; // calls of others are reported separately
        waiting = message
            .tool_calls
            .iter()
            .filter(|_| asks)
            .map(|call| call.name.as_str())
            .collect();
        asked_at = index;
    }
    if !waiting.is_empty() && asked_at + 1 < messages.len() {
        problems.push(unanswered(asked_at, &waiting));
    }
    problems
}

fn answers_nothing(name: &str) -> String {
    match name {
        "" => "a tool message that answers no call of the assistant turn before it".into(),
        name => format!("answers `{name}`, which the assistant turn before it did not call"),
    }
}

fn call_problems(call: &ToolCall, tools: &[ToolSchema], field: &str) -> Vec<Problem> {
    let Some(tool) = tools.iter().find(|tool| tool.name() == call.name) else {
        let names: Vec<&str> = tools.iter().map(ToolSchema::name).collect();
        let problem = format!(
            "no tool `{}` in the row's tools ({})",
            call.name,
            names.join(", ")
        );
        return if tools.is_empty() {
            Vec::new()
        } else {
            vec![(format!("{field}.name"), problem)]
        };
    };
    let found = tool.check(&call.arguments).into_iter();
    found
        .map(|(path, problem)| match path.is_empty() {
            true => (format!("{field}.arguments"), problem),
            false => (format!("{field}.arguments.{path}"), problem),
        })
        .collect()
}
