//! Values as people say them: numbers, money, days, times, durations.

use super::draw::Draw;
use super::held_out::HeldOut;
use jiff::Span;
use jiff::civil::Date;
use serde_json::{Value, json};

/// A value, and how a user says it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drawn {
    pub(super) said: String,
    pub(super) value: Value,
    /// A text that goes with it: the calendar in which a weekday is looked up, an hour without AM or PM.
    pub(super) context: String,
}

impl Drawn {
    pub(super) fn text(text: impl Into<String>) -> Self {
        let said = text.into();
        Self::new(said.clone(), said)
    }

    pub(super) fn new(said: impl Into<String>, value: impl Into<Value>) -> Self {
        Self {
            said: said.into(),
            value: value.into(),
            context: String::new(),
        }
    }
}

pub(super) const SMALL: [&str; 13] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
];

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The unit of a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Unit {
    Seconds,
    Minutes,
    Hours,
}

/// An integer: digits, now and then a word or with a comma.
pub(super) fn integer(draw: &mut Draw, number: i64) -> String {
    match number {
        0..=12 if draw.percent(15.0) => SMALL[number as usize].to_string(),
        1000.. if draw.chance(5) => grouped(number),
        _ => number.to_string(),
    }
}

/// `12,500`.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn money(draw: &mut Draw, amount: i64) -> Drawn {
    let said = match draw.index(10) {
        0..6 => format!("${amount}"),
        6..9 => format!("{amount} dollars"),
        _ => format!("${}", grouped(amount)),
    };
    Drawn::new(said, amount)
}

/// A day; its value is `2025-03-14`.
pub(super) fn date(draw: &mut Draw, held_out: &HeldOut) -> Drawn {
    let (year, month) = loop {
        let (year, month) = (draw.number(2023, 2027), draw.number(1, 12));
        if !held_out.months.contains(&format!("{year}-{month:02}")) {
            break (year, month);
        }
    };
    let day = draw.number(1, 28);
    let name = MONTHS[month as usize - 1];
    let iso = format!("{year}-{month:02}-{day:02}");
    let said = match draw.index(8) {
        0..4 => iso.clone(),
        4 | 5 => format!("{name} {day}, {year}"),
        6 => format!("{day} {name} {year}"),
        _ => format!("{name} {day}{}, {year}", ordinal(day)),
    };
    Drawn::new(said, iso)
}

fn ordinal(number: i64) -> &'static str {
    match (number % 10, number / 10) {
        (_, 1) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    }
}

/// A time of the day; its value is `18:30`.
pub(super) fn time(draw: &mut Draw) -> Drawn {
    let (hour, minute) = (draw.number(0, 23), draw.number(0, 11) * 5);
    let value = format!("{hour:02}:{minute:02}");
    let half = if hour < 12 { "AM" } else { "PM" };
    let twelve = (hour + 11) % 12 + 1;
    let said = match draw.index(4) {
        0 => value.clone(),
        _ if minute == 0 && draw.chance(2) => format!("{twelve} {half}"),
        _ => format!("{twelve}:{minute:02} {half}"),
    };
    Drawn::new(said, value)
}

