//! Tools of a list: skills under names, as a model is shown them.

use super::bounds::{Bounds, limit, limits, say_limits};
use super::draw::Draw;
use super::fashion::{Fashion, Style, joined, of_arguments};
use super::said::Values;
use super::skill::Skill;
use super::value::{Argument, Kind, object};
use crate::error::Result;
use crate::tool::{ToolCall, ToolSchema};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

/// A skill under a name.
#[derive(Clone, Debug)]
pub(super) struct Listed<'a> {
    pub(super) skill: &'a Skill,
    pub(super) name: String,
    /// The names of arguments and fields, by slot.
    names: IndexMap<String, String>,
    /// The lowest and the highest number that the schema allows, by slot.
    pub(super) limits: IndexMap<String, Bounds>,
    pub(super) schema: ToolSchema,
}

impl<'a> Listed<'a> {
    pub(super) fn new(skill: &'a Skill, fashion: &Fashion, draw: &mut Draw) -> Result<Self> {
        let canonical = fashion.style == Style::Canonical;
        // 1. Name and description.
        let name = match fashion.style {
            Style::Canonical => skill.id().to_string(),
            Style::Masked => format!("{}{}", fashion.mask, 1 + draw.index(99)),
            style => {
                let name = draw.text(&skill.names);
                match style {
                    Style::Dotted => format!("{}{}", fashion.prefix, joined(&name, style)),
                    _ => joined(&format!("{}{name}", fashion.prefix), style),
                }
            }
        };
        let about = match canonical {
            true => skill.about[0].clone(),
            false => draw.text(&skill.about),
        };
        // 2. With canonical names, a schema that the skill has stays as it is.
        let mut names = IndexMap::new();
        if let Some(schema) = skill.schema.as_ref().filter(|_| canonical) {
            parameters(&skill.arguments, "", fashion, draw, &mut names);
            return Ok(Self {
                skill,
                name,
                limits: limits(&schema.parameters()["properties"], &names),
                names,
                schema: schema.clone(),
            });
        }
        // 3. Otherwise write the schema in the fashion of the list.
        let mut parameters = parameters(&skill.arguments, "", fashion, draw, &mut names);
        let limits = limits(&parameters["properties"], &names);
        say_limits(&mut parameters["properties"], draw);
        let schema = ToolSchema::new(json!({
            "type": "function",
            "function": {"name": name, "description": about, "parameters": parameters}
        }))?;
        Ok(Self {
            skill,
            name,
            names,
            limits,
            schema,
        })
    }

    /// Returns the call with these values.
    pub(super) fn call(&self, values: &Values) -> ToolCall {
        let name = |slot: &str| self.names.get(slot).cloned().unwrap_or_default();
        let value = |slot: &str| values.get(slot).map(|drawn| drawn.value.clone());
        let mut arguments = Map::new();
        for (slot, argument) in &self.skill.arguments {
            let given = match &argument.kind {
                Kind::Fields(fields) => {
                    let slots = fields.keys().map(|field| format!("{slot}.{field}"));
                    let given = object(slots.map(|slot| (name(&slot), value(&slot))));
                    given
                        .as_object()
                        .is_some_and(|fields| !fields.is_empty())
                        .then_some(given)
                }
                _ => value(slot),
            };
            arguments.extend(given.map(|given| (name(slot), given)));
        }
        ToolCall {
            id: None,
            name: self.name.clone(),
            arguments,
        }
    }
}

/// Returns the schema of arguments; `names` gets the name of each slot.
fn parameters(
    arguments: &IndexMap<String, Argument>,
    before: &str,
    fashion: &Fashion,
    draw: &mut Draw,
    names: &mut IndexMap<String, String>,
) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (index, (key, argument)) in arguments.iter().enumerate() {
        let slot = format!("{before}{key}");
        let name = match fashion.style {
            Style::Canonical => argument.names[0].clone(),
            Style::Masked => format!("arg_{}", index + 1),
            style => {
                let [prefix, suffix] = fashion.around;
                let word = draw.text(&argument.names);
                joined(&format!("{prefix}{word}{suffix}"), of_arguments(style))
            }
        };
        let mut schema = argument.kind.schema(draw);
        if let Kind::Fields(fields) = &argument.kind {
            let inner = parameters(fields, &format!("{slot}."), fashion, draw, names);
            schema = inner;
        }
        // A schema has to say whether 5 % is 5: rates without a notation are fractions.
        let described = fashion.described || matches!(argument.kind, Kind::Percent(..));
        if described && !argument.about.is_empty() {
            schema["description"] = description(argument, fashion, draw).into();
        }
        if fashion.limited {
            limit(argument, &mut schema);
        }
        if let Some(default) = &argument.default {
            schema["default"] = default.clone();
        }
        if !argument.optional {
            required.push(name.clone());
        }
        names.insert(slot, name.clone());
        properties.insert(name, schema);
    }
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn description(argument: &Argument, fashion: &Fashion, draw: &mut Draw) -> String {
    let about = match fashion.style {
        Style::Canonical => argument.about[0].clone(),
        _ => draw.text(&argument.about),
    };
    if let Some(meanings) = argument.kind.meanings().filter(|_| fashion.explained) {
        return format!("{}. {meanings}.", about.trim_end_matches('.'));
    }
    match argument.kind.format(draw) {
        Some((mark, format)) if !about.to_lowercase().contains(&mark.to_lowercase()) => {
            format!("{}, {format}.", about.trim_end_matches('.'))
        }
        _ => about,
    }
}

/// Returns the tools of these skills in this fashion. After 20 tries, drops a tool whose name is
/// taken.
pub(super) fn listed<'a>(
    skills: &[&'a Skill],
    fashion: &Fashion,
    draw: &mut Draw,
) -> Result<Vec<Listed<'a>>> {
    let mut tools: Vec<Listed<'a>> = Vec::new();
    for skill in skills {
        let taken = |tool: &Listed<'_>| tools.iter().any(|other| other.name == tool.name);
        let mut tool = Listed::new(skill, fashion, draw)?;
        for _ in 0..20 {
            if taken(&tool) {
                tool = Listed::new(skill, fashion, draw)?;
            }
        }
        if !taken(&tool) {
            tools.push(tool);
        }
    }
    Ok(tools)
}
