//! Reads the JSON of one message to a [`Message`], or to several: some forms put the answers of
//! many tools into one message.

use super::parts::{Parts, parts};
use super::role::{ROLES, is_of_calls, role};
use super::text::{answers_in_text, calls_in_text, take_from_text};
use super::{Message, Role, calls, keys};
use crate::error::Problem;
use crate::json::kind;
use crate::tool::read::id_of;
use serde_json::{Map, Value};

/// Reads the message at `field`; adds keys that are only noted to `noted`.
pub(super) fn messages(
    value: &Value,
    field: &str,
    noted: &mut Vec<String>,
) -> Result<Vec<Message>, Vec<Problem>> {
    let Value::Object(object) = value else {
        let problem = format!("found {}, expected an object with role and content", kind(value));
        return Err(vec![(field.into(), problem)]);
    };
    let (mut problems, about) = keys::of_message(object, field);
    noted.extend(about);
    match read(object, field) {
        Ok(messages) if problems.is_empty() => Ok(messages),
        Ok(_) => Err(problems),
        Err(found) => {
            problems.extend(found);
            Err(problems)
        }
    }
}

fn read(object: &Map<String, Value>, field: &str) -> Result<Vec<Message>, Vec<Problem>> {
    let problem = |key: &str, problem: String| vec![(format!("{field}.{key}"), problem)];
    // 1. Role and text.
    let (role_key, role_name) = either(object, "role", "from").map_err(|found| problem(found.0, found.1))?;
    let (text_key, text) = either(object, "content", "value").map_err(|found| problem(found.0, found.1))?;
    let Some(role_name) = role_name.as_str() else {
        return Err(problem(
            role_key,
            format!("found {}, expected {ROLES}", kind(role_name)),
        ));
    };
    // 2. Content: calls, or the parts that the role may have.
    let text_field = format!("{field}.{text_key}");
    let mut message = if is_of_calls(role_name) {
        calls_in_text(text, &text_field)?
    } else {
        let Some(role) = role(role_name) else {
            return Err(problem(
                role_key,
                format!("found `{role_name}`, expected {ROLES}"),
            ));
        };
        let Parts {
            text,
            reasoning,
            calls,
            answers,
        } = parts(role, text, &text_field)?;
        if !answers.is_empty() {
            return beside_answers(answers, text, object, field);
        }
        Message {
            reasoning_content: reasoning,
            tool_calls: calls,
            ..Message::new(role, text)
        }
    };
    // 3. The other fields, and calls or answers in the text.
    add_fields(&mut message, object, field)?;
    match message.role {
        Role::Assistant => take_from_text(&mut message, &text_field).map(|()| vec![message]),
        Role::User | Role::Tool => Ok(answers_in_text(message)),
        Role::System => Ok(vec![message]),
    }
}

/// Returns the answers of a message, and what else the user says.
fn beside_answers(
    mut answers: Vec<Message>,
    text: String,
    object: &Map<String, Value>,
    field: &str,
) -> Result<Vec<Message>, Vec<Problem>> {
    let mut said = Message::user(text);
    add_fields(&mut said, object, field)?;
    let of_one = ["tool_calls", "function_call", "name", "tool_name", "tool_call_id"];
    let given = |key: &&str| object.get(*key).is_some_and(keys::says_something);
    if let Some(key) = of_one.into_iter().find(given) {
        let problem = "is not read next to the answers of tools in `content`; leave it out";
        return Err(vec![(format!("{field}.{key}"), problem.into())]);
    }
    answers.extend((!said.content.is_empty()).then_some(said));
    Ok(answers)
}

