//! Requests of the user's rows, with slots in place of the values of their calls.

use super::found::{Form, find};
use crate::conversation::{Conversation, Message, Role};
use crate::synthetic::skill::{Ask, Skill};
use crate::synthetic::text::Template;
use crate::synthetic::value::{Argument, Kind};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// A request of a row for one call: what the user said, the arguments, the tool's answer, and the
/// report.
pub(super) struct OwnRequest<'a> {
    pub(super) said: &'a str,
    pub(super) arguments: &'a Map<String, Value>,
    pub(super) result: Option<&'a str>,
    pub(super) reply: Option<&'a str>,
}

/// Returns the requests of the rows for one call of this tool.
pub(super) fn requests_of<'a>(tool: &str, rows: &'a [Conversation]) -> Vec<OwnRequest<'a>> {
    let mut requests = Vec::new();
    for row in rows {
        for (index, pair) in row.messages.windows(2).enumerate() {
            let [user, call] = pair else { continue };
            let [only] = &call.tool_calls[..] else {
                continue;
            };
            let after_question = index > 0 && row.messages[index - 1].role == Role::Assistant;
            if user.role != Role::User || only.name != tool || after_question {
                continue;
            }
            let said = |role: Role, at: usize| -> Option<&'a Message> {
                row.messages.get(at).filter(|message| message.role == role)
            };
            requests.push(OwnRequest {
                said: &user.content,
                arguments: &only.arguments,
                result: said(Role::Tool, index + 2).map(|message| message.content.as_str()),
                reply: said(Role::Assistant, index + 3).map(|message| message.content.as_str()),
            });
        }
    }
    requests
}

/// Returns the request with slots. Values that its words imply stay with it.
pub(super) fn ask(skill: &Skill, request: &OwnRequest<'_>) -> Result<Ask, String> {
    let arguments = by_slot(skill, request.arguments)?;
    let (text, found) = slotted(skill, request.said, &arguments);
    let mut implied = IndexMap::new();
    for (slot, value) in &arguments {
        let kind = skill.argument(slot).map(|argument| &argument.kind);
        let is_free = !matches!(kind, Some(Kind::Flag(..) | Kind::Choice(_)));
        if !found.contains(slot) {
            if is_free && text.slots().is_empty() && arguments.len() == 1 {
                let name = request.arguments.keys().next().map_or("", String::as_str);
                return Err(format!("`{name}` is {value}, which the sentence does not say"));
            }
            implied.insert(slot.clone(), value.clone());
        }
    }
    let answer = answer_of(skill, request, &arguments, &found);
    Ok(Ask {
        text,
        implied,
        answer,
    })
}

/// Returns the values of a call by slot; the fields of an object have a slot each.
fn by_slot(skill: &Skill, arguments: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let named = |arguments: &IndexMap<String, Argument>, name: &str| {
        let found = arguments.iter().find(|(_, argument)| argument.names[0] == name);
        found.map(|(slot, _)| slot.clone())
    };
    let mut values = Map::new();
    for (name, value) in arguments {
        let unknown = || format!("the tool has no argument `{name}`");
        let slot = named(&skill.arguments, name).ok_or_else(unknown)?;
        let fields = match (&skill.arguments[&slot].kind, value) {
            (Kind::Fields(fields), Value::Object(values)) => Some((fields, values)),
            _ => None,
        };
        let Some((fields, given)) = fields else {
            values.insert(slot, value.clone());
            continue;
        };
        for (field, value) in given {
            let unknown = || format!("the tool has no argument `{name}.{field}`");
            let field = named(fields, field).ok_or_else(unknown)?;
            values.insert(format!("{slot}.{field}"), value.clone());
        }
    }
    Ok(values)
}

/// Returns the answer of the tool and the report of a row, with slots. Returns `None` if the report
/// may mention a value in other words: they would be wrong with another value.
fn answer_of(
    skill: &Skill,
    request: &OwnRequest<'_>,
    arguments: &Map<String, Value>,
    drawn: &HashSet<String>,
) -> Option<(Template, Template)> {
    let (reply, reported) = slotted(skill, request.reply?, arguments);
    let chosen = |slot: &&String| {
        let kind = skill.argument(slot).map(|argument| &argument.kind);
        matches!(kind, Some(Kind::Choice(_) | Kind::Many(..)))
    };
    let hidden = drawn.iter().filter(chosen).any(|slot| !reported.contains(slot));
    let (result, _) = slotted(skill, request.result?, arguments);
    (!hidden).then_some((result, reply))
}

/// Returns the text with slots in place of the values, and the slots whose values were found.
fn slotted(skill: &Skill, text: &str, arguments: &Map<String, Value>) -> (Template, HashSet<String>) {
    let mut places = Vec::new();
    for (name, value) in arguments {
        let kind = skill.argument(name).map(|argument| &argument.kind);
        let said = match kind {
            Some(Kind::Choice(choices)) => {
                let ways = choices
                    .iter()
                    .filter(|(choice, _)| value == choice)
                    .flat_map(|(_, said)| said);
                let mut ways: Vec<&String> = ways.collect();
                ways.sort_by_key(|way| std::cmp::Reverse(way.len()));
                ways.into_iter()
                    .find_map(|way| find(text, &Value::from(way.as_str())))
            }
            _ => None,
        };
        if let Some(found) = said.or_else(|| find(text, value)) {
            let drawn = match (kind, found.form) {
                (Some(Kind::Many(..)), form) => form == Form::Many,
                (Some(Kind::Flag(..) | Kind::Fields(_)) | None, _) => false,
                (Some(Kind::Duration(unit)), form) => form == Form::Duration(*unit),
                (Some(_), _) => true,
            };
            if drawn {
                places.push((found.place, name.clone()));
            }
        }
    }
    // 1. Where two places overlap, the longer one wins.
    places.sort_by_key(|(place, _)| std::cmp::Reverse(place.len()));
    let mut free: Vec<(std::ops::Range<usize>, String)> = Vec::new();
    for (place, name) in places {
        let overlaps = free
            .iter()
            .any(|(other, _)| place.start < other.end && other.start < place.end);
        if !overlaps {
            free.push((place, name));
        }
    }
    // 2. Go from left to right, with text and slots in turns.
    free.sort_by_key(|(place, _)| place.start);
    let mut template = Template::default();
    let mut end = 0;
    for (place, name) in &free {
        template.push_text(&text[end..place.start]);
        template.push_slot(name);
        end = place.end;
    }
    template.push_text(&text[end..]);
    (template, free.into_iter().map(|(_, name)| name).collect())
}
