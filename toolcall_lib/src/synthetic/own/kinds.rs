//! Arguments of a user's tool: finds the source of their values in the schema and in the rows.

use super::found::{Form, find};
use super::schema::unwrapped;
use super::words::words;
use crate::synthetic::bounds::LARGEST;
use crate::synthetic::duration::Unit;
use crate::synthetic::lists::{Lists, is_name};
use crate::synthetic::said::{behind_article, is_renamed, words_of_code};
use crate::synthetic::skill::WAYS;
use crate::synthetic::value::{Argument, Kind, text_of};
use indexmap::IndexMap;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The words of a row, and the value that its call gave to an argument.
pub(super) type Seen<'a> = (&'a str, Value);

/// Most lists in lists; a schema that refers to itself has more.
const MOST_DEPTH: usize = 4;

/// Finds the source of the values of arguments.
#[derive(Clone, Copy)]
pub(super) struct Kinds<'a> {
    lists: &'a Lists,
    /// The schema that references lead into.
    root: &'a Value,
    /// Number of objects and lists around the argument.
    depth: usize,
}

impl<'a> Kinds<'a> {
    pub(super) fn new(lists: &'a Lists, root: &'a Value) -> Self {
        Self {
            lists,
            root,
            depth: 0,
        }
    }

    fn inside(self) -> Self {
        Self {
            depth: self.depth + 1,
            ..self
        }
    }

    /// Returns the arguments that a schema of an object has, by slot.
    pub(super) fn arguments(self, schema: &Value, seen: &[Seen<'_>]) -> IndexMap<String, Argument> {
        let mut arguments = IndexMap::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let its = seen
                .iter()
                .filter_map(|(said, value)| Some((*said, value.get(name)?.clone())));
            let seen: Vec<Seen<'_>> = its.collect();
            let required = schema["required"]
                .as_array()
                .is_some_and(|names| names.iter().any(|it| it == name));
            let mut slot = slot_of(name);
            while arguments.contains_key(&slot) {
                slot.push('_');
            }
            arguments.insert(slot, self.argument(name, property, &seen, required));
        }
        arguments
    }

