//! Dialogues that a file writes out turn by turn: chains of calls, confirmations, refusals.

use super::draw::Draw;
use super::held_out::HeldOut;
use super::request::{Answered, steps};
use super::row::Row;
use super::said::{Drawn, Values};
use super::sentence::{Sentence, upper};
use super::skill::{Skill, plain};
use super::text::{Part, Template};
use super::tools::Listed;
use super::value::Kind;
use super::written::{Texts, Written};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

/// A dialogue of a subject.
#[derive(Clone, Debug)]
pub(super) struct Dialogue {
    /// Weight of the dialogue: how often it comes, compared with the others of its subject.
    pub(super) weight: f64,
    system: Option<Template>,
    values: IndexMap<String, Kind>,
    turns: Vec<Turn>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Turn {
    User(Template),
    Says(Template),
    Calls(Vec<WrittenCall>),
}

/// A call; a string that is one slot becomes the value of the slot, of any type.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCall {
    tool: String,
    #[serde(default)]
    args: IndexMap<String, Value>,
    result: Template,
}

/// A dialogue as it is in a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenDialogue {
    #[serde(default = "one")]
    weight: f64,
    system: Option<Template>,
    #[serde(default)]
    values: IndexMap<String, Written>,
    turns: Vec<Turn>,
}

fn one() -> f64 {
    1.0
}

impl WrittenDialogue {
    /// Checks and returns the dialogue, or returns the problem.
    pub(super) fn read(self, skills: &[Skill], lists: &Texts) -> Result<Dialogue, String> {
        let values = self.values.into_iter();
        let values = values.map(|(name, written)| {
            let argument = written.read(&name, lists)?;
            Ok((name, argument.kind))
        });
        let dialogue = Dialogue {
            weight: self.weight,
            system: self.system,
            values: values.collect::<Result<_, String>>()?,
            turns: self.turns,
        };
        dialogue.check(skills)?;
        Ok(dialogue)
    }
}

impl Dialogue {
    fn calls(&self) -> impl Iterator<Item = &WrittenCall> {
        let calls = self.turns.iter().map(|turn| match turn {
            Turn::Calls(calls) => &calls[..],
            _ => &[],
        });
        calls.flatten()
    }

    /// Returns the texts of the user.
    #[cfg(test)]
    pub(super) fn user_texts(&self) -> impl Iterator<Item = &Template> {
        self.turns.iter().filter_map(|turn| match turn {
            Turn::User(text) => Some(text),
            _ => None,
        })
    }

    fn check(&self, skills: &[Skill]) -> Result<(), String> {
        let known = |slot: &str| self.values.contains_key(slot);
        let texts = self.turns.iter().flat_map(|turn| match turn {
            Turn::User(text) | Turn::Says(text) => vec![text],
            Turn::Calls(calls) => calls.iter().map(|call| &call.result).collect(),
        });
        for slot in texts.chain(&self.system).flat_map(Template::slots) {
            if !known(&plain(slot)) {
                return Err(format!(
                    "a dialogue has `{{{}}}`, which `values` lacks",
                    slot.name
                ));
            }
        }
        for call in self.calls() {
            let skill = skills.iter().find(|skill| skill.id() == call.tool);
            let skill =
                skill.ok_or_else(|| format!("a dialogue calls `{}`, which is not a skill", call.tool))?;
            let texts = call.args.values().filter_map(Value::as_str);
            for slot in texts
                .map(Template::with_slots)
                .flat_map(|text| text.slots().into_iter().map(plain).collect::<Vec<_>>())
            {
                if !known(&slot) {
                    return Err(format!(
                        "a call of `{}` has `{{{slot}}}`, which `values` lacks",
                        call.tool
                    ));
                }
            }
            if let Some(name) = call.args.keys().find(|name| skill.argument(name).is_none()) {
                return Err(format!("a dialogue gives `{}` an argument `{name}`", call.tool));
            }
        }
        Ok(())
    }

    /// Returns true if the list has every tool that is called.
    pub(super) fn fits(&self, tools: &[Listed<'_>]) -> bool {
        let has = |name: &str| tools.iter().any(|tool| tool.skill.id() == name);
        self.calls().all(|call| has(&call.tool))
    }

    /// Returns the dialogue with drawn values.
    pub(super) fn row(&self, tools: &[Listed<'_>], draw: &mut Draw, held_out: &HeldOut) -> Row {
        let values: Values = self
            .values
            .iter()
            .map(|(name, kind)| (name.clone(), kind.draw(draw, held_out)))
            .collect();
        let text = |template: &Template, draw: &mut Draw| {
            let parts: Vec<Part> = template.choose(draw);
            Sentence::fill(&parts, std::slice::from_ref(&values)).text()
        };
        let mut row = Row::default();
        if let Some(system) = &self.system {
            row = row.system(text(system, draw));
        }
        for turn in &self.turns {
            row = match turn {
                Turn::User(template) => row.user(upper(&text(template, draw))),
                Turn::Says(template) => row.says(text(template, draw)),
                Turn::Calls(calls) => {
                    let answered = calls.iter().filter_map(|call| {
                        let tool = tools.iter().find(|tool| tool.skill.id() == call.tool)?;
                        let given = call.args.iter().map(|(name, value)| {
                            let drawn = resolved(value, &values);
                            (name.clone(), drawn)
                        });
                        let given: Values = given.collect();
                        Some(Answered {
                            call: tool.call(&given),
                            worked: steps(&given),
                            result: text(&call.result, draw),
                        })
                    });
                    let answered: Vec<Answered> = answered.collect();
                    row.calls(answered)
                }
            };
        }
        row
    }
}

/// Returns the value of an argument: that of a slot, of any type; a string with slots filled in; or
/// the value itself.
fn resolved(value: &Value, values: &Values) -> Drawn {
    let Some(text) = value.as_str() else {
        return Drawn::new(value.to_string(), value.clone());
    };
    let slot = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    if let Some(drawn) = slot.and_then(|slot| values.get(slot)) {
        return drawn.clone();
    }
    let parts: Vec<Part> = Template::with_slots(text).given_parts();
    Drawn::text(Sentence::fill(&parts, std::slice::from_ref(values)).text())
}
