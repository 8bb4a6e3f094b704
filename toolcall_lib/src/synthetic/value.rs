//! Arguments of a skill: the sources of their values, and their schemas.

use super::days;
use super::draw::Draw;
use super::duration::{self, Unit};
use super::held_out::HeldOut;
use super::said::{self, Drawn};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// An argument of a skill.
#[derive(Clone, Debug)]
pub(super) struct Argument {
    /// Names that a schema may give it.
    pub(super) names: Vec<String>,
    /// Descriptions.
    pub(super) about: Vec<String>,
    pub(super) kind: Kind,
    /// True if it may be left out.
    pub(super) optional: bool,
    /// The value of an argument that is left out.
    pub(super) default: Option<Value>,
}

/// Kind of the values of an argument.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Int(i64, i64),
    /// Lowest, highest, decimals.
    Number(f64, f64, usize),
    Money(i64, i64),
    /// A percentage, lowest and highest: `5` for `5%`.
    Percent(i64, i64),
    /// A percentage as a fraction, bounds in percent: `0.05` for `5%`.
    Fraction(i64, i64),
    /// Strings; `yen => JPY` is said as the first and called as the second.
    Text(Arc<[String]>),
    /// Values of an enum, each with what users say for it.
    Choice(Vec<(Value, Vec<String>)>),
    /// Words of users for yes and for no.
    Flag(Vec<String>, Vec<String>),
    Date,
    /// A past day.
    Past,
    Time,
    When,
    /// A full hour with AM or PM.
    Hour,
    /// A weekday of a calendar.
    Calendar,
    Duration(Unit),
    /// Letters for `A`, digits for `0`.
    Pattern(String),
    /// An array of at least and at most this many values, or else of two to four.
    Many(Box<Kind>, Option<(usize, usize)>),
    Fields(IndexMap<String, Argument>),
}

impl Kind {
    /// Draws a value. An object has none: its fields are drawn one by one.
    pub(super) fn draw(&self, draw: &mut Draw, held_out: &HeldOut) -> Drawn {
        match self {
            Self::Int(low, high) => said::integer(draw, held_out, *low, *high),
            Self::Number(low, high, decimals) => {
                let said = format!("{:.*}", decimals, draw.fraction(*low, *high));
                let number: f64 = said.parse().unwrap_or_default();
                match number.fract() == 0.0 && draw.chance(2) {
                    true => Drawn::new(format!("{number:.0}"), number as i64),
                    false => Drawn::new(said, number),
                }
            }
            Self::Money(low, high) => said::sum(draw, held_out, *low, *high),
            Self::Percent(low, high) => said::percent(draw, *low, *high, 1),
            Self::Fraction(low, high) => said::percent(draw, *low, *high, 100),
            Self::Text(texts) => loop {
                let drawn = said::listed(&draw.text(texts));
                if !held_out.has(&drawn.said) || texts.iter().all(|text| held_out.has(said::said(text))) {
                    break drawn;
                }
            },
            Self::Choice(choices) => draw
                .one(choices)
                .map(|(value, said)| Drawn::new(draw_said(draw, value, said), value.clone()))
                .unwrap_or_else(|| Drawn::text("")),
            Self::Flag(yes, no) => {
                let value = draw.chance(2);
                Drawn::new(draw.text(if value { yes } else { no }), value)
            }
            Self::Date => days::date(draw, held_out),
            Self::Past => days::past(draw, held_out),
            Self::Time => days::time(draw),
            Self::When => days::when(draw, held_out),
            Self::Hour => days::hour(draw, held_out),
            Self::Calendar => days::calendar(draw, held_out),
            Self::Duration(unit) => duration::duration(draw, held_out, *unit),
            Self::Pattern(pattern) => Drawn::text(patterned(draw, pattern)),
            Self::Many(each, count) => several(draw, held_out, each, *count),
            Self::Fields(_) => Drawn::text(""),
        }
    }

    /// Returns the JSON schema of the values, without a description.
    pub(super) fn schema(&self, draw: &mut Draw) -> Value {
        match self {
            Self::Int(..) | Self::Duration(_) => json!({"type": "integer"}),
            Self::Number(..) | Self::Percent(..) | Self::Fraction(..) => json!({"type": "number"}),
            Self::Money(..) => json!({"type": draw.text(&["integer", "number"])}),
            Self::Choice(choices) => {
                let values: Vec<&Value> = choices.iter().map(|(value, _)| value).collect();
                match values.iter().all(|value| value.is_string()) {
                    true => json!({"type": "string", "enum": values}),
                    false => json!({"enum": values}),
                }
            }
            Self::Flag(..) => json!({"type": "boolean"}),
            Self::Date | Self::Past if draw.chance(4) => json!({"type": "string", "format": "date"}),
            Self::Text(texts) if texts.iter().all(|text| said::called_number(text).is_some()) => {
                json!({"type": "integer"})
            }
            Self::Text(_)
            | Self::Date
            | Self::Past
            | Self::Time
            | Self::When
            | Self::Hour
            | Self::Calendar
            | Self::Pattern(_) => {
                json!({"type": "string"})
            }
            Self::Many(each, _) => json!({"type": "array", "items": each.schema(draw)}),
            Self::Fields(_) => json!({"type": "object"}),
        }
    }