    fn argument(self, name: &str, schema: &Value, seen: &[Seen<'_>], required: bool) -> Argument {
        let schema = unwrapped(self.root, schema);
        let about = schema["description"].as_str().unwrap_or_default();
        let default = schema.get("default").filter(|value| !value.is_null());
        Argument {
            names: vec![name.to_string()],
            about: vec![about.to_string()],
            optional: !required,
            default: default.cloned(),
            kind: self.kind(name, about, &schema, seen),
        }
    }

    /// Returns an object of named fields. Takes the objects of the rows if it is itself in another
    /// object or in a list, or if no sentence names the values of a field.
    fn object(self, schema: &Value, seen: &[Seen<'_>]) -> Kind {
        if self.depth > 0 {
            return as_in_rows(seen);
        }
        let fields = self.inside().arguments(schema, seen);
        match fields.is_empty() || fields.values().any(|field| field.kind.is_unspoken()) {
            true => as_in_rows(seen),
            false => Kind::Fields(fields),
        }
    }

    /// Returns a list. Takes the lists of the rows if no sentence names their items.
    fn list(self, name: &str, schema: &Value, seen: &[Seen<'_>]) -> Kind {
        if self.depth >= MOST_DEPTH {
            return as_in_rows(seen);
        }
        let items: Vec<Seen<'_>> = seen.iter().flat_map(|(_, value)| items_of(value)).collect();
        let item = self.inside().argument(name, &schema["items"], &items, true);
        match item.kind.is_unspoken() {
            true => as_in_rows(seen),
            false => Kind::Many(Box::new(item.kind), None),
        }
    }

    fn kind(self, name: &str, about: &str, schema: &Value, seen: &[Seen<'_>]) -> Kind {
        if let Some(values) = schema["enum"].as_array() {
            let values = values.iter().filter(|value| !value.is_null());
            let said = |value: &Value| match value.as_str() {
                Some(text) => sayings(text, about),
                None => vec![text_of(value)],
            };
            return Kind::Choice(values.map(|value| (value.clone(), said(value))).collect());
        }
        let form = seen
            .iter()
            .find_map(|(said, value)| find(said, value))
            .map(|found| found.form);
        let words = words(&format!("{name} {about}"));
        match schema["type"].as_str() {
            Some("boolean") => Kind::Flag(vec!["yes".into()], vec!["no".into()]),
            Some("integer") => integer(form, &words, schema, seen),
            Some("number") => number(form, &words, schema, seen),
            Some("array") => self.list(name, schema, seen),
            Some("object") => self.object(schema, seen),
            None if schema["properties"].is_object() => self.object(schema, seen),
            _ => text(self.lists, form, name, about, &words, seen),
        }
    }
}

/// Returns a name for slots: letters, digits and `_`, without an ending that a slot gives meaning.
fn slot_of(name: &str) -> String {
    let fits = |c: char| if c.is_alphanumeric() { c } else { '_' };
    let mut slot: String = name.chars().map(fits).collect();
    if slot.is_empty() || WAYS.iter().any(|way| slot.ends_with(way)) {
        slot.push('_');
    }
    slot
}

/// Returns the values of the rows, of which each is taken whole.
fn as_in_rows(seen: &[Seen<'_>]) -> Kind {
    let mut values: Vec<(Value, Vec<String>)> = Vec::new();
    for (_, value) in seen {
        if values.iter().all(|(known, _)| known != value) {
            values.push((value.clone(), Vec::new()));
        }
    }
    Kind::Choice(values)
}

/// Ways to say a value of an enum: its words, and what the description says of it, as in `MTB29 is
/// the mountain bike` or `flat_fix for a flat tire`.
fn sayings(value: &str, about: &str) -> Vec<String> {
    let has_digits = value.chars().any(|c| c.is_ascii_digit());
    let mut sayings = match has_digits {
        true => Vec::new(),
        false => vec![words_of_code(value)],
    };
    let mentions = about
        .match_indices(value)
        .map(|(at, _)| &about[at + value.len()..]);
    for behind in mentions {
        let phrase = behind.split([',', ';', '.', ')']).next().unwrap_or_default();
        let phrase = phrase.trim_start_matches([':', '=', ' ', '(', '"', '`', '\'']);
        let links = ["is ", "means ", "for ", "if ", "when ", "while ", "= ", "or "];
        let plain = links
            .iter()
            .find_map(|link| phrase.strip_prefix(link))
            .unwrap_or(phrase);
        let bare = behind_article(plain).unwrap_or(plain);
        if bare.len() > 2 && bare.split(' ').count() <= 8 {
            sayings.push(bare.trim().to_string());
        }
    }
    if sayings.is_empty() {
        sayings.push(value.to_string());
    }
    sayings
}

fn items_of(value: &Value) -> Vec<Seen<'static>> {
    let items = value.as_array().into_iter().flatten();
    items.map(|item| ("", item.clone())).collect()
}

/// Returns the limits of the schema, and these for the sides that it leaves open. A side moves
/// where the limit on the other lies beyond it. `step` is the distance from an exclusive limit.
fn bounds(schema: &Value, low: f64, high: f64, step: f64) -> (f64, f64) {
    let limit = |inclusive: &str, exclusive: &str, step: f64| {
        let exclusive = schema[exclusive].as_f64().map(|limit| limit + step);
        schema[inclusive].as_f64().or(exclusive)
    };
    let least = limit("minimum", "exclusiveMinimum", step);
    let most = limit("maximum", "exclusiveMaximum", -step);
    let far = |limit: f64| 9.0 * limit.abs().max(10.0);
    let (low, high) = match (least, most) {
        (Some(least), Some(most)) => (least, most),
        (Some(least), None) if least >= high => (least, least + far(least)),
        (None, Some(most)) if most <= low => (most - far(most), most),
        _ => (least.unwrap_or(low), most.unwrap_or(high)),
    };
    let within = |limit: f64| limit.clamp(-(LARGEST as f64), LARGEST as f64);
    (within(low), within(high))
}

fn integer(form: Option<Form>, words: &BTreeSet<String>, schema: &Value, seen: &[Seen<'_>]) -> Kind {
    if let Some(Form::Duration(unit)) = form {
        return Kind::Duration(unit);
    }
    let has = |word: &str| words.contains(word);
    if seen.is_empty() && has("seconds") && (has("duration") || has("length") || has("timer")) {
        return Kind::Duration(Unit::Seconds);
    }
    let numbers: Vec<i64> = seen.iter().filter_map(|(_, value)| value.as_i64()).collect();
    let (low, high) = match (numbers.iter().min(), numbers.iter().max()) {
        (Some(&low), Some(&high)) if low >= 1000 && digits(low) == digits(high) => {
            (10_i64.pow(digits(low) - 1), 10_i64.pow(digits(low)) - 1) // most likely a number that names something
        }
        (Some(&low), Some(&high)) => (low.min(1), high.saturating_mul(2).max(10)),
        _ => (1, 100),
    };
    let (low, high) = bounds(schema, low as f64, high as f64, 1.0);
    let (low, high) = (low.ceil() as i64, high.floor() as i64);
    match form == Some(Form::Money) || (seen.is_empty() && (has("dollars") || has("price"))) {
        true => Kind::Money(low, high),
        false => Kind::Int(low, high),
    }
}

fn digits(number: i64) -> u32 {
    number.checked_ilog10().unwrap_or(0).min(17) + 1
}

fn number(form: Option<Form>, words: &BTreeSet<String>, schema: &Value, seen: &[Seen<'_>]) -> Kind {
    let numbers: Vec<f64> = seen.iter().filter_map(|(_, value)| value.as_f64()).collect();
    let high = numbers.iter().copied().fold(f64::MIN, f64::max);
    let low = numbers.iter().copied().fold(f64::MAX, f64::min);
    let (low, high) = match numbers.is_empty() {
        true => (1.0, 100.0),
        false => (low.min(1.0), (2.0 * high).max(10.0)),
    };
    let (low, high) = bounds(schema, low, high, 0.1);
    let whole = !numbers.is_empty() && numbers.iter().all(|number| number.fract() == 0.0);
    match form == Some(Form::Money) || words.contains("dollars") {
        true => Kind::Money(low as i64, high as i64),
        false => Kind::Number(low, high, if whole { 0 } else { 1 }),
    }
}

fn text(
    lists: &Lists,
    form: Option<Form>,
    name: &str,
    about: &str,
    words: &BTreeSet<String>,
    seen: &[Seen<'_>],
) -> Kind {
    let format = about.to_uppercase();
    if form == Some(Form::Date) || (seen.is_empty() && format.contains("YYYY-MM-DD")) {
        return Kind::Date;
    }
    if form == Some(Form::Time) || (seen.is_empty() && format.contains("HH:MM")) {
        return Kind::Time;
    }
    let texts: Vec<&str> = seen.iter().filter_map(|(_, value)| value.as_str()).collect();
    let named = |text: &&str| {
        let digit = text.chars().any(|c| c.is_ascii_digit());
        digit
            && !text.contains(' ')
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-/#".contains(c))
    };
    if !texts.is_empty() && texts.iter().all(named) {
        return Kind::Pattern(pattern(texts[0]));
    }
    let own: Vec<String> = texts.iter().map(|text| text.to_string()).collect();
    let more = lists
        .list_for(&format!("{name} {about}"))
        .or_else(|| lists.known_list(&own))
        .or_else(|| similar(lists, name, words, &texts))
        .unwrap_or_else(|| {
            let names = !texts.is_empty() && texts.iter().all(|text| is_name(text));
            lists.any_texts(length_of(&texts), names).into()
        });
    // In the rows of the user a value is as it was said.
    let more: Vec<String> = more.iter().filter(|text| !is_renamed(text)).cloned().collect();
    let mut own: Vec<String> = own.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    if !own.is_empty() {
        own = own
            .iter()
            .cycle()
            .take(own.len().max(more.len() / 2))
            .cloned()
            .collect(); // a third of the draws
    }
    Kind::Text([&own[..], &more[..]].concat().into())
}

/// The mean number of words.
fn length_of(texts: &[&str]) -> Option<f64> {
    let words: usize = texts.iter().map(|text| text.split(' ').count()).sum();
    (!texts.is_empty()).then(|| words as f64 / texts.len() as f64)
}

fn pattern(text: &str) -> String {
    let sign = |c: char| match c {
        c if c.is_ascii_digit() => '0',
        c if c.is_ascii_uppercase() => 'A',
        other => other,
    };
    text.chars().map(sign).collect()
}

/// The strings of the argument of any skill that is most like this one in name and description,
/// with strings about as long.
fn similar(lists: &Lists, name: &str, wanted: &BTreeSet<String>, seen: &[&str]) -> Option<Arc<[String]>> {
    let wanted_length = length_of(seen);
    let own = words(name);
    let candidates = lists.arguments().filter_map(|argument| {
        let Kind::Text(texts) = &argument.kind else {
            return None;
        };
        let its: Vec<&str> = texts.iter().map(String::as_str).collect();
        if its.iter().all(|text| is_renamed(text)) {
            return None;
        }
        let far = |(its, wanted): (f64, f64)| (its - wanted).abs() > 1.5;
        if length_of(&its).zip(wanted_length).is_some_and(far) {
            return None;
        }
        let named = argument.names.iter().map(|name| words(name));
        let named = named.map(|name| name.intersection(&own).count()).max()?;
        let about = argument.about.iter().map(|about| words(about));
        let about = about.map(|about| {
            about
                .intersection(wanted)
                .filter(|word| !own.contains(*word))
                .count()
        });
        let about = about.max()?;
        (named > 0 && about > 0 || about > 2).then_some((3 * named + about, texts))
    });
    candidates
        .max_by_key(|(score, texts)| (*score, texts.len()))
        .map(|(_, texts)| texts.clone())
}
