//! Skills: things that a tool can do, with the ways to ask for them.

use super::text::{Slot, Template};
use super::value::{Argument, Kind};
use super::written::{Texts, Written};
use crate::tool::ToolSchema;
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Something that a tool can do.
#[derive(Clone, Debug)]
pub(super) struct Skill {
    /// Names that a tool may have, words joined by `_`. The first identifies the skill.
    pub(super) names: Vec<String>,
    /// Descriptions.
    pub(super) about: Vec<String>,
    pub(super) arguments: IndexMap<String, Argument>,
    /// Requests.
    pub(super) asks: Vec<Ask>,
    /// Requests for several calls, whose slots are numbered: `{city#1} and {city#2}`.
    pub(super) several: Vec<Template>,
    /// Requests that lack an argument, each with the question for it.
    pub(super) vague: Vec<(Template, Template)>,
    /// Sentences on the subject that ask for nothing.
    pub(super) near: Vec<Template>,
    /// Requests on the subject that no tool of it serves.
    pub(super) beyond: Vec<Template>,
    /// The answer of the tool.
    pub(super) result: Template,
    /// The sentence that reports it; `None`: a row ends with the calls.
    pub(super) reply: Option<Template>,
    /// The schema under the first name, if it is given and not generated.
    pub(super) schema: Option<ToolSchema>,
}

/// A request, with the values of arguments that its words imply.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ask {
    pub(super) text: Template,
    pub(super) implied: IndexMap<String, Value>,
    /// The answer of the tool and the report, if they are not those of the skill.
    pub(super) answer: Option<(Template, Template)>,
}

impl From<Template> for Ask {
    fn from(text: Template) -> Self {
        Self {
            text,
            implied: IndexMap::new(),
            answer: None,
        }
    }
}

/// A skill as it is in a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSkill {
    names: Vec<String>,
    about: Vec<String>,
    #[serde(default)]
    args: IndexMap<String, Written>,
    asks: Vec<Template>,
    #[serde(default)]
    several: Vec<Template>,
    #[serde(default)]
    vague: Vec<(Template, Template)>,
    #[serde(default)]
    near: Vec<Template>,
    result: String,
    reply: Template,
}

impl WrittenSkill {
    /// Checks and returns the skill; the error names it.
    pub(super) fn read(self, lists: &Texts) -> Result<Skill, String> {
        let name = self.names.first().cloned().unwrap_or_default();
        self.read_unnamed(lists)
            .and_then(|skill| skill.check().map(|()| skill))
            .map_err(|problem| format!("skill `{name}`: {problem}"))
    }

    fn read_unnamed(self, lists: &Texts) -> Result<Skill, String> {
        let read = |(name, argument): (String, Written)| Ok((name.clone(), argument.read(&name, lists)?));
        let json = self.result.starts_with(['{', '[']);
        Ok(Skill {
            names: self.names,
            about: self.about,
            arguments: self.args.into_iter().map(read).collect::<Result<_, String>>()?,
            asks: self.asks.into_iter().map(Ask::from).collect(),
            several: self.several,
            vague: self.vague,
            near: self.near,
            beyond: Vec::new(),
            result: match json {
                true => Template::with_slots(&self.result),
                false => Template::try_from(self.result)?,
            },
            reply: Some(self.reply),
            schema: None,
        })
    }
}

impl Skill {
    /// The name that identifies it.
    pub(super) fn id(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// The argument, or field of one, that a slot stands for.
    pub(super) fn argument(&self, slot: &str) -> Option<&Argument> {
        let (name, field) = match slot.split_once('.') {
            Some((name, field)) => (name, Some(field)),
            None => (slot, None),
        };
        let argument = self.arguments.get(name)?;
        match (field, &argument.kind) {
            (None, _) => Some(argument),
            (Some(field), Kind::Fields(fields)) => fields.get(field),
            (Some(_), _) => None,
        }
    }

    /// The slots that every request must fill, in the order of the file.
    pub(super) fn required(&self) -> Vec<String> {
        let required = self.arguments.iter().filter(|(_, argument)| !argument.optional);
        let slots = required.flat_map(|(name, argument)| match &argument.kind {
            Kind::Fields(fields) => fields
                .iter()
                .filter(|(_, field)| !field.optional)
                .map(|(field, _)| format!("{name}.{field}"))
                .collect(),
            _ => vec![name.clone()],
        });
        slots.collect()
    }

    fn check(&self) -> Result<(), String> {
        if self.names.is_empty() || self.about.is_empty() || self.asks.is_empty() {
            return Err("needs `names`, `about` and `asks`".into());
        }
        let vague = self.vague.iter().flat_map(|(ask, question)| [ask, question]);
        let asks = self.asks.iter().map(|ask| &ask.text);
        let texts = asks.clone().chain(&self.several).chain(vague).chain(&self.near);
        for slot in texts
            .chain([&self.result])
            .chain(&self.reply)
            .flat_map(Template::slots)
        {
            if self.argument(&plain(slot)).is_none() {
                return Err(format!(
                    "a text has `{{{}}}`, which is not an argument",
                    slot.name
                ));
            }
        }
        let required = self.required();
        for ask in asks.chain(&self.several) {
            let certain: BTreeSet<String> = ask.certain_slots().into_iter().map(plain).collect();
            if let Some(lacking) = required.iter().find(|slot| !certain.contains(*slot)) {
                return Err(format!(
                    "a request does not always name `{lacking}`; write {{{lacking}}} outside of brackets \
                     or make the argument optional: {ask:?}"
                ));
            }
        }
        Ok(())
    }
}

/// Ways to say a value that a slot may ask for: `{duration_adjective}`.
pub(super) const WAYS: [&str; 3] = ["_adjective", "_value", "_context"];

/// The argument of a slot, without the way to say it.
pub(super) fn plain(slot: &Slot) -> String {
    let ways = WAYS.iter().find_map(|way| slot.name.strip_suffix(way));
    ways.unwrap_or(&slot.name).to_string()
}
