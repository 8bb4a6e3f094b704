//! Days and times as people say them.

use super::draw::Draw;
use super::held_out::HeldOut;
use super::said::Drawn;
use jiff::Span;
use jiff::civil::Date;

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

/// A day; its value is `2025-03-14`. Where a week is known, every other day is in that week, and is
/// looked up before the call: `Friday = 2025-03-14`.
pub(super) fn date(draw: &mut Draw, held_out: &HeldOut) -> Drawn {
    if !draw.week.is_empty() && draw.chance(2) {
        let ahead = draw.index(draw.week.len());
        let day = draw.week[ahead];
        let said = match ahead {
            0 => "today".to_string(),
            // Without a calendar of the week, the name of a day cannot be looked up.
            1 if draw.week.len() == 2 || draw.chance(2) => "tomorrow".to_string(),
            _ => day.strftime("%A").to_string(),
        };
        return looked_up(said, day);
    }
    full_date(draw, held_out, None)
}

/// A day that has gone by: `yesterday` half of the time where today is known, or else a date.
pub(super) fn past(draw: &mut Draw, held_out: &HeldOut) -> Drawn {
    let Some(&today) = draw.week.first() else {
        return full_date(draw, held_out, Some(Date::constant(2026, 1, 1)));
    };
    let yesterday = today.saturating_sub(Span::new().days(1));
    match draw.chance(2) && !held_out.months.contains(&yesterday.to_string()[..7]) {
        true => looked_up("yesterday", yesterday),
        false => full_date(draw, held_out, Some(today)),
    }
}

/// A day that the model looks up in the calendar of its prompt.
fn looked_up(said: impl Into<String>, day: Date) -> Drawn {
    let said = said.into();
    Drawn {
        worked: format!("{said} = {day}"),
        ..Drawn::new(said, day.to_string())
    }
}

/// A day in full, in a month before that of `end` if there is one.
fn full_date(draw: &mut Draw, held_out: &HeldOut, end: Option<Date>) -> Drawn {
    let (year, month) = loop {
        let (year, month) = (draw.number(2022, 2027), draw.number(1, 12));
        let name = format!("{year}-{month:02}");
        let early = end.is_none_or(|end| name.as_str() < &end.to_string()[..7]);
        if early && !held_out.months.contains(&name) {
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
    let (full, hour) = full_hour(draw, held_out);
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
    let (full, number) = full_hour(draw, held_out);
    Drawn {
        context: number.to_string(),
        ..Drawn::text(full)
    }
}

/// A full hour that is not held out, such as `5 PM`, and its number.
fn full_hour(draw: &mut Draw, held_out: &HeldOut) -> (String, i64) {
    loop {
        let number = draw.number(1, 12);
        let full = format!("{number} {}", draw.text(&["AM", "PM"]));
        if !held_out.hours.contains(&full) {
            return (full, number);
        }
    }
}

/// A weekday or tomorrow (`on Friday`), whose value is the day and whose context is a calendar of
/// the week.
pub(super) fn calendar(draw: &mut Draw, held_out: &HeldOut) -> Drawn {
    let days = week(draw, held_out);
    let ahead = 1 + draw.index(7);
    let (on, name) = match ahead == 1 && draw.chance(2) {
        true => ("", "tomorrow".to_string()),
        false => ("on ", days[ahead].strftime("%A").to_string()),
    };
    let (today, coming) = calendar_texts(&days);
    Drawn {
        said: format!("{on}{name}"),
        context: format!("Today is {today}. The next days are {coming}."),
        ..looked_up(name, days[ahead])
    }
}

/// A day and the seven after it, none of them in a month that is held out.
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

/// Today, and the days after it, each with its weekday: `Friday 2025-03-14`.
pub(super) fn calendar_texts(days: &[Date]) -> (String, String) {
    let listed: Vec<String> = days
        .iter()
        .map(|day| format!("{} {day}", day.strftime("%A")))
        .collect();
    (listed[0].clone(), listed[1..].join(", "))
}
