//! Requests that list several values where a call takes one: `Weather in Rome and Turin, please.`
//!
//! A request becomes one where a text for several calls of the skill shows that several values make
//! sense: two cities have two forecasts, but a hole has one depth.

use super::draw::Draw;
use super::held_out::HeldOut;
use super::request::{Request, all_differ, draw_values, with_values};
use super::said::{Values, said};
use super::skill::{Skill, plain};
use super::text::{Part, Slot, Template};
use super::tools::Listed;
use super::value::Kind;
use std::collections::BTreeSet;

/// Relation between the values of two arguments.
enum Way {
    /// One argument has several values.
    One,
    /// The first values of both belong to the first call, and the request says `respectively`.
    Pairs,
    /// Each value of one goes with each of the other: four calls.
    Each,
}

/// Makes a request with several values of one argument, or of two, and the calls for them.
pub(super) fn spread(tool: &Listed<'_>, draw: &mut Draw, held_out: &HeldOut) -> Option<Request> {
    let skill = tool.skill;
    let ask = skill.asks.get(draw.index(skill.asks.len()))?;
    let mut parts = ask.text.choose(draw);
    // 1. The arguments that get several values.
    let way = match draw.index(10) {
        0..6 => Way::One,
        6..8 => Way::Pairs,
        _ => Way::Each,
    };
    let places = draw.one(&places_of_lists(skill, &parts, &way))?.clone();
    let count = match way {
        Way::One => 2 + draw.weighted(&[55.0, 30.0, 15.0]),
        Way::Pairs => 2 + draw.weighted(&[75.0, 25.0]),
        Way::Each => 2,
    };
    // 2. The text with all of the values. Later places first: those before stay where they are.
    let names: Vec<String> = places
        .iter()
        .filter_map(|&place| parts[place].slot())
        .map(str::to_string)
        .collect();
    for (&place, name) in places.iter().zip(&names).rev() {
        parts.splice(place..=place, enumerated(name, count, draw));
    }
    if matches!(way, Way::Pairs) {
        respectively(&mut parts);
    }
    // 3. The calls.
    let said = draw_values(skill, &parts, count, draw, held_out);
    let calls = match (way, names.last()) {
        (Way::Each, Some(last)) => each_with_each(&said, last),
        _ => said.clone(),
    };
    let request = with_values(tool, ask, &parts, &said, calls, draw);
    all_differ(&request.calls).then_some(request)
}

/// Returns the places, one or two at a time, whose slots can have several values: those whose
/// arguments differ from call to call in one of the skill's texts for several calls. For `Each`,
/// each of the two must differ in a separate text.
fn places_of_lists(skill: &Skill, parts: &[Part], way: &Way) -> Vec<Vec<usize>> {
    let numbered: Vec<BTreeSet<String>> = skill.several.iter().map(numbered).collect();
    let able: Vec<(usize, String)> = (0..parts.len())
        .filter(|&place| takes_a_list(skill, parts, place, way))
        .filter_map(|place| Some((place, parts[place].slot()?.to_string())))
        .collect();
    let differ = |names: &[&String]| {
        let names: BTreeSet<String> = names.iter().map(|name| (*name).clone()).collect();
        numbered.contains(&names)
    };
    if matches!(way, Way::One) {
        let alone = able.iter().filter(|(_, name)| differ(&[name]));
        return alone.map(|(place, _)| vec![*place]).collect();
    }
    let mut pairs = Vec::new();
    for (index, (place, name)) in able.iter().enumerate() {
        for (other_place, other) in &able[index + 1..] {
            let fits = match way {
                Way::Each => differ(&[name]) && differ(&[other]),
                _ => differ(&[name, other]),
            };
            if fits {
                pairs.push(vec![*place, *other_place]);
            }
        }
    }
    pairs
}

/// Returns the arguments that differ from call to call in a text for several calls.
fn numbered(text: &Template) -> BTreeSet<String> {
    let slots = text.slots().into_iter();
    slots.filter(|slot| slot.call.is_some()).map(plain).collect()
}