/// Reads everything of a message but its role and its text.
fn add_fields(message: &mut Message, object: &Map<String, Value>, field: &str) -> Result<(), Vec<Problem>> {
    let wrong = |key: &str, problem: String| vec![(format!("{field}.{key}"), problem)];
    for key in ["tool_calls", "function_call"] {
        let found = match object.get(key).filter(|calls| holds_calls(calls)) {
            None => continue,
            Some(call @ Value::Object(_)) if key == "function_call" => {
                calls::tool_call(call, &format!("{field}.{key}")).map(|call| vec![call])?
            }
            Some(calls) => calls::tool_calls(calls, &format!("{field}.{key}"))?,
        };
        if !found.is_empty() && !message.tool_calls.is_empty() {
            return Err(wrong(
                key,
                "is given as well as other calls of this message; write all of them in `tool_calls`".into(),
            ));
        }
        message.tool_calls.extend(found);
    }
    for key in ["reasoning_content", "reasoning", "thinking"] {
        let thought = text_of(object, key).map_err(|problem| wrong(key, problem))?;
        if thought.is_some() && message.role != Role::Assistant {
            let problem = "only the turns of the assistant have thoughts; leave it out here";
            return Err(wrong(key, problem.into()));
        }
        match (&message.reasoning_content, thought) {
            (Some(other), Some(thought)) if *other != thought => {
                return Err(wrong(
                    key,
                    "differs from the other thought of this message".into(),
                ));
            }
            (None, Some(thought)) => message.reasoning_content = Some(thought),
            _ => {}
        }
    }
    for key in ["name", "tool_name"] {
        let name = text_of(object, key).map_err(|problem| wrong(key, problem))?;
        if name.is_some() && message.name.is_some() && name != message.name {
            return Err(wrong(key, "differs from `name`".into()));
        }
        message.name = name.or(message.name.take());
    }
    let id = object.get("tool_call_id").unwrap_or(&Value::Null);
    let id = id_of(id).map_err(|problem| wrong("tool_call_id", problem))?;
    message.tool_call_id = id.or(message.tool_call_id.take());
    message.train = is_trained(object, message.role).map_err(|(key, problem)| wrong(key, problem))?;
    Ok(())
}

/// Returns false for nothing, for an empty text, and for a call of which Arrow has left only nulls.
fn holds_calls(calls: &Value) -> bool {
    match calls {
        Value::Object(call) => call.is_empty() || call.values().any(|value| !value.is_null()),
        calls => !calls.is_null() && *calls != "",
    }
}

/// Returns true if the message is trained on, by `weight` (OpenAI) and `train` (Axolotl).
fn is_trained(object: &Map<String, Value>, role: Role) -> Result<bool, (&'static str, String)> {
    let weight = match object.get("weight") {
        None | Some(Value::Null) => None,
        Some(weight) => match weight.as_f64() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            _ => {
                return Err((
                    "weight",
                    format!("found {weight}, expected 0 or 1; turns are trained or not"),
                ));
            }
        },
    };
    let train = match object.get("train") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(train)) => Some(*train),
        Some(other) => return Err(("train", format!("found {}, expected true or false", kind(other)))),
    };
    if weight.zip(train).is_some_and(|(weight, train)| weight != train) {
        return Err(("train", "contradicts `weight`".into()));
    }
    match (train, role) {
        (Some(true), Role::System | Role::User | Role::Tool) => Err((
            "train",
            "only the turns of the assistant are trained; leave it out here".into(),
        )),
        (_, Role::Assistant) => Ok(train.or(weight).unwrap_or(true)),
        _ => Ok(true), // not trained in any case
    }
}

/// Returns the string under a key. An empty one counts as absent.
fn text_of(object: &Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(other) => Err(format!("found {}, expected a string", kind(other))),
    }
}

/// Returns the key of chat templates or the one of ShareGPT, whichever is there, and its value.
fn either<'a>(
    object: &'a Map<String, Value>,
    key: &'a str,
    sharegpt: &'a str,
) -> Result<(&'a str, &'a Value), (&'a str, String)> {
    let given = |key: &str| object.get(key).filter(|value| !value.is_null());
    match (given(key), given(sharegpt)) {
        (Some(value), None) => Ok((key, value)),
        (None, Some(value)) => Ok((sharegpt, value)),
        (None, None) => Ok((
            if object.contains_key(sharegpt) {
                sharegpt
            } else {
                key
            },
            &Value::Null,
        )),
        (Some(one), Some(other)) if one == other => Ok((key, one)),
        (Some(_), Some(_)) => Err((sharegpt, format!("differs from `{key}`"))),
    }
}
