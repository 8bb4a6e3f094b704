//! Requests: what a user says, the calls that are right, what the tools answer.

use super::draw::Draw;
use super::held_out::HeldOut;
use super::said::{Drawn, Values};
use super::sentence::Sentence;
use super::skill::{Ask, Skill, plain};
use super::text::{Part, Slot, Template};
use super::tools::Listed;
use super::value::{Kind, text_of};
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

/// Draws the values of each call. `{city#2}` belongs to call 2; `{city}` is the same in all calls.
/// Tries not to repeat a value in another call, nor in another argument of the same list of words:
/// nobody changes euros to euros. Days that begin and end something are in order.
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
        if slot.call.is_none() && values[0].contains_key(&name) {
            continue;
        }
        let call = slot.call.map_or(0, |call| call - 1);
        let same_list = |other: &str| {
            let other = skill.argument(other).map(|other| &other.kind);
            matches!((other, &argument.kind), (Some(Kind::Text(a)), Kind::Text(b)) if a == b)
        };
        let taken = |drawn: &Drawn| {
            let elsewhere = |(index, other): (usize, &Values)| {
                let mut equal = other.iter().filter(|(_, other)| other.value == drawn.value);
                equal.any(|(key, _)| *key == name || index == call && same_list(key))
            };
            values.iter().enumerate().any(elsewhere)
        };
        let mut drawn = argument.kind.draw(draw, held_out);
        for _ in 0..10 {
            if !taken(&drawn) {
                break;
            }
            drawn = argument.kind.draw(draw, held_out);
        }
        match slot.call {
            Some(_) => {
                if let Some(values) = values.get_mut(call) {
                    values.entry(name).or_insert(drawn);
                }
            }
            None => {
                for values in &mut values {
                    values.insert(name.clone(), drawn.clone());
                }
            }
        }
    }
    values.iter_mut().for_each(|values| in_order(skill, values));
    values
}

