//! Finds values of a call in the words of the user.

use crate::synthetic::days::MONTHS;
use crate::synthetic::duration::Unit;
use crate::synthetic::said::SMALL;
use serde_json::Value;
use std::ops::Range;

/// A value in a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) place: Range<usize>,
    pub(super) form: Form,
}

/// The form in which a value was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The value as it is, or a number in words.
    Plain,
    Money,
    Date,
    Time,
    Duration(Unit),
    /// `a, b and c`
    Many,
}

/// Finds a value in a text, in any form that people have for it.
pub(super) fn find(text: &str, value: &Value) -> Option<Found> {
    match value {
        Value::String(word) => date(text, word)
            .or_else(|| time(text, word))
            .or_else(|| plain(text, word))
            .or_else(|| plain(text, &word.replace('_', " "))),
        Value::Number(number) => match number.as_i64() {
            Some(number) => integer(text, number),
            None => plain(text, &number.to_string()).map(|found| as_money(text, found)),
        },
        Value::Array(items) => many(text, items),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

/// Finds the string itself, as whole words, in any case.
fn plain(text: &str, word: &str) -> Option<Found> {
    let (low, wanted) = (text.to_lowercase(), word.to_lowercase());
    if wanted.trim().is_empty() || low.len() != text.len() {
        return None; // lowercasing may change the length, which would shift every place
    }
    let mut from = 0;
    while let Some(at) = low[from..].find(&wanted) {
        let place = from + at..from + at + wanted.len();
        if bounded(&low, &place) {
            return Some(Found {
                place,
                form: Form::Plain,
            });
        }
        from += at + wanted.len();
    }
    None
}

/// Returns true if no letter or digit is next to the place, and no decimals follow it.
fn bounded(text: &str, place: &Range<usize>) -> bool {
    let before = text[..place.start].chars().next_back();
    let mut behind = text[place.end..].chars();
    let (first, second) = (behind.next(), behind.next());
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let ends_with_digit = digit(text[place.clone()].chars().next_back());
    let goes_on = ends_with_digit && matches!(first, Some('.' | ',' | ':')) && digit(second);
    let starts_with_digit = digit(text[place.clone()].chars().next());
    let began = starts_with_digit && matches!(before, Some('.' | ',' | ':' | '-'));
    !before.is_some_and(char::is_alphanumeric)
        && !first.is_some_and(char::is_alphanumeric)
        && !goes_on
        && !began
}

fn integer(text: &str, number: i64) -> Option<Found> {
    let digits = number.to_string();
    let grouped = crate::synthetic::said::grouped(number);
    let word = usize::try_from(number).ok().and_then(|number| SMALL.get(number));
    plain(text, &digits)
        .or_else(|| plain(text, &grouped))
        .map(|found| as_money(text, found))
        .or_else(|| plain(text, word?))
        .or_else(|| duration(text, number))
}

/// Takes a currency sign or word into the place.
fn as_money(text: &str, found: Found) -> Found {
    let Range { start, end } = found.place;
    if text[..start].ends_with('$') {
        return Found {
            place: start - 1..end,
            form: Form::Money,
        };
    }
    for word in [" dollars", " dollar", " USD"] {
        if text[end..].starts_with(word) {
            return Found {
                place: start..end + word.len(),
                form: Form::Money,
            };
        }
    }
    Found {
        place: start..end,
        form: found.form,
    }
}

/// Finds `2025-03-14`, or the day in words.
fn date(text: &str, iso: &str) -> Option<Found> {
    let mut parts = iso.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let number: usize = month.parse().ok()?;
    if year.len() != 4 || day.len() != 2 || parts.next().is_some() {
        return None;
    }
    let (name, day) = (MONTHS.get(number.checked_sub(1)?)?, day.parse::<u32>().ok()?);
    let ends = ["", "st", "nd", "rd", "th"];
    let worded = ends.iter().flat_map(|end| {
        [
            format!("{name} {day}{end}, {year}"),
            format!("{name} {day}{end} {year}"),
            format!("{day}{end} {name} {year}"),
            format!("{day}{end} of {name} {year}"),
        ]
    });
    let mut forms = std::iter::once(iso.to_string()).chain(worded);
    forms.find_map(|form| plain(text, &form)).map(|found| Found {
        form: Form::Date,
        ..found
    })
}

/// Finds `18:30`, or the same with AM or PM.
fn time(text: &str, value: &str) -> Option<Found> {
    let (hour, minute) = value.split_once(':')?;
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    let half = if hour < 12 { "AM" } else { "PM" };
    let twelve = (hour + 11) % 12 + 1;
    let mut forms = vec![
        value.to_string(),
        format!("{hour}:{minute:02}"),
        format!("{twelve}:{minute:02} {half}"),
        format!("{twelve}:{minute:02}{half}"),
    ];
    if minute == 0 {
        forms.extend([format!("{twelve} {half}"), format!("{twelve}{half}")]);
    }
    forms
        .iter()
        .find_map(|form| plain(text, form))
        .map(|found| Found {
            form: Form::Time,
            ..found
        })
}

/// Finds a duration in words whose length in seconds, minutes or hours is the number.
fn duration(text: &str, number: i64) -> Option<Found> {
    // 1. Words with their places.
    let mut spans: Vec<(Range<usize>, i64)> = Vec::new();
    let mut words = Vec::new();
    let mut start = 0;
    for piece in text.split_inclusive([' ', '-', ',', '.', '?', '!']) {
        let word = piece.trim_end_matches([' ', '-', ',', '.', '?', '!']);
        words.push((start..start + word.len(), word.to_lowercase()));
        start += piece.len();
    }
    words.retain(|(_, word)| !word.is_empty());
    // 2. Pairs of a count and a unit. Neighbours are added up: `1 hour and 30 minutes`.
    let mut index = 0;
    while index + 1 < words.len() {
        let (place, seconds) = match (count(&words[index].1), unit(&words[index + 1].1)) {
            (Some(count), Some(unit)) => {
                let place = words[index].0.start..words[index + 1].0.end;
                (place, count * unit.seconds())
            }
            _ => {
                index += 1;
                continue;
            }
        };
        index += 2;
        if words.get(index).is_some_and(|(_, word)| word == "and") && index + 2 < words.len() {
            let next = (count(&words[index + 1].1), unit(&words[index + 2].1));
            if next.0.is_some() && next.1.is_some() {
                index += 1;
            }
        }
        let joins = |last: &(Range<usize>, i64)| place.start - last.0.end <= " and ".len() + 1;
        match spans.last_mut().filter(|last| joins(last)) {
            Some(last) => *last = (last.0.start..place.end, last.1 + seconds),
            None => spans.push((place, seconds)),
        }
    }
    // 3. The first length that is the number in some unit.
    let units = [Unit::Seconds, Unit::Minutes, Unit::Hours];
    spans.into_iter().find_map(|(place, seconds)| {
        let is_number = |unit: &Unit| {
            let size = unit.seconds();
            seconds % size == 0 && seconds / size == number
        };
        let form = Form::Duration(units.into_iter().find(is_number)?);
        Some(Found { place, form })
    })
}

fn count(word: &str) -> Option<i64> {
    let small = SMALL.iter().position(|small| *small == word);
    let small = small.map(|number| number as i64);
    small
        .or_else(|| word.parse::<u32>().ok().map(i64::from))
        .or_else(|| matches!(word, "a" | "an").then_some(1))
}

fn unit(word: &str) -> Option<Unit> {
    match word {
        "second" | "seconds" | "sec" | "secs" => Some(Unit::Seconds),
        "minute" | "minutes" | "min" | "mins" => Some(Unit::Minutes),
        "hour" | "hours" => Some(Unit::Hours),
        _ => None,
    }
}

/// Finds all items, from the first to the last, with nothing but commas and `and` between them.
fn many(text: &str, items: &[Value]) -> Option<Found> {
    let places: Option<Vec<Range<usize>>> = items
        .iter()
        .map(|item| find(text, item).map(|found| found.place))
        .collect();
    let places = places.filter(|places| places.len() > 1)?;
    let between = |pair: &[Range<usize>]| {
        let gap = text.get(pair[0].end..pair[1].start)?;
        let joins = [", ", " and ", ", and ", " or ", ",", " & "];
        joins.contains(&gap).then_some(())
    };
    places.windows(2).try_for_each(between)?;
    Some(Found {
        place: places.first()?.start..places.last()?.end,
        form: Form::Many,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(text: &str, value: Value) -> Option<(&str, Form)> {
        find(text, &value).map(|found| (&text[found.place], found.form))
    }

    #[test]
    fn values_are_found_in_the_forms_that_people_use() {
        let cases = [
            ("Weather in paris?", json!("Paris"), "paris", Form::Plain),
            ("Pay $1,500 now", json!(1500), "$1,500", Form::Money),
            ("We are five", json!(5), "five", Form::Plain),
            (
                "on March 3rd, 2025.",
                json!("2025-03-03"),
                "March 3rd, 2025",
                Form::Date,
            ),
            ("at 6:30 PM", json!("18:30"), "6:30 PM", Form::Time),
            (
                "wait 2 minutes and 5 seconds",
                json!(125),
                "2 minutes and 5 seconds",
                Form::Duration(Unit::Seconds),
            ),
            ("for an hour", json!(60), "an hour", Form::Duration(Unit::Minutes)),
            ("add 1, 2 and 3", json!([1, 2, 3]), "1, 2 and 3", Form::Many),
            ("go by night bus", json!("night_bus"), "night bus", Form::Plain),
        ];
        for (text, value, place, form) in cases {
            assert_eq!(at(text, value), Some((place, form)), "{text}");
        }
    }

    #[test]
    fn parts_of_words_and_numbers_are_not_values() {
        assert_eq!(at("Parisian", json!("Paris")), None);
        assert_eq!(at("3.25 meters", json!(3)), None);
        assert_eq!(at("room 123", json!(12)), None);
        assert_eq!(at("yes", json!(true)), None);
        assert_eq!(at("9000000000000000000 hours", json!(i64::MAX)), None);
        assert_eq!(at("2 hours", json!(i64::MAX)), None);
    }
}
