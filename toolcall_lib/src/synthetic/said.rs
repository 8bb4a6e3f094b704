//! Values as people say them: numbers and money.

use super::draw::Draw;
use super::held_out::HeldOut;
use indexmap::IndexMap;
use serde_json::Value;
use std::sync::Arc;

/// A value, and how a user says it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drawn {
    pub(super) said: String,
    pub(super) value: Value,
    /// A context that goes with it: the calendar in which a weekday is looked up, an hour without
    /// AM or PM.
    pub(super) context: String,
    /// Steps from the words to the value: `5 minutes: 5 * 60 = 300` for a duration, `Friday =
    /// 2025-03-14` for a day. If one value of a call has to be computed, the steps of all come
    /// before the call.
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

/// Separates what is said from what is called in a string of a list: `yen => JPY`.
const CALLED: &str = " => ";

/// Returns what users say for a string of a list.
pub(super) fn said(text: &str) -> &str {
    text.split_once(CALLED).map_or(text, |(said, _)| said)
}

/// Returns true if a string of a list says what is called for it.
pub(super) fn is_renamed(text: &str) -> bool {
    text.contains(CALLED)
}

/// Returns the number that is called for a string of a list, if it is one: `monthly => 12`.
pub(super) fn called_number(text: &str) -> Option<i64> {
    text.split_once(CALLED)?.1.parse().ok()
}

/// Makes the value of a string of a list.
pub(super) fn listed(text: &str) -> Drawn {
    match (text.split_once(CALLED), called_number(text)) {
        (Some((said, _)), Some(number)) => Drawn::new(said, number),
        (Some((said, called)), None) => Drawn::new(said, called),
        (None, _) => Drawn::text(text),
    }
}

/// Returns the rest after the article of a string: `telephone` for `the telephone`. `None` if it
/// has no article.
pub(super) fn behind_article(text: &str) -> Option<&str> {
    let mut articles = ["the ", "a ", "an "].into_iter();
    articles.find_map(|article| text.strip_prefix(article))
}

/// Returns the words of a code: `flat tire` for `FLAT_TIRE`.
pub(super) fn words_of_code(code: &str) -> String {
    code.replace(['_', '-'], " ").to_lowercase()
}

/// Leaves articles out of the values: `the telephone => telephone`.
pub(super) fn without_articles(texts: &Arc<[String]>) -> Arc<[String]> {
    let bare = |text: &'_ String| {
        let bare = behind_article(text).filter(|_| !is_renamed(text));
        bare.map(|bare| format!("{text}{CALLED}{bare}"))
    };
    match texts.iter().any(|text| bare(text).is_some()) {
        true => texts
            .iter()
            .map(|text| bare(text).unwrap_or_else(|| text.clone()))
            .collect(),
        false => Arc::clone(texts), // a list of thousands that many skills share
    }
}

/// Values by slot.
pub(super) type Values = IndexMap<String, Drawn>;

pub(super) const SMALL: [&str; 13] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
];

/// An integer between two bounds: digits, now and then a word, with a comma, or a round number.
/// Years, and numbers that name something, whose bounds have equally many digits, are always plain
/// digits.
pub(super) fn integer(draw: &mut Draw, held_out: &HeldOut, low: i64, high: i64) -> Drawn {
    let names = low >= 100 && low.checked_ilog10() == high.checked_ilog10();
    if !names
        && draw.chance(3)
        && let Some(round) = round(draw, low, high)
    {
        return round;
    }
    let number = held_out.number(draw, low, high);
    let said = match number {
        _ if names => number.to_string(),
        0..=12 if draw.percent(15.0) => SMALL[number as usize].to_string(),
        1000..1500 | 2101.. if draw.chance(5) => grouped(number),
        _ => number.to_string(),
    };
    Drawn::new(said, number)
}

/// `12,500`.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 {
        "-".to_string()
    } else {
        String::new()
    };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A round number of thousands or millions, if the bounds leave room for one: `2.5 million`, `40k`.
fn round(draw: &mut Draw, low: i64, high: i64) -> Option<Drawn> {
    let (word, letter, unit, high) = match high {
        2_000_000.. if draw.chance(2) || low > 900_000 => ("million", "M", 1_000_000, high),
        20_000.. => ("thousand", "k", 1_000, high.min(999_000)),
        _ => return None,
    };
    let step = if draw.chance(3) { unit / 10 } else { unit };
    let number = draw.number((low.max(unit) + step - 1) / step, high / step) * step;
    let count = number as f64 / unit as f64;
    let said = match draw.index(10) {
        0..4 => format!("{count} {word}"),
        4..6 => format!("{count}{letter}"),
        6..9 => grouped(number),
        _ => number.to_string(),
    };
    Some(Drawn::new(said, number))
}

/// A sum of dollars between two bounds, every other time a round one.
pub(super) fn sum(draw: &mut Draw, held_out: &HeldOut, low: i64, high: i64) -> Drawn {
    let round = draw.chance(2).then(|| round(draw, low, high)).flatten();
    let Some(round) = round else {
        let amount = held_out.number(draw, low, high);
        return money(draw, amount);
    };
    let said = match draw.chance(3) {
        true => format!("{} dollars", round.said),
        false => format!("${}", round.said),
    };
    Drawn { said, ..round }
}

pub(super) fn money(draw: &mut Draw, amount: i64) -> Drawn {
    let said = match draw.index(10) {
        0..6 => format!("${amount}"),
        6..9 => format!("{amount} dollars"),
        _ => format!("${}", grouped(amount)),
    };
    Drawn::new(said, amount)
}

/// A percentage whose value is divided by `by`. Small ones, such as rates, sometimes have tenths.
pub(super) fn percent(draw: &mut Draw, low: i64, high: i64, by: i64) -> Drawn {
    let tenths = match high <= 40 && draw.percent(20.0) {
        true => draw.number(low * 10, high * 10),
        false => draw.number(low, high) * 10,
    };
    let percent = tenths as f64 / 10.0;
    let value = match tenths % (10 * by) {
        0 => Value::from(tenths / (10 * by)),
        _ => Value::from(tenths as f64 / (10 * by) as f64),
    };
    let sign = if draw.percent(70.0) { "%" } else { " percent" };
    Drawn::new(format!("{percent}{sign}"), value)
}
