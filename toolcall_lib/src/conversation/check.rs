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
    let (found, open) = answers(messages, fields);
    problems.extend(found);
    // At the end of a row all calls of the last turn are answered, or none.
    let some_are_answered = open.turn + 1 < messages.len();
    if some_are_answered && !open.calls.is_empty() {
        problems.push(open.problem(fields));
    }
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

/// Calls of a turn that no tool has answered yet.
#[derive(Default)]
struct Open<'a> {
    /// Place of the turn among the messages.
    turn: usize,
    calls: Vec<&'a ToolCall>,
}

impl<'a> Open<'a> {
    fn of(turn: usize, message: &'a Message) -> Self {
        let asks = message.role == Role::Assistant; // calls of others are reported separately
        let calls = message.tool_calls.iter().filter(|_| asks).collect();
        Self { turn, calls }
    }

    /// Removes the call that a tool message answers: the one with its id, or else with its name.
    /// Returns false if there is none.
    fn answer(&mut self, message: &Message) -> bool {
        let of_name = |call: &&ToolCall| Some(&call.name) == message.name.as_ref();
        let of_id = |call: &&ToolCall| of_name(call) && call.id == message.tool_call_id;
        let exact = self.calls.iter().position(of_id);
        let answered = exact.or_else(|| self.calls.iter().position(of_name));
        answered.map(|place| self.calls.remove(place)).is_some()
    }

    fn problem(&self, fields: &[String]) -> Problem {
        let names: Vec<&str> = self.calls.iter().map(|call| call.name.as_str()).collect();
        (
            format!("{}.tool_calls", fields[self.turn]),
            format!("no tool message answers `{}`", names.join("`, `")),
        )
    }
}

/// Checks that every tool message answers a call of the turn before it, and that all calls before
/// the last turn are answered. Returns the problems, and the open calls of the last turn.
fn answers<'a>(messages: &'a [Message], fields: &[String]) -> (Vec<Problem>, Open<'a>) {
    let (mut problems, mut open) = (Vec::new(), Open::default());
    for (index, message) in messages.iter().enumerate() {
        if message.role != Role::Tool {
            if !open.calls.is_empty() {
                problems.push(open.problem(fields));
            }
            open = Open::of(index, message);
        } else if !open.answer(message) {
            let name = message.name.as_deref().unwrap_or_default();
            problems.push((fields[index].clone(), answers_nothing(name)));
        }
    }
    (problems, open)
}

/// Returns the calls at the end of a conversation that no tool has answered yet.
///
/// # Errors
/// Tool messages that answer no call, and calls before the last turn that none answers.
pub(super) fn open_calls(messages: &[Message], fields: &[String]) -> Result<Vec<ToolCall>, Vec<Problem>> {
    let (problems, open) = answers(messages, fields);
    match problems.is_empty() {
        true => Ok(open.calls.into_iter().cloned().collect()),
        false => Err(problems),
    }
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