/// A point in time after a request (`at 5 PM`, `on Monday at 7:15 AM`); its value is what was said,
/// without `at` and `on`.
pub(super) fn when(draw: &mut Draw, held_out: &HeldOut) -> Drawn {
    let days = [
        "tomorrow",
        "on Monday",
        "on Tuesday",
        "on Wednesday",
        "on Thursday",
        "on Friday",
        "on Saturday",
        "on Sunday",
        "tonight",
        "today",
        "next week",
        "tomorrow morning",
        "this evening",
    ];
    let (full, hour) = loop {
        let number = draw.number(1, 12);
        let full = format!("{number} {}", draw.text(&["AM", "PM"]));
        if !held_out.hours.contains(&full) {
            break (full, number);
        }
    };
    let minutes = draw.number(0, 11) * 5;
    let exact = full.replace(' ', &format!(":{minutes:02} "));
    let said = match draw.index(12) {
        0..5 => format!("at {full}"),
        5 | 6 => format!("at {exact}"),
        7 | 8 => format!("{} at {full}", draw.text(&days[..8])),
        9 => format!("{} at {exact}", draw.text(&days[..8])),
        10 => draw.text(&days),
        _ => match draw.index(4) {
            0 => "at noon".to_string(),
            1 => format!("at {hour}:{:02}", draw.number(1, 3) * 15),
            2 => format!("in the {}", draw.text(&["morning", "evening", "afternoon"])),
            _ => format!("at {hour} o'clock"),
        },
    };
    let value = said.trim_start_matches("at ").trim_start_matches("on ");
    Drawn::new(said.clone(), value)
}

/// A full hour; its context is the number alone.
pub(super) fn hour(draw: &mut Draw, held_out: &HeldOut) -> Drawn {
    loop {
        let number = draw.number(1, 12);
        let full = format!("{number} {}", draw.text(&["AM", "PM"]));
        if !held_out.hours.contains(&full) {
            return Drawn {
                context: number.to_string(),
                ..Drawn::text(full)
            };
        }
    }
}

/// A weekday or tomorrow (`on Friday`), whose value is the day and whose context is a calendar of the week.
pub(super) fn calendar(draw: &mut Draw, held_out: &HeldOut) -> Drawn {
    let today = loop {
        let (year, month, day) = (draw.number(2024, 2027), draw.number(1, 12), draw.number(1, 28));
        let day = Date::new(year as i16, month as i8, day as i8).unwrap_or_default();
        let free = |day: Date| !held_out.months.contains(&day.to_string()[..7]);
        if free(day) && free(day.saturating_add(Span::new().days(7))) {
            break day;
        }
    };
    let day = |ahead: usize| today.saturating_add(Span::new().days(ahead as i64));
    let weekday = |ahead: usize| day(ahead).strftime("%A").to_string();
    let listed = |ahead: usize| format!("{} {}", weekday(ahead), day(ahead));
    let coming: Vec<String> = (1..=7).map(listed).collect();
    let ahead = 1 + draw.index(7);
    let said = match ahead == 1 && draw.chance(2) {
        true => "tomorrow".to_string(),
        false => format!("on {}", weekday(ahead)),
    };
    Drawn {
        context: format!("Today is {}. The next days are {}.", listed(0), coming.join(", ")),
        ..Drawn::new(said, day(ahead).to_string())
    }
}

/// A duration in `unit`, whole minutes most often.
pub(super) fn duration(draw: &mut Draw, held_out: &HeldOut, unit: Unit) -> Drawn {
    let mut span = Length::draw(draw, held_out, unit);
    while span.in_unit(unit).is_none() {
        span = Length::draw(draw, held_out, unit);
    }
    let value = json!(span.in_unit(unit));
    Drawn::new(span.said, value)
}

/// A count of minutes up to 99, whose value is in `unit`; said without the word.
pub(super) fn whole_minutes(draw: &mut Draw, held_out: &HeldOut, unit: Unit) -> Drawn {
    loop {
        let span = Length {
            said: String::new(),
            seconds: 60 * minutes(draw, held_out, 99),
        };
        if let Some(value) = span.in_unit(unit) {
            return Drawn::new((span.seconds / 60).to_string(), value);
        }
    }
}

/// Minutes up to `high` that are not held out.
fn minutes(draw: &mut Draw, held_out: &HeldOut, high: i64) -> i64 {
    loop {
        let minutes = draw.number(1, high);
        if !held_out.minutes.contains(&minutes) {
            return minutes;
        }
    }
}

/// A duration: how it is said, and its seconds.
struct Length {
    said: String,
    seconds: i64,
}

