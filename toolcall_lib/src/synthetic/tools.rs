//! Tools of a list: skills under names, as a model is shown them.

use super::bounds::{Bounds, limit, limits, say_limits};
use super::draw::Draw;
use super::lists::{Lists, Subject};
use super::said::Drawn;
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

/// Values by slot.
pub(super) type Values = IndexMap<String, Drawn>;

/// Style of the names of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// The first name and description of each skill, as the file has them.
    Canonical,
    /// `set_light(room_name)`
    Snake,
    /// `setLight(roomName)`
    Camel,
    /// `SetLight(roomName)`
    Pascal,
    /// `Set_Light(roomName)`
    Title,
    /// `home.set_light(room_name)`
    Dotted,
    /// `tool_17(arg_1)`: only the description tells what the tool does.
    Masked,
}

const STYLES: [(Style, f64); 6] = [
    (Style::Snake, 40.0),
    (Style::Camel, 14.0),
    (Style::Pascal, 8.0),
    (Style::Title, 10.0),
    (Style::Dotted, 14.0),
    (Style::Masked, 14.0),
];

/// Features that the names and schemas of a list share.
#[derive(Clone, Debug)]
pub(super) struct Fashion {
    style: Style,
    /// Text before the name of every tool.
    prefix: String,
    /// Text before and after the name of every argument.
    around: [&'static str; 2],
    /// Text before the number of a masked tool.
    mask: &'static str,
    /// True if arguments have descriptions.
    described: bool,
    /// True if numbers have limits.
    limited: bool,
    /// True if descriptions say what the values of an enum mean.
    explained: bool,
}

impl Fashion {
    /// Returns the fashion with the names of the files.
    pub(super) fn canonical() -> Self {
        Self {
            style: Style::Canonical,
            prefix: String::new(),
            around: ["", ""],
            mask: "",
            described: true,
            limited: false,
            explained: false,
        }
    }

    pub(super) fn draw(draw: &mut Draw, subject: &Subject) -> Self {
        let style = STYLES[draw.weighted(&STYLES.map(|(_, weight)| weight))].0;
        let prefixes = ["app_", "my_", "do_", "user_", "service_", "api_", "run_"];
        let prefix = match style {
            Style::Dotted => format!("{}.", draw.text(&[subject.name.as_str(), "api", "tools", "core"])),
            Style::Masked => String::new(),
            _ if draw.chance(4) => draw.text(&prefixes),
            _ => String::new(),
        };
        let around = [
            ["", ""],
            ["the_", ""],
            ["new_", ""],
            ["input_", ""],
            ["user_", ""],
            ["", "_value"],
            ["", "_info"],
            ["", "_field"],
        ];
        Self {
            style,
            prefix,
            around: match draw.chance(4) {
                true => around[draw.index(around.len())],
                false => around[0],
            },
            mask: ["tool_", "func_", "fn", "action", "cmd_", "op_"][draw.index(6)],
            described: !draw.chance(12) || style == Style::Masked,
            limited: draw.chance(2),
            explained: draw.chance(2),
        }
    }
}

/// Joins the words of a name in the way of a style.
fn joined(words: &str, style: Style) -> String {
    let upper = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(char::to_uppercase).into_iter().flatten();
        first.chain(letters).collect::<String>()
    };
    let words: Vec<&str> = words.split('_').collect();
    match style {
        Style::Canonical | Style::Snake | Style::Dotted | Style::Masked => words.join("_"),
        Style::Pascal => words.iter().map(|word| upper(word)).collect(),
        Style::Title => words.iter().map(|word| upper(word)).collect::<Vec<_>>().join("_"),
        Style::Camel => {
            let rest = words.iter().skip(1).map(|word| upper(word));
            std::iter::once(words[0].to_string()).chain(rest).collect()
        }
    }
}

/// Returns the style of arguments beside tools of this style.
fn of_arguments(style: Style) -> Style {
    match style {
        Style::Pascal | Style::Title => Style::Camel,
        other => other,
    }
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
        if fashion.described && !argument.about.is_empty() {
            schema["description"] = description(argument, fashion, draw).into();
        }
        if fashion.limited {
            limit(&argument.kind, &mut schema);
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
    match argument.kind.format() {
        Some((mark, format)) if !about.to_lowercase().contains(&mark.to_lowercase()) => {
            format!("{}, {format}.", about.trim_end_matches('.'))
        }
        _ => about,
    }
}

/// Returns the tools of these skills, in a fashion of their own.
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

/// Draws up to `size` skills: of one subject, so that they are near misses of each other, or of
/// several.
pub(super) fn draw_skills<'a>(
    lists: &'a Lists,
    among: &[usize],
    size: usize,
    draw: &mut Draw,
) -> (usize, Vec<&'a Skill>) {
    let main = among[draw.index(among.len())];
    let sources: Vec<usize> = match draw.index(10) {
        0..6 => vec![main],
        6..8 => vec![main, among[draw.index(among.len())]],
        _ => (0..size).map(|_| among[draw.index(among.len())]).collect(),
    };
    let like = |subject: usize| subject != main && lists.subjects[main].is_like(&lists.subjects[subject]);
    let mut sources: Vec<usize> = sources.into_iter().filter(|&source| !like(source)).collect();
    if sources.is_empty() {
        sources.push(main);
    }
    let mut skills: Vec<&Skill> = Vec::new();
    for _ in 0..size * 20 {
        let subject = &lists.subjects[sources[draw.index(sources.len())]];
        let skill = &subject.skills[draw.index(subject.skills.len())];
        if skills.len() < size && skills.iter().all(|other| other.id() != skill.id()) {
            skills.push(skill);
        }
    }
    (main, skills)
}

/// Returns all skills of a subject, one time in three in the other order.
pub(super) fn whole<'a>(lists: &'a Lists, among: &[usize], draw: &mut Draw) -> (usize, Vec<&'a Skill>) {
    let subject = among[draw.index(among.len())];
    let mut skills: Vec<&Skill> = lists.subjects[subject].skills.iter().collect();
    if draw.chance(3) {
        skills.reverse();
    }
    (subject, skills)
}

/// Adds skills of subjects that have none for the same wishes.
pub(super) fn add_others<'a>(
    lists: &'a Lists,
    subject: usize,
    count: usize,
    skills: &mut Vec<&'a Skill>,
    draw: &mut Draw,
) {
    let target = skills.len() + count;
    for _ in 0..count * 20 {
        let other = draw.index(lists.subjects.len());
        let source = &lists.subjects[other];
        let skill = &source.skills[draw.index(source.skills.len())];
        let free = other != subject && !source.apart && !lists.subjects[subject].is_like(source);
        let new = skills.iter().all(|known| known.id() != skill.id());
        if skills.len() < target && free && new {
            skills.push(skill);
        }
    }
}
