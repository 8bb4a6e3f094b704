//! Rows with many other tools, so that a model learns to read the list of tools and to leave it alone.

mod lists;
mod skills;
mod values;

use super::draw::{Draw, Pool};
use super::rows::{Answered, Dialogue, Kind, Rows, answered, schema};
use super::{talk, timers};
use crate::error::Result;
use crate::tool::ToolSchema;
use lists::{BESIDE_TIMERS, LISTS, Named, UNSEEN};
use serde_json::{Value, json};
use values::{CITIES, PEOPLE};

/// How many rows each list of other tools gives: [training, held out].
const ONE_CALL: [usize; 2] = [36, 3];
const TWO_CALLS: [usize; 2] = [5, 1];
const QUESTION: [usize; 2] = [3, 0];
const ERROR: [usize; 2] = [3, 0];
const NO_TOOL: [usize; 2] = [8, 2];

/// All rows of a part.
pub(super) fn fill(rows: &mut Rows) -> Result<()> {
    for list in LISTS {
        let tools = schemas(list)?;
        rows.add("one call", ONE_CALL, |draw| one_call(draw, list).with(&tools))?;
        rows.add("two calls in one turn", TWO_CALLS, |draw| {
            two_calls(draw, list).with(&tools)
        })?;
        rows.add("error of a tool", ERROR, |draw| error(draw, list).with(&tools))?;
        rows.add("no tool fits", NO_TOOL, |draw| no_tool(draw, list).with(&tools))?;
        if list.iter().any(|named| named.skill.vague.is_some()) {
            rows.add("question back", QUESTION, |draw| {
                question(draw, list).with(&tools)
            })?;
        }
    }
    let unseen = schemas(UNSEEN)?;
    rows.add("unseen tools", [0, 14], |draw| {
        one_call(draw, UNSEEN).with(&unseen)
    })?;
    rows.add("unseen tools, none fits", [0, 4], |draw| {
        talk::beyond(draw).with(&unseen)
    })?;
    let chained = chained_tools()?;
    rows.add("chain of calls", [12, 3], |draw| chain(draw).with(&chained))?;
    let beside: Vec<ToolSchema> = [schemas(BESIDE_TIMERS)?, timers::tools()?].concat();
    for (kind, counts, make) in BESIDE {
        rows.add(kind, counts, |draw| make(draw).with(&beside))?;
    }
    Ok(())
}

/// Timers and reminders in a longer list of tools.
const BESIDE: [Kind; 4] = [
    ("timers beside other tools", [24, 4], timers::worded_minutes),
    ("reminders beside other tools", [12, 3], timers::worded_reminder),
    ("one call", [10, 2], |draw| one_call(draw, BESIDE_TIMERS)),
    ("no tool fits", [8, 2], talk::beyond),
];

fn schemas(list: &[Named]) -> Result<Vec<ToolSchema>> {
    list.iter().map(Named::schema).collect()
}

/// A request, the call for it, and the sentence that reports its result.
struct Request {
    ask: String,
    answered: Answered,
    reply: String,
}

fn request(draw: &mut Draw, named: &Named) -> Request {
    let values: Vec<Value> = named
        .skill
        .values
        .iter()
        .map(|values| values.draw(draw))
        .collect();
    let finding = draw.one(&[
        "sunny, 24 degrees",
        "rain, 11 degrees",
        "cloudy, 17 degrees",
        "snow, -2 degrees",
    ]);
    let written = |text: &str| {
        let fill = |text: String, (index, value): (usize, &Value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            text.replace(&format!("{{{index}}}"), &value)
        };
        values.iter().enumerate().fold(text.replace("{r}", finding), fill)
    };
    let arguments: Vec<(&str, Value)> = named
        .arguments()
        .map(|(name, _)| name)
        .zip(values.iter().cloned())
        .collect();
    Request {
        ask: written(draw.of(&named.skill.asks)),
        answered: answered(named.name, &arguments, written(named.skill.result)),
        reply: written(named.skill.reply),
    }
}

/// A request to one of the tools of a list.
fn any_request(draw: &mut Draw, list: &[Named]) -> Request {
    let index = draw.index(list.len());
    request(draw, &list[index])
}