    /// Returns true for values that no sentence names: objects, lists of objects, and others that
    /// are only known from rows.
    pub(super) fn is_unspoken(&self) -> bool {
        match self {
            Self::Choice(choices) => {
                choices.is_empty()
                    || choices
                        .iter()
                        .any(|(value, _)| value.is_object() || value.is_array())
            }
            _ => false,
        }
    }

    /// Returns the meanings of the values of an enum, if they differ from the values' words.
    pub(super) fn meanings(&self) -> Option<String> {
        match self {
            Self::Choice(choices) => meanings(choices),
            _ => None,
        }
    }

    /// True for days, which can be looked up in a calendar.
    pub(super) fn is_day(&self) -> bool {
        match self {
            Self::Date | Self::Past => true,
            Self::Many(each, _) => each.is_day(),
            Self::Fields(fields) => fields.values().any(|field| field.kind.is_day()),
            _ => false,
        }
    }

    /// Returns the notation of the values, for kinds whose description must name it, and a mark of
    /// descriptions that have it already. Half of the fractions go without: a rate without a
    /// notation is `0.05`, as most programs want it.
    pub(super) fn format(&self, draw: &mut Draw) -> Option<(&'static str, &'static str)> {
        let fractions = [
            "as a fraction, such as 0.05",
            "as a decimal, such as 0.05",
            "in decimal form",
            "0.05 for 5 percent",
        ];
        match self {
            Self::Date | Self::Past => Some(("YYYY-MM-DD", "YYYY-MM-DD")),
            Self::Percent(..) => Some(("percent", "in percent")),
            Self::Fraction(..) if draw.chance(2) => None,
            Self::Fraction(..) => Some(("0.", fractions[draw.index(fractions.len())])),
            Self::Time => Some(("HH:MM", "HH:MM, 24 hours")),
            Self::Duration(Unit::Seconds) => Some(("second", "in seconds")),
            Self::Duration(Unit::Minutes) => Some(("minute", "in minutes")),
            Self::Duration(Unit::Hours) => Some(("hour", "in hours")),
            _ => None,
        }
    }
}

/// Returns `ready means done, can be collected` for the values that users say in other words.
fn meanings(choices: &[(Value, Vec<String>)]) -> Option<String> {
    let meaning = |(value, said): &(Value, Vec<String>)| {
        let (value, said) = (text_of(value), said.first()?);
        let differs = said.to_lowercase() != said::words_of_code(&value);
        differs.then(|| format!("{value} means {said}"))
    };
    let texts: Vec<String> = choices.iter().filter_map(meaning).collect();
    let text = texts.join(", ");
    (!text.is_empty() && text.len() <= 160).then_some(text)
}

fn draw_said(draw: &mut Draw, value: &Value, said: &[String]) -> String {
    match said.is_empty() {
        true => text_of(value),
        false => draw.text(said),
    }
}

/// Returns a value as a tool has it: a string without quotes, another value as JSON.
pub(super) fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// Draws different values, `a, b and c`. Half of the time, durations are whole minutes: `4, 12 and
/// 7 minutes`.
fn several(draw: &mut Draw, held_out: &HeldOut, each: &Kind, count: Option<(usize, usize)>) -> Drawn {
    let count = match count {
        Some((low, high)) => low + draw.index(high - low + 1),
        None => 2 + draw.weighted(&[5.0, 4.0, 1.0]),
    };
    let minutes = match each {
        Kind::Duration(unit) if draw.chance(3) => Some(*unit),
        _ => None,
    };
    let mut chosen: Vec<Drawn> = Vec::new();
    for _ in 0..count * 10 {
        let mut next = match minutes {
            Some(unit) => duration::whole_minutes(draw, held_out, unit),
            None => each.draw(draw, held_out),
        };
        if matches!(each, Kind::Duration(_)) && !next.said.contains("half") {
            let said = next.said.replace(", ", " ").replace(" and ", " "); // one of several, not two
            next.worked = next.worked.replacen(&next.said, &said, 1);
            next.said = said;
        }
        if chosen.len() < count && chosen.iter().all(|one| one.value != next.value) {
            chosen.push(next);
        }
    }
    let said: Vec<&str> = chosen.iter().map(|one| one.said.as_str()).collect();
    let said = match said.split_last() {
        Some((last, [])) => last.to_string(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    };
    let unit = if minutes.is_some() { " minutes" } else { "" };
    let worked: Vec<&str> = chosen.iter().map(|one| one.worked.as_str()).collect();
    let worked = worked.iter().filter(|steps| !steps.is_empty());
    let worked = worked.copied().collect::<Vec<_>>().join("; ");
    let values: Vec<Value> = chosen.into_iter().map(|one| one.value).collect();
    Drawn {
        worked,
        ..Drawn::new(format!("{said}{unit}"), values)
    }
}

fn patterned(draw: &mut Draw, pattern: &str) -> String {
    let sign = |sign: char| match sign {
        'A' => (b'A' + draw.index(26) as u8) as char,
        '0' => (b'0' + draw.index(10) as u8) as char,
        other => other,
    };
    pattern.chars().map(sign).collect()
}

/// Returns the object with these fields, in the order of the schema. Fields without a value are
/// left out.
pub(super) fn object(fields: impl Iterator<Item = (String, Option<Value>)>) -> Value {
    let fields = fields.filter_map(|(name, value)| Some((name, value?)));
    Value::Object(fields.collect::<Map<_, _>>())
}