/// Returns true for a slot that can be replaced by a list of values: of a kind that has no comma or
/// `and` in it, the only slot of its argument, not after `a`, and without a verb in the singular
/// next to it. Quantities do not go with each of others: 11 and 7 places on two days are two calls.
fn takes_a_list(skill: &Skill, parts: &[Part], place: usize, way: &Way) -> bool {
    let Part::Slot(slot) = &parts[place] else {
        return false;
    };
    let text = |place: Option<usize>| match place.and_then(|place| parts.get(place)) {
        Some(Part::Text(text)) => text.as_str(),
        _ => "",
    };
    let before = text(place.checked_sub(1)).to_lowercase();
    let single = [
        "a ", "an ", "another ", "this ", "that ", "one ", "is ", "was ", "has ", "does ",
    ];
    let counted = single.iter().any(|word| {
        let rest = before.strip_suffix(word);
        rest.is_some_and(|rest| !rest.ends_with(char::is_alphanumeric))
    });
    let after = text(Some(place + 1));
    let verbs = [" is ", " was ", " has ", " does ", " costs ", " lies "];
    let joined = after.starts_with(['-', '\'', '/']) || verbs.iter().any(|verb| after.starts_with(verb));
    let others = parts.iter().filter(|part| match part {
        Part::Slot(other) => plain(other) == slot.name,
        Part::Text(_) => false,
    });
    let kind = skill.argument(&slot.name).map(|argument| &argument.kind);
    let fits = |kind: &Kind| match way {
        Way::One | Way::Pairs => is_listable(kind),
        Way::Each => {
            is_listable(kind) && matches!(kind, Kind::Text(_) | Kind::Choice(_) | Kind::Date | Kind::Past)
        }
    };
    slot.call.is_none() && !counted && !joined && others.count() == 1 && kind.is_some_and(fits)
}

fn is_listable(kind: &Kind) -> bool {
    match kind {
        Kind::Int(..)
        | Kind::Number(..)
        | Kind::Money(..)
        | Kind::Percent(..)
        | Kind::Fraction(..)
        | Kind::Time
        | Kind::Date
        | Kind::Past
        | Kind::Pattern(_) => true,
        Kind::Text(texts) => texts.iter().all(|text| {
            let said = said(text);
            let words = said.split(' ').count();
            words <= 4 && !said.contains([',', '.']) && !said.contains(" and ")
        }),
        Kind::Choice(choices) => {
            let mut said = choices.iter().flat_map(|(_, said)| said);
            let is_short = |said: &String| {
                let words = said.split(' ').count();
                words <= 3 && !said.contains(',') && !said.contains(" and ")
            };
            !kind.is_unspoken() && said.all(is_short)
        }
        Kind::Flag(..)
        | Kind::When
        | Kind::Hour
        | Kind::Calendar
        | Kind::Duration(_)
        | Kind::Many(..)
        | Kind::Fields(_) => false,
    }
}

/// Writes `{name#1}, {name#2} and {name#3}`.
fn enumerated(name: &str, count: usize, draw: &mut Draw) -> Vec<Part> {
    let last = match draw.index(8) {
        0 if count > 2 => ", and ",
        1 if count == 2 => " as well as ",
        _ => " and ",
    };
    let mut parts = Vec::new();
    for call in 1..=count {
        if call > 1 {
            let between = if call == count { last } else { ", " };
            parts.push(Part::Text(between.into()));
        }
        parts.push(Part::Slot(Slot {
            name: name.to_string(),
            call: Some(call),
        }));
    }
    parts
}

/// Writes `respectively` at the end of the text.
fn respectively(parts: &mut Vec<Part>) {
    let mut sign = String::new();
    if let Some(Part::Text(text)) = parts.last_mut()
        && text.ends_with(['.', '?', '!'])
    {
        sign.extend(text.pop());
    }
    parts.push(Part::Text(format!(", respectively{sign}")));
}

/// Returns the values of the calls in which each value of the argument goes with each of the
/// others.
fn each_with_each(said: &[Values], argument: &str) -> Vec<Values> {
    let with = |one: &Values, other: &Values| {
        let mut values = one.clone();
        if let Some(drawn) = other.get(argument) {
            values.insert(argument.to_string(), drawn.clone());
        }
        values
    };
    let calls = said
        .iter()
        .flat_map(|one| said.iter().map(move |other| with(one, other)));
    calls.collect()
}