impl Length {
    fn draw(draw: &mut Draw, held_out: &HeldOut, unit: Unit) -> Self {
        let minutes = |draw: &mut Draw, high| minutes(draw, held_out, high);
        let other = |draw: &mut Draw, low, high| held_out.number(draw, low, high);
        let of = |draw: &mut Draw, count: i64, unit: &str, seconds: i64| Self {
            said: counted(draw, count, unit),
            seconds: count * seconds,
        };
        let kind = match unit {
            Unit::Seconds => draw.weighted(&[40.0, 14.0, 14.0, 8.0, 8.0, 10.0, 2.0, 4.0]),
            Unit::Minutes => draw.weighted(&[50.0, 20.0, 0.0, 12.0, 12.0, 0.0, 0.0, 6.0]),
            Unit::Hours => {
                return {
                    let count = other(draw, 1, 48);
                    of(draw, count, "hour", 3600)
                };
            }
        };
        match kind {
            0 => {
                let count = minutes(draw, 60);
                of(draw, count, "minute", 60)
            }
            1 => {
                let high = if draw.chance(4) { 999 } else { 180 };
                let count = minutes(draw, high);
                of(draw, count, "minute", 60)
            }
            2 => {
                let high = if draw.chance(4) { 600 } else { 99 };
                let count = other(draw, 1, high);
                of(draw, count, "second", 1)
            }
            3 => {
                let count = other(draw, 1, 24);
                of(draw, count, "hour", 3600)
            }
            4 => {
                let (hours, rest) = (other(draw, 1, 6), minutes(draw, 59));
                let (a, b) = (of(draw, hours, "hour", 3600), of(draw, rest, "minute", 60));
                a.and(draw, b)
            }
            5 => {
                let (first, rest) = (minutes(draw, 59), other(draw, 1, 59));
                let (a, b) = (of(draw, first, "minute", 60), of(draw, rest, "second", 1));
                a.and(draw, b)
            }
            6 => {
                let (hours, rest) = (other(draw, 1, 6), other(draw, 1, 59));
                let (a, b) = (of(draw, hours, "hour", 3600), of(draw, rest, "second", 1));
                a.and(draw, b)
            }
            _ => {
                let whole = other(draw, 1, 6);
                let (said, seconds) = match draw.index(5) {
                    0 => ("half an hour".to_string(), 1800),
                    1 => ("an hour".to_string(), 3600),
                    2 => ("a quarter of an hour".to_string(), 900),
                    3 => ("a minute".to_string(), 60),
                    _ if whole == 1 => ("an hour and a half".to_string(), 5400),
                    _ => (format!("{whole} and a half hours"), whole * 3600 + 1800),
                };
                Self { said, seconds }
            }
        }
    }

    /// `1 hour and 20 minutes`, `1 hour 20 minutes`.
    fn and(self, draw: &mut Draw, less: Self) -> Self {
        let join = draw.text(&[" and ", " and ", " ", ", "]);
        Self {
            said: format!("{}{join}{}", self.said, less.said),
            seconds: self.seconds + less.seconds,
        }
    }

    fn in_unit(&self, unit: Unit) -> Option<i64> {
        let size = match unit {
            Unit::Seconds => 1,
            Unit::Minutes => 60,
            Unit::Hours => 3600,
        };
        (self.seconds % size == 0).then_some(self.seconds / size)
    }
}

/// `1 minute`, `5 minutes`, now and then `five minutes` or `5 min`.
fn counted(draw: &mut Draw, count: i64, unit: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    match draw.index(12) {
        0 if count <= 12 => format!("{} {unit}{plural}", SMALL[count as usize]),
        1 if unit != "hour" => format!("{count} {}", &unit[..3]),
        _ => format!("{count} {unit}{plural}"),
    }
}

/// A duration as in `a 20 minute timer`.
pub(super) fn as_adjective(said: &str) -> String {
    ["hour", "minute", "second"]
        .iter()
        .fold(said.to_string(), |said, unit| {
            said.replace(&format!("{unit}s"), unit)
        })
}
