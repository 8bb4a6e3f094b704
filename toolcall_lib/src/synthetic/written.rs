//! Arguments as they are in the files of `data/lists`.

use super::duration::Unit;
use super::said;
use super::value::{Argument, Kind};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// An argument as it is in a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    about: Vec<String>,
    #[serde(default)]
    optional: bool,
    default: Option<Value>,
    int: Option<(i64, i64)>,
    number: Option<(f64, f64, usize)>,
    money: Option<(i64, i64)>,
    percent: Option<(i64, i64)>,
    fraction: Option<(i64, i64)>,
    text: Option<Vec<String>>,
    list: Option<String>,
    /// True if values are called word for word, with their article.
    #[serde(default)]
    verbatim: bool,
    choice: Option<Choices>,
    flag: Option<Flag>,
    #[serde(default)]
    date: bool,
    #[serde(default)]
    past: bool,
    #[serde(default)]
    time: bool,
    #[serde(default)]
    when: bool,
    #[serde(default)]
    hour: bool,
    #[serde(default)]
    calendar: bool,
    duration: Option<Unit>,
    pattern: Option<String>,
    many: Option<Box<Written>>,
    count: Option<(usize, usize)>,
    fields: Option<IndexMap<String, Written>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Choices {
    Same(Vec<String>),
    Said(IndexMap<String, Vec<String>>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flag {
    yes: Vec<String>,
    no: Vec<String>,
}

/// Lists of strings by name, which arguments share.
pub(super) type Texts = IndexMap<String, Arc<[String]>>;

impl Written {
    /// Returns the argument `name`, with the strings of the lists that it names.
    pub(super) fn read(self, name: &str, lists: &Texts) -> Result<Argument, String> {
        let names = match self.names.is_empty() {
            true => vec![name.to_string()],
            false => self.names.clone(),
        };
        Ok(Argument {
            names,
            about: self.about.clone(),
            optional: self.optional,
            default: self.default.clone(),
            kind: self
                .kind(lists)
                .map_err(|problem| format!("argument `{name}`: {problem}"))?,
        })
    }

    fn kind(self, lists: &Texts) -> Result<Kind, String> {
        let mut kinds: Vec<Kind> = Vec::new();
        if let Some((low, high)) = self.int {
            kinds.push(Kind::Int(low, high));
        }
        if let Some((low, high, decimals)) = self.number {
            kinds.push(Kind::Number(low, high, decimals));
        }
        if let Some((low, high)) = self.money {
            kinds.push(Kind::Money(low, high));
        }
        kinds.extend(self.percent.map(|(low, high)| Kind::Percent(low, high)));
        kinds.extend(self.fraction.map(|(low, high)| Kind::Fraction(low, high)));
        let called = |texts: &Arc<[String]>| match self.verbatim {
            true => Arc::clone(texts),
            false => said::without_articles(texts),
        };
        kinds.extend(self.text.map(|texts| Kind::Text(called(&texts.into()))));
        if let Some(list) = &self.list {
            let texts = lists
                .get(list)
                .ok_or_else(|| format!("there is no list `{list}` in values.toml"))?;
            kinds.push(Kind::Text(called(texts)));
        }
        kinds.extend(self.choice.map(|choices| {
            Kind::Choice(match choices {
                Choices::Same(values) => values
                    .into_iter()
                    .map(|value| (value.as_str().into(), vec![value]))
                    .collect(),
                Choices::Said(said) => said
                    .into_iter()
                    .map(|(value, said)| (value.into(), said))
                    .collect(),
            })
        }));
        kinds.extend(self.flag.map(|flag| Kind::Flag(flag.yes, flag.no)));
        kinds.extend(self.date.then_some(Kind::Date));
        kinds.extend(self.past.then_some(Kind::Past));
        kinds.extend(self.time.then_some(Kind::Time));
        kinds.extend(self.when.then_some(Kind::When));
        kinds.extend(self.hour.then_some(Kind::Hour));
        kinds.extend(self.calendar.then_some(Kind::Calendar));
        kinds.extend(self.duration.map(Kind::Duration));
        kinds.extend(self.pattern.map(Kind::Pattern));
        if let Some(each) = self.many {
            kinds.push(Kind::Many(Box::new(each.kind(lists)?), self.count));
        }
        if let Some(fields) = self.fields {
            let read = |(name, field): (String, Self)| Ok((name.clone(), field.read(&name, lists)?));
            kinds.push(Kind::Fields(
                fields.into_iter().map(read).collect::<Result<_, String>>()?,
            ));
        }
        match kinds.len() {
            1 => Ok(kinds.remove(0)),
            count => Err(format!(
                "has {count} kinds of values; give one of int, number, money, percent, fraction, text, list, choice, \
                 flag, date, past, time, when, hour, calendar, duration, pattern, many, fields"
            )),
        }
    }
}
