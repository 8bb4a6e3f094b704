//! Values as people say them: numbers, money, days, times.

use super::draw::Draw;
use super::held_out::HeldOut;
use jiff::Span;
use jiff::civil::Date;
use serde_json::Value;

/// A value, and how a user says it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drawn {
    pub(super) said: String,
    pub(super) value: Value,
    /// A text that goes with it: the calendar in which a weekday is looked up, an hour without AM
    /// or PM.
    pub(super) context: String,
    /// Steps from the words to the value of a duration: `5 minutes: 5 * 60 = 300`. If one value of
    /// a call has to be computed, the steps of all durations stand before the call.
    pub(super) worked: String,
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
            worked: String::new(),
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

/// A day; its value is `2025-03-14`. Where a week is known, every other one is of that week:
/// `Friday`.
pub(super) fn date(draw: &mut Draw, held_out: &HeldOut) -> Drawn {
    if !draw.week.is_empty() && draw.chance(2) {
        let ahead = draw.index(draw.week.len());
        let day = draw.week[ahead];
        let said = match ahead {
            0 => "today".to_string(),
            1 if draw.chance(2) => "tomorrow".to_string(),
            _ => day.strftime("%A").to_string(),
        };
        return Drawn::new(said, day.to_string());
    }
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

/// A weekday or tomorrow (`on Friday`), whose value is the day and whose context is a calendar of
/// the week.
pub(super) fn calendar(draw: &mut Draw, held_out: &HeldOut) -> Drawn {
    let days = week(draw, held_out);
    let ahead = 1 + draw.index(7);
    let said = match ahead == 1 && draw.chance(2) {
        true => "tomorrow".to_string(),
        false => format!("on {}", days[ahead].strftime("%A")),
    };
    let (today, coming) = calendar_texts(&days);
    Drawn {
        context: format!("Today is {today}. The next days are {coming}."),
        ..Drawn::new(said, days[ahead].to_string())
    }
}

/// A day and the seven behind it, none of them in a month that is held out.
pub(super) fn week(draw: &mut Draw, held_out: &HeldOut) -> Vec<Date> {
    loop {
        let (year, month, day) = (draw.number(2024, 2027), draw.number(1, 12), draw.number(1, 28));
        let today = Date::new(year as i16, month as i8, day as i8).unwrap_or_default();
        let days: Vec<Date> = (0..8)
            .map(|ahead| today.saturating_add(Span::new().days(ahead)))
            .collect();
        if days
            .iter()
            .all(|day| !held_out.months.contains(&day.to_string()[..7]))
        {
            return days;
        }
    }
}

/// Today, and the days behind it, each with its weekday: `Friday 2025-03-14`.
pub(super) fn calendar_texts(days: &[Date]) -> (String, String) {
    let listed: Vec<String> = days
        .iter()
        .map(|day| format!("{} {day}", day.strftime("%A")))
        .collect();
    (listed[0].clone(), listed[1..].join(", "))
}
