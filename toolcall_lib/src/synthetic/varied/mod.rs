//! Rows with many other tools, so that a model learns to read the list of tools and to leave it alone.

mod lists;
mod skills;
mod values;

use super::draw::{Draw, Part, Pool};
use super::rows::{Answered, Dialogue, Kind, Rows, answered, schema, upper};
use super::{talk, timers};
use crate::error::Result;
use crate::tool::ToolSchema;
use lists::{Listed, STYLES, UNSEEN, any_skill, draw_list, list, offers};
use rand::seq::SliceRandom;
use serde_json::{Value, json};
use skills::Skill;
use values::{CITIES, PEOPLE};

/// Lists of tools: in the training file, in the held-out file. Many lists with few rows each, or a model remembers names instead
/// of reading them.
const LISTS: [usize; 2] = [100, 9];
/// How many rows of each kind a list gives: [training, held out].
const ONE_CALL: [usize; 2] = [2, 3];
const NO_TOOL: [usize; 2] = [1, 2];
/// A list for training gives one row more, of a kind that comes in turn.
const TWO_CALLS: [usize; 2] = [1, 1];
const QUESTION: [usize; 2] = [1, 0];
const ERROR: [usize; 2] = [1, 0];

/// All rows of a part.
pub(super) fn fill(rows: &mut Rows) -> Result<()> {
    for index in 0..rows.part().pick(LISTS) {
        let list = draw_list(rows.draw())?;
        let tools = schemas(&list);
        rows.add("one call", ONE_CALL, |draw| one_call(draw, &list).with(&tools))?;
        let turn = rows.part().pick([index % 3, 0]);
        if turn == 0 {
            rows.add("two calls in one turn", TWO_CALLS, |draw| {
                two_calls(draw, &list).with(&tools)
            })?;
        }
        rows.add("no tool fits", NO_TOOL, |draw| no_tool(draw, &list).with(&tools))?;
        if turn == 1 && list.iter().any(|listed| listed.skill.vague.is_some()) {
            rows.add("question back", QUESTION, |draw| {
                question(draw, &list).with(&tools)
            })?;
        } else if turn == 2 {
            rows.add("error of a tool", ERROR, |draw| error(draw, &list).with(&tools))?;
        }
    }
    for style in STYLES {
        let list = list(UNSEEN, style)?;
        let tools = schemas(&list);
        rows.add("unseen tools", [0, 5], |draw| one_call(draw, &list).with(&tools))?;
        rows.add("unseen tools, none fits", [0, 2], |draw| {
            talk::beyond(draw).with(&tools)
        })?;
    }
    let chained = chained_tools()?;
    rows.add("chain of calls", [12, 3], |draw| chain(draw).with(&chained))?;
    for _ in 0..rows.part().pick(BESIDE_LISTS) {
        let mut others = draw_list(rows.draw())?;
        others.truncate(2);
        let mut tools: Vec<ToolSchema> = [schemas(&others), timers::tools()?].concat();
        tools.shuffle(&mut rows.draw().rng);
        for (kind, counts, make) in BESIDE_TIMERS {
            rows.add(kind, counts, |draw| make(draw).with(&tools))?;
        }
        rows.add("one call", [2, 1], |draw| one_call(draw, &others).with(&tools))?;
    }
    Ok(())
}

/// Lists in which the timer and the reminder stand beside other tools, and the rows that each gives.
const BESIDE_LISTS: [usize; 2] = [5, 2];
const BESIDE_TIMERS: [Kind; 3] = [
    ("timers beside other tools", [4, 2], timers::worded_minutes),
    ("reminders beside other tools", [3, 2], timers::worded_reminder),
    ("no tool fits", [2, 1], talk::beyond),
];

fn schemas(list: &[Listed]) -> Vec<ToolSchema> {
    list.iter().map(|listed| listed.schema.clone()).collect()
}

/// A request, the call for it, and the sentence that reports its result.
struct Request {
    ask: String,
    answered: Answered,
    reply: String,
}

fn request(draw: &mut Draw, listed: &Listed) -> Request {
    let skill = listed.skill;
    let values: Vec<Value> = skill.values.iter().map(|values| values.draw(draw)).collect();
    let finding = draw.one(&[
        "sunny, 24 degrees",
        "rain, 11 degrees",
        "cloudy, 17 degrees",
        "snow, -2 degrees",
    ]);
    let written = |text: &str| fill_in(&text.replace("{r}", finding), &values);
    let arguments: Vec<(&str, Value)> = listed
        .arguments
        .iter()
        .map(String::as_str)
        .zip(values.iter().cloned())
        .collect();
    Request {
        ask: upper(&written(draw.of(&skill.asks))),
        answered: answered(&listed.name, &arguments, written(skill.result)),
        reply: upper(&written(skill.reply)),
    }
}

/// The text with the values of a skill.
fn fill_in(text: &str, values: &[Value]) -> String {
    let fill = |text: String, (index, value): (usize, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        text.replace(&format!("{{{index}}}"), &value)
    };
    values.iter().enumerate().fold(text.to_string(), fill)
}

/// What a user says who wants something that one of the varied tools does.
pub(super) fn any_request(draw: &mut Draw) -> String {
    let skill = any_skill(draw);
    request_for(draw, skill)
}

fn request_for(draw: &mut Draw, skill: &Skill) -> String {
    let values: Vec<Value> = skill.values.iter().map(|values| values.draw(draw)).collect();
    upper(&fill_in(draw.of(&skill.asks), &values))
}

/// A request to one of the tools of a list.
fn request_to_any(draw: &mut Draw, list: &[Listed]) -> Request {
    let index = draw.index(list.len());
    request(draw, &list[index])
}

/// A request and its call. One row in three goes on with what the tool answers and what is said then, which is learned sooner.
fn one_call(draw: &mut Draw, list: &[Listed]) -> Dialogue {
    let request = request_to_any(draw, list);
    let dialogue = Dialogue::user(request.ask).calls(vec![request.answered]);
    match draw.part == Part::HeldOut || draw.chance(3) {
        true => dialogue.says(request.reply),
        false => dialogue.until_call(),
    }
}

fn two_calls(draw: &mut Draw, list: &[Listed]) -> Dialogue {
    let first = draw.index(list.len());
    let second = (first + 1 + draw.index(list.len() - 1)) % list.len();
    let (first, second) = (request(draw, &list[first]), request(draw, &list[second]));
    Dialogue::user(format!("{} {}", first.ask, second.ask))
        .calls(vec![first.answered, second.answered])
        .says(format!("{} {}", first.reply, second.reply))
}

/// The request lacks its argument; the user gives it when asked.
fn question(draw: &mut Draw, list: &[Listed]) -> Dialogue {
    let vague: Vec<&Listed> = list
        .iter()
        .filter(|listed| listed.skill.vague.is_some())
        .collect();
    let listed = vague[draw.index(vague.len())];
    let (ask, question) = listed.skill.vague.unwrap_or_default();
    let request = request(draw, listed);
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

fn error(draw: &mut Draw, list: &[Listed]) -> Dialogue {
    let request = request_to_any(draw, list);
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

/// A request to a tool that stands in other lists only, or one that no tool fits, or small talk.
fn no_tool(draw: &mut Draw, list: &[Listed]) -> Dialogue {
    match draw.index(5) {
        0 => talk::small_talk(draw),
        1 => talk::beyond(draw),
        2 => Dialogue::user(timers::request(draw)).says(talk::NO_TOOL),
        _ => loop {
            let skill = any_skill(draw);
            if !offers(list, skill) {
                return Dialogue::user(request_for(draw, skill)).says(talk::NO_TOOL);
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