/// Exchanges the days of two arguments that say when something begins and ends, if it would end
/// before it begins.
fn in_order(skill: &Skill, values: &mut Values) {
    let day = |name: &str| {
        let argument = skill.argument(name)?;
        matches!(argument.kind, Kind::Date | Kind::Past).then(|| values.get(name).cloned())?
    };
    let first = ["start", "first_day", "first", "after", "depart"];
    let last = ["end", "last_day", "last", "before", "back"];
    let found = |names: [&'static str; 5]| names.into_iter().find_map(|name| Some((name, day(name)?)));
    if let (Some((first, begins)), Some((last, ends))) = (found(first), found(last))
        && text_of(&ends.value) < text_of(&begins.value)
    {
        values.insert(first.to_string(), ends);
        values.insert(last.to_string(), begins);
    }
}

/// Fills the values of a call into the tool's result, or into the report.
fn written(text: &Template, values: &Values, draw: &mut Draw) -> Sentence {
    let parts = text.choose_given(draw, &|slot| values.contains_key(&plain(slot)));
    Sentence::fill(&parts, std::slice::from_ref(values))
}

/// Makes the answer of the tool, with the values as the call has them.
fn answer(result: &Template, values: &Values, draw: &mut Draw) -> String {
    let as_called = |(name, drawn): (&String, &Drawn)| {
        let drawn = Drawn {
            said: text_of(&drawn.value),
            ..drawn.clone()
        };
        (name.clone(), drawn)
    };
    let values: Values = values.iter().map(as_called).collect();
    written(result, &values, draw).text()
}

/// Writes the steps to the values that have to be computed.
pub(super) fn steps(values: &Values) -> Vec<String> {
    let steps = values.values().map(|drawn| drawn.worked.clone());
    steps.filter(|steps| !steps.is_empty()).collect()
}

/// Makes the calls of one tool with these values, and the sentence that reports them. Result and
/// report are the request's own, or else the skill's.
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

/// Makes a request for one call of the tool.
pub(super) fn request(tool: &Listed<'_>, draw: &mut Draw, held_out: &HeldOut) -> Request {
    let index = draw.index(tool.skill.asks.len());
    from_text(tool, &tool.skill.asks[index], draw, held_out)
}

/// Makes a request for several calls of the tool, if it has a wording for that.
pub(super) fn several(tool: &Listed<'_>, draw: &mut Draw, held_out: &HeldOut) -> Option<Request> {
    let texts = &tool.skill.several;
    let index = draw.index(texts.len());
    let ask = texts.get(index)?.clone().into();
    let request = from_text(tool, &ask, draw, held_out);
    (request.calls.len() > 1 && all_differ(&request.calls)).then_some(request)
}

/// Returns true if no two calls are equal.
pub(super) fn all_differ(calls: &[Answered]) -> bool {
    let known = |index: usize| {
        let (earlier, rest) = calls.split_at(index);
        earlier.iter().any(|one| one.call == rest[0].call)
    };
    !(0..calls.len()).any(known)
}

/// Makes the request of a text: draws its values, and the calls with them.
fn from_text(tool: &Listed<'_>, ask: &Ask, draw: &mut Draw, held_out: &HeldOut) -> Request {
    let mut parts = ask.text.choose(draw);
    lengthen(&mut parts, draw);
    let calls = parts.iter().filter_map(Part::call).max().unwrap_or(1);
    let values = draw_values(tool.skill, &parts, calls, draw, held_out);
    with_values(tool, ask, &parts, &values, values.clone(), draw)
}

/// Makes the request of a text that names the values `said`, with the calls for it and the values
/// that the text implies in each of them.
pub(super) fn with_values(
    tool: &Listed<'_>,
    ask: &Ask,
    parts: &[Part],
    said: &[Values],
    mut calls: Vec<Values>,
    draw: &mut Draw,
) -> Request {
    for (name, value) in &ask.implied {
        let drawn = Drawn::new("", value.clone());
        for call in &mut calls {
            call.insert(name.clone(), drawn.clone());
        }
    }
    let (calls, reply) = answered(tool, Some(ask), &calls, draw);
    Request {
        ask: Sentence::fill(parts, said).capital(),
        calls,
        reply,
    }
}

/// Adds a third value, and sometimes a fourth, to one in three of the texts that list two, such as
/// `{city#1} and {city#2}`. Leaves texts alone in which a word counts the values, and those whose
/// calls differ in something else, too.
fn lengthen(parts: &mut Vec<Part>, draw: &mut Draw) {
    let counts = |text: &str| {
        let mut words = text.split(|c: char| !c.is_alphabetic());
        words.any(|word| ["both", "two", "either", "pair"].contains(&word.to_lowercase().as_str()))
    };
    let counted = |part: &Part| matches!(part, Part::Text(text) if counts(text));
    let numbered = parts.iter().filter(|part| part.call().is_some()).count();
    if numbered != 2 || parts.iter().any(counted) || !draw.chance(3) {
        return;
    }
    let listed = |three: &[Part]| match three {
        [Part::Slot(a), Part::Text(and), Part::Slot(b)] => {
            and == " and " && a.name == b.name && (a.call, b.call) == (Some(1), Some(2))
        }
        _ => false,
    };
    let Some(first) = parts.windows(3).position(listed) else {
        return;
    };
    let mut last = first + 2; // the last value of the list
    for call in 3..=3 + usize::from(draw.chance(3)) {
        let Part::Slot(slot) = &parts[first] else { return };
        let next = Slot {
            name: slot.name.clone(),
            call: Some(call),
        };
        parts[last - 1] = Part::Text(", ".into());
        parts.splice(last + 1..last + 1, [Part::Text(" and ".into()), Part::Slot(next)]);
        last += 2;
    }
}

/// Returns several requests as one.
pub(super) fn joined(requests: Vec<Request>, draw: &mut Draw) -> Request {
    let last = requests.len() - 1;
    // Words before the first request, before those between, and before the last.
    let (first, next, end) = match draw.index(8) {
        0..3 => ("", " ", " "),
        3 => ("", " ", " Also, "),
        4 => ("", ", ", ", and "),
        5 => ("", ", ", " and "),
        6 => ("First, ", " Next, ", " Then "),
        _ if last == 1 => ("Two things: ", "; ", "; "),
        _ => ("Several things: ", "; ", "; "),
    };
    let before = |index: usize| match index {
        0 => first,
        index if index == last => end,
        _ => next,
    };
    let mut whole = Request {
        ask: Sentence::default(),
        calls: Vec::new(),
        reply: String::new(),
    };
    for (index, request) in requests.into_iter().enumerate() {
        let mut ask = request.ask;
        if !before(index).trim().is_empty() {
            ask = ask.small();
        }
        let behind = if index < last { before(index + 1) } else { "" };
        if behind == " and " || behind.starts_with([',', ';']) {
            ask = ask.without_sign();
        }
        whole.ask = whole.ask.join(before(index), ask);
        whole.calls.extend(request.calls);
        whole.reply = format!("{} {}", whole.reply, request.reply).trim().to_string();
    }
    whole
}
