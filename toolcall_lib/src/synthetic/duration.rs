//! Durations: how people say them, their length in a unit, and the steps from one to the other.

use super::draw::Draw;
use super::held_out::HeldOut;
use super::said::{Drawn, SMALL};
use serde_json::json;

/// The unit of a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Unit {
    Seconds,
    Minutes,
    Hours,
}

impl Unit {
    /// Its length in seconds.
    pub(super) fn seconds(self) -> i64 {
        match self {
            Self::Seconds => 1,
            Self::Minutes => 60,
            Self::Hours => 3600,
        }
    }
}

/// Draws a duration whose length in `unit` is an integer, minutes most often.
pub(super) fn duration(draw: &mut Draw, held_out: &HeldOut, unit: Unit) -> Drawn {
    loop {
        if let Some(drawn) = Length::draw(draw, held_out, unit).drawn(unit) {
            return drawn;
        }
    }
}

/// Draws a count of minutes up to 99, said without the word.
pub(super) fn whole_minutes(draw: &mut Draw, held_out: &HeldOut, unit: Unit) -> Drawn {
    loop {
        let count = minutes(draw, held_out, 99);
        let length = Length {
            said: count.to_string(),
            parts: vec![(count, Unit::Minutes)],
        };
        if let Some(drawn) = length.drawn(unit) {
            return drawn;
        }
    }
}

/// Draws minutes up to `high` that are not held out.
fn minutes(draw: &mut Draw, held_out: &HeldOut, high: i64) -> i64 {
    loop {
        let minutes = draw.number(1, high);
        if !held_out.minutes.contains(&minutes) {
            return minutes;
        }
    }
}

/// A duration: its words, and its parts with their units.
struct Length {
    said: String,
    parts: Vec<(i64, Unit)>,
}

impl Length {
    fn draw(draw: &mut Draw, held_out: &HeldOut, unit: Unit) -> Self {
        use Unit::{Hours, Minutes, Seconds};
        let minutes = |draw: &mut Draw, high| minutes(draw, held_out, high);
        let other = |draw: &mut Draw, low, high| held_out.number(draw, low, high);
        let kind = match unit {
            Seconds => draw.weighted(&[30.0, 12.0, 18.0, 6.0, 14.0, 12.0, 4.0, 4.0]),
            Minutes => draw.weighted(&[50.0, 20.0, 0.0, 12.0, 12.0, 0.0, 0.0, 6.0]),
            Hours => {
                let count = other(draw, 1, 48);
                return Self::of(draw, count, Hours);
            }
        };
        match kind {
            0 => {
                let count = minutes(draw, 60);
                Self::of(draw, count, Minutes)
            }
            1 => {
                let high = if draw.chance(4) { 999 } else { 180 };
                let count = minutes(draw, high);
                Self::of(draw, count, Minutes)
            }
            2 => {
                let high = if draw.chance(4) { 600 } else { 99 };
                let count = other(draw, 1, high);
                Self::of(draw, count, Seconds)
            }
            3 => {
                let count = other(draw, 1, 24);
                Self::of(draw, count, Hours)
            }
            4 => {
                let (hours, rest) = (other(draw, 1, 6), minutes(draw, 59));
                let (a, b) = (Self::of(draw, hours, Hours), Self::of(draw, rest, Minutes));
                a.and(draw, b)
            }
            5 => {
                let (first, rest) = (minutes(draw, 59), other(draw, 1, 59));
                let (a, b) = (Self::of(draw, first, Minutes), Self::of(draw, rest, Seconds));
                a.and(draw, b)
            }
            6 => {
                let (hours, rest) = (other(draw, 1, 6), other(draw, 1, 59));
                let (a, b) = (Self::of(draw, hours, Hours), Self::of(draw, rest, Seconds));
                a.and(draw, b)
            }
            _ => {
                let whole = other(draw, 1, 6);
                let (said, parts) = match draw.index(5) {
                    0 => ("half an hour".to_string(), vec![(30, Minutes)]),
                    1 => ("an hour".to_string(), vec![(1, Hours)]),
                    2 => ("a quarter of an hour".to_string(), vec![(15, Minutes)]),
                    3 => ("a minute".to_string(), vec![(1, Minutes)]),
                    _ if whole == 1 => ("an hour and a half".to_string(), vec![(1, Hours), (30, Minutes)]),
                    _ => (
                        format!("{whole} and a half hours"),
                        vec![(whole, Hours), (30, Minutes)],
                    ),
                };
                Self { said, parts }
            }
        }
    }

