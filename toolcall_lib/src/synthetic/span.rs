//! Durations and points in time, as people say them and as the tools take them.

use super::draw::{Draw, Part};

/// A duration: how it is said (`1 hour and 20 minutes`), and its seconds.
#[derive(Clone, PartialEq)]
pub(super) struct Span {
    pub(super) said: String,
    pub(super) seconds: u32,
}

/// Minutes that no training row uses.
pub(super) const HELD_OUT_MINUTES: [u32; 10] = [2, 3, 11, 12, 27, 29, 33, 43, 44, 49];

impl Span {
    pub(super) fn minutes(minutes: u32) -> Self {
        Self {
            said: counted(minutes, "minute"),
            seconds: minutes * 60,
        }
    }

    fn seconds(seconds: u32) -> Self {
        Self {
            said: counted(seconds, "second"),
            seconds,
        }
    }

    fn hours(hours: u32) -> Self {
        Self {
            said: counted(hours, "hour"),
            seconds: hours * 3600,
        }
    }

    /// `1 hour and 20 minutes`.
    fn and(self, less: Self) -> Self {
        Self {
            said: format!("{} and {}", self.said, less.said),
            seconds: self.seconds + less.seconds,
        }
    }

    /// As in `a 20 minute timer`.
    pub(super) fn adjective(&self) -> String {
        ["hour", "minute", "second"]
            .iter()
            .fold(self.said.clone(), |said, unit| {
                said.replace(&format!("{unit}s"), unit)
            })
    }
}

/// `1 minute`, `2 minutes`.
fn counted(count: u32, unit: &str) -> String {
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Minutes from 1 to 59 of a part.
pub(super) fn minutes_of(part: Part) -> Vec<u32> {
    (1..60)
        .filter(|minutes| HELD_OUT_MINUTES.contains(minutes) == (part == Part::HeldOut))
        .collect()
}

/// Whole minutes.
pub(super) fn minutes(draw: &mut Draw) -> Span {
    let minutes = minutes_of(draw.part);
    Span::minutes(draw.one(&minutes))
}

/// Seconds, hours, or two units together.
pub(super) fn other_span(draw: &mut Draw) -> Span {
    match draw.one(&[0, 1, 2, 3, 4]) {
        0 | 1 => Span::seconds(draw.number(5, 90)),
        2 => Span::hours(draw.number(1, 12)),
        3 => Span::hours(draw.one(&[1, 2])).and(Span::minutes(draw.number(1, 11) * 5)),
        _ => minutes(draw).and(Span::seconds(draw.one(&[10, 15, 20, 30, 40, 45, 50]))),
    }
}

/// Any duration, whole minutes most often.
pub(super) fn span(draw: &mut Draw) -> Span {
    if draw.chance(3) {
        other_span(draw)
    } else {
        minutes(draw)
    }
}

/// A point in time: how it is said after the request (`at 5 PM`), and as an argument (`5 PM`).
#[derive(Clone, PartialEq)]
pub(super) struct When {
    pub(super) said: String,
    pub(super) value: String,
}

impl When {
    pub(super) fn new(said: impl Into<String>) -> Self {
        let said = said.into();
        let value = said
            .trim_start_matches("at ")
            .trim_start_matches("on ")
            .to_string();
        Self { said, value }
    }

    /// A full hour, the only form of the plain rows: `at 5 PM`.
    pub(super) fn hour(draw: &mut Draw) -> Self {
        Self::new(format!("at {}", hour(draw)))
    }

    /// Full hours, and days with or without one.
    pub(super) fn any(draw: &mut Draw) -> Self {
        let days = ["tomorrow", "on Monday", "on Tuesday", "on Friday", "on Saturday"];
        let (day, hour) = (draw.one(&days), hour(draw));
        match draw.one(&[0, 1, 2]) {
            0 => Self::new(format!("at {hour}")),
            1 => Self::new(format!(
                "at {}",
                hour.replace(' ', &format!(":{} ", draw.one(&["15", "30", "45"])))
            )),
            _ => Self::new(format!("{day} at {hour}")),
        }
    }
}

fn hour(draw: &mut Draw) -> String {
    let held_out = ["3 AM", "11 AM", "6 PM", "8 PM"];
    loop {
        let hour = format!(
            "{} {}",
            draw.one(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
            draw.one(&["AM", "PM"])
        );
        if held_out.contains(&hour.as_str()) == (draw.part == Part::HeldOut) {
            return hour;
        }
    }
}
