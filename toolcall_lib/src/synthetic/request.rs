//! Requests: what a user says, the calls that are right, what the tools answer.

use super::draw::Draw;
use super::held_out::HeldOut;
use super::said::{Drawn, Values};
use super::sentence::{Sentence, as_text};
use super::skill::{Ask, Skill, plain};
use super::text::{Part, Template};
use super::tools::Listed;
use crate::tool::ToolCall;

/// A call and the answer of the tool.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) call: ToolCall,
    /// The steps to values that have to be computed.
    pub(super) worked: Vec<String>,
    pub(super) result: String,
}

/// A request with its calls and the sentence that reports them.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) ask: Sentence,
    pub(super) calls: Vec<Answered>,
    pub(super) reply: String,
}

/// Draws a value for every slot, numbered from 1 by call.
pub(super) fn draw_values(
    skill: &Skill,
    parts: &[Part],
    calls: usize,
    draw: &mut Draw,
    held_out: &HeldOut,
) -> Vec<Values> {
    let mut values = vec![Values::new(); calls];
    for part in parts {
        let Part::Slot(slot) = part else { continue };
        let name = plain(slot);
        let Some(argument) = skill.argument(&name) else {
            continue;
        };
        match slot.call {
            Some(call) => {
                let mut drawn = argument.kind.draw(draw, held_out);
                for _ in 0..10 {
                    let taken = |other: &Values| other.get(&name).is_some_and(|o| o.value == drawn.value);
                    if values.iter().any(taken) {
                        drawn = argument.kind.draw(draw, held_out);
                    }
                }
                if let Some(values) = values.get_mut(call - 1) {
                    values.entry(name).or_insert(drawn);
                }
            }
            None if !values[0].contains_key(&name) => {
                let drawn = argument.kind.draw(draw, held_out);
                for values in &mut values {
                    values.insert(name.clone(), drawn.clone());
                }
            }
            None => {}
        }
    }
    values
}

/// A text of the tool or about it, with the values of a call.
fn written(text: &Template, values: &Values, draw: &mut Draw) -> Sentence {
    let parts = text.choose_given(draw, &|slot| values.contains_key(&plain(slot)));
    Sentence::fill(&parts, std::slice::from_ref(values))
}

/// The answer of the tool: values as the call has them.
fn answer(result: &Template, values: &Values, draw: &mut Draw) -> String {
    let as_called = |(name, drawn): (&String, &Drawn)| {
        let drawn = Drawn {
            said: as_text(&drawn.value),
            ..drawn.clone()
        };
        (name.clone(), drawn)
    };
    let values: Values = values.iter().map(as_called).collect();
    written(result, &values, draw).text()
}

/// The steps to the values that have to be computed.
pub(super) fn steps(values: &Values) -> Vec<String> {
    let steps = values.values().map(|drawn| drawn.worked.clone());
    steps.filter(|steps| !steps.is_empty()).collect()
}

/// The calls of one tool with these values, and the report, as the request has them or else the
/// skill.
pub(super) fn answered(
    tool: &Listed<'_>,
    ask: Option<&Ask>,
    calls: &[Values],
    draw: &mut Draw,
) -> (Vec<Answered>, String) {
    let own = ask.and_then(|ask| ask.answer.as_ref());
    let result = own.map_or(&tool.skill.result, |(result, _)| result);
    let reply = own.map(|(_, reply)| reply).or(tool.skill.reply.as_ref());
    let mut replies = Vec::new();
    let mut answered = Vec::new();
    for values in calls {
        answered.push(Answered {
            call: tool.call(values),
            worked: steps(values),
            result: answer(result, values, draw),
        });
        if let Some(reply) = reply {
            replies.push(written(reply, values, draw).capital().text());
        }
    }
    (answered, replies.join(" "))
}

/// A request for one call of the tool.
pub(super) fn request(tool: &Listed<'_>, draw: &mut Draw, held_out: &HeldOut) -> Request {
    let index = draw.index(tool.skill.asks.len());
    from_text(tool, &tool.skill.asks[index], 1, draw, held_out)
}

/// A request for two or three calls of the tool, if it has a wording for that.
pub(super) fn several(tool: &Listed<'_>, draw: &mut Draw, held_out: &HeldOut) -> Option<Request> {
    let texts = &tool.skill.several;
    let index = draw.index(texts.len());
    let text = texts.get(index)?;
    let calls = text.slots().iter().filter_map(|slot| slot.call).max()?;
    Some(from_text(tool, &text.clone().into(), calls, draw, held_out))
}

fn from_text(tool: &Listed<'_>, ask: &Ask, calls: usize, draw: &mut Draw, held_out: &HeldOut) -> Request {
    let parts = ask.text.choose(draw);
    let mut values = draw_values(tool.skill, &parts, calls, draw, held_out);
    for (name, value) in &ask.implied {
        let drawn = Drawn::new("", value.clone());
        values
            .iter_mut()
            .for_each(|call| drop(call.insert(name.clone(), drawn.clone())));
    }
    let (calls, reply) = answered(tool, Some(ask), &values, draw);
    Request {
        ask: Sentence::fill(&parts, &values).capital(),
        calls,
        reply,
    }
}

/// Two requests as one.
pub(super) fn both(first: Request, second: Request, draw: &mut Draw) -> Request {
    let (a, b) = (first.ask, second.ask);
    let ask = match draw.index(8) {
        0..3 => a.join(" ", b),
        3 => a.join(" Also, ", b.small()),
        4 => a.open().join(", and ", b.small()),
        5 => a.open().join(" and ", b.small()),
        6 => Sentence::plain("First, ")
            .join("", a.small())
            .join(" Then ", b.small()),
        _ => Sentence::plain("Two things: ")
            .join("", a.small().open())
            .join("; ", b.small()),
    };
    Request {
        ask,
        calls: [first.calls, second.calls].concat(),
        reply: format!("{} {}", first.reply, second.reply).trim().to_string(),
    }
}