    fn of(draw: &mut Draw, count: i64, unit: Unit) -> Self {
        Self {
            said: counted(draw, count, unit),
            parts: vec![(count, unit)],
        }
    }

    /// Adds a smaller one: `1 hour and 20 minutes`, `1 hour 20 minutes`.
    fn and(self, draw: &mut Draw, less: Self) -> Self {
        let join = draw.text(&[" and ", " and ", " ", ", "]);
        Self {
            said: format!("{}{join}{}", self.said, less.said),
            parts: [self.parts, less.parts].concat(),
        }
    }

    /// The value in `unit`, unless it is a fraction of it.
    fn drawn(self, unit: Unit) -> Option<Drawn> {
        let seconds: i64 = self.parts.iter().map(|(count, of)| count * of.seconds()).sum();
        let steps = worked(&self.parts, unit);
        (seconds % unit.seconds() == 0).then(|| Drawn {
            worked: format!("{}: {steps}", self.said),
            ..Drawn::new(self.said, json!(seconds / unit.seconds()))
        })
    }
}

/// Computes a length in `unit` step by step: digits times the size of their unit, then one sum at a
/// time, each of which a small model can learn. `20 * 60 + 7 * 60 = 1200 + 420 = 1620` for 27
/// minutes in seconds. A length in its own unit is itself.
fn worked(parts: &[(i64, Unit)], unit: Unit) -> String {
    if let [(count, of)] = parts
        && *of == unit
    {
        return count.to_string();
    }
    // 1. The products: every digit of a count separately.
    let mut products = Vec::new();
    let mut terms = Vec::new();
    for (count, of) in parts {
        let size = of.seconds() / unit.seconds();
        if size == 1 {
            products.push(count.to_string());
            terms.push(*count);
            continue;
        }
        for digit in digits(*count) {
            products.push(format!("{digit} * {size}"));
            terms.push(digit * size);
        }
    }
    // 2. The sums: the first two become one until one is left.
    let mut steps = vec![products.join(" + ")];
    loop {
        let sum: Vec<String> = terms.iter().map(i64::to_string).collect();
        steps.push(sum.join(" + "));
        match terms.len() {
            0 | 1 => break,
            _ => {
                let first = terms.remove(0);
                terms[0] += first;
            }
        }
    }
    steps.dedup();
    steps.join(" = ")
}

/// The digits of a number with their place, without zeros: 207 is 200 and 7.
fn digits(number: i64) -> Vec<i64> {
    let mut digits = Vec::new();
    let (mut rest, mut place) = (number, 1);
    while rest > 0 {
        digits.push(rest % 10 * place);
        (rest, place) = (rest / 10, place * 10);
    }
    digits.retain(|digit| *digit > 0);
    digits.reverse();
    digits
}

/// `1 minute`, `5 minutes`, now and then `five minutes` or `5 min`.
fn counted(draw: &mut Draw, count: i64, unit: Unit) -> String {
    let unit = match unit {
        Unit::Seconds => "second",
        Unit::Minutes => "minute",
        Unit::Hours => "hour",
    };
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

#[cfg(test)]
mod tests {
    use super::{Unit, worked};

    #[test]
    fn steps_are_products_of_digits_and_then_one_sum_at_a_time() {
        use Unit::{Hours, Minutes, Seconds};
        type Case<'a> = (&'a [(i64, Unit)], Unit, &'a str);
        let cases: [Case<'_>; 8] = [
            (&[(27, Minutes)], Seconds, "20 * 60 + 7 * 60 = 1200 + 420 = 1620"),
            (&[(5, Minutes)], Seconds, "5 * 60 = 300"),
            (&[(40, Minutes)], Seconds, "40 * 60 = 2400"),
            (
                &[(3, Minutes), (30, Seconds)],
                Seconds,
                "3 * 60 + 30 = 180 + 30 = 210",
            ),
            (
                &[(1, Hours), (15, Minutes)],
                Seconds,
                "1 * 3600 + 10 * 60 + 5 * 60 = 3600 + 600 + 300 = 4200 + 300 = 4500",
            ),
            (&[(2, Hours), (5, Minutes)], Minutes, "2 * 60 + 5 = 120 + 5 = 125"),
            (&[(45, Seconds)], Seconds, "45"),
            (&[(7, Hours)], Hours, "7"),
        ];
        for (parts, unit, expected) in cases {
            assert_eq!(worked(parts, unit), expected);
        }
    }
}