fn one_call(draw: &mut Draw, list: &[Named]) -> Dialogue {
    let request = any_request(draw, list);
    Dialogue::user(request.ask)
        .calls(vec![request.answered])
        .says(request.reply)
}

fn two_calls(draw: &mut Draw, list: &[Named]) -> Dialogue {
    let first = draw.index(list.len());
    let second = (first + 1 + draw.index(list.len() - 1)) % list.len();
    let (first, second) = (request(draw, &list[first]), request(draw, &list[second]));
    Dialogue::user(format!("{} {}", first.ask, second.ask))
        .calls(vec![first.answered, second.answered])
        .says(format!("{} {}", first.reply, second.reply))
}

/// The request lacks its argument; the user gives it when asked.
fn question(draw: &mut Draw, list: &[Named]) -> Dialogue {
    let vague: Vec<&Named> = list.iter().filter(|named| named.skill.vague.is_some()).collect();
    let named = vague[draw.index(vague.len())];
    let (ask, question) = named.skill.vague.unwrap_or_default();
    let request = request(draw, named);
    let value = request
        .answered
        .call
        .arguments
        .values()
        .next()
        .cloned()
        .unwrap_or_default();
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let answer = draw
        .of(&Pool {
            train: "{}. / {}, please.",
            held_out: "Take {}.",
        })
        .replace("{}", &value);
    Dialogue::user(ask)
        .says(question)
        .then_user(answer)
        .calls(vec![request.answered])
        .says(request.reply)
}

fn error(draw: &mut Draw, list: &[Named]) -> Dialogue {
    let request = any_request(draw, list);
    let reason = draw.of(&Pool {
        train: "the service does not answer / you are not logged in / the value is not allowed / try again later",
        held_out: "the connection was lost / this is not possible today",
    });
    let failed = Answered {
        result: format!("Error: {reason}"),
        ..request.answered
    };
    Dialogue::user(request.ask)
        .calls(vec![failed])
        .says(format!("That did not work: {reason}."))
}

/// A request to a tool that stands in another list only, or one that no tool fits, or small talk.
fn no_tool(draw: &mut Draw, list: &[Named]) -> Dialogue {
    match draw.index(4) {
        0 => talk::small_talk(draw),
        1 => talk::beyond(draw),
        2 => Dialogue::user(timers::request(draw)).says(talk::NO_TOOL),
        _ => loop {
            let other = LISTS[draw.index(LISTS.len())];
            let other = &other[draw.index(other.len())];
            if !list.iter().any(|named| named.skill.reply == other.skill.reply) {
                return Dialogue::user(request(draw, other).ask).says(talk::NO_TOOL);
            }
        },
    }
}

fn chained_tools() -> Result<Vec<ToolSchema>> {
    Ok(vec![
        schema(
            "find_number",
            "Phone number of a person.",
            &[("person", "string", "Name of the person.")],
        )?,
        schema(
            "call_number",
            "Call a phone number.",
            &[("number", "string", "The phone number.")],
        )?,
        schema("get_location", "The city where the user is.", &[])?,
        schema(
            "local_weather",
            "Weather of a city.",
            &[("city", "string", "Name of the city.")],
        )?,
    ])
}

/// The second call needs what the first one finds.
fn chain(draw: &mut Draw) -> Dialogue {
    if draw.chance(3) {
        let (city, weather) = (draw.of(&CITIES), draw.one(&["sunny", "rainy", "windy", "foggy"]));
        let ask = draw.of(&Pool {
            train: "What is the weather here? / Is it nice outside?",
            held_out: "Do I need a coat?",
        });
        return Dialogue::user(ask)
            .calls(vec![answered("get_location", &[], city)])
            .calls(vec![answered("local_weather", &[("city", json!(city))], weather)])
            .says(format!("It is {weather} in {city}."));
    }
    let (person, number) = (draw.of(&PEOPLE), format!("555 {:04}", draw.number(100, 9999)));
    let ask = draw.of(&Pool {
        train: "Call {}. / Find {} and call.",
        held_out: "I need to speak to {} by phone.",
    });
    Dialogue::user(ask.replace("{}", person))
        .calls(vec![answered(
            "find_number",
            &[("person", json!(person))],
            number.as_str(),
        )])
        .calls(vec![answered(
            "call_number",
            &[("number", json!(number))],
            "calling",
        )])
        .says(format!("Calling {person}."))
}
