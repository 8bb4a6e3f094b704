//! Makes thousands of rows from a user's tools and a few of their rows.
//!
//! 1. Every tool becomes a skill. The kind of values that an argument takes comes from the schema,
//!    from the values in the rows, and from similar arguments of the lists.
//! 2. Every sentence of the user becomes a request with slots in place of the values of its call.
//!    Frames and other verbs make more requests of it. A tool that no row calls gets plain requests
//!    from its description.
//! 3. The generator of the other rows does the rest: other values, several calls, questions back,
//!    requests that no tool serves, other tools besides the user's, other names.

mod words;
mod found;
mod requests;
mod schema;
mod kinds;
mod wordings;
mod described;
mod teacher;
mod report;

pub use report::{Augmented, ToolReport};
pub use teacher::Teacher;

use super::lists::Lists;
use super::make;
use super::skill::{Ask, Skill};
use super::subject::Subject;
use super::text::Template;
use crate::conversation::Conversation;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::tool::{ToolCall, ToolSchema, doubled};
use kinds::{Kinds, Seen};
use requests::{OwnRequest, ask, requests_of};
use serde_json::Value;
use teacher::Lesson;

/// Subject that the user's tools become, by its name in `mixtures.toml`.
const OWN: &str = "own";

/// Number of times that rows are made in place of those that do not fit.
const MOST_ROUNDS: u64 = 5;

/// Settings for making rows from a user's tools.
#[derive(Clone, Debug)]
pub struct AugmentConfig {
    /// Rows to make, the user's own among them.
    pub rows: usize,
    /// Seed of the rows. The same seed makes the same rows; those of a teacher differ each time.
    pub seed: u64,
    /// A larger model that writes requests besides those of the rows.
    pub teacher: Option<Teacher>,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            rows: 3000,
            seed: super::SEED,
            teacher: None,
        }
    }
}

/// Makes rows for a user's tools, from none or a few dozen of the user's rows, which are included.
///
/// # Examples
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::{AugmentConfig, Dataset, Lists, augment, load_tools};
///
/// let (tools, own_rows) = (load_tools("tools.json")?, Dataset::load("rows.json")?);
/// let config = AugmentConfig { rows: 100, ..AugmentConfig::default() };
/// let made = augment(&Lists::embedded()?, &tools, &own_rows, &config)?;
/// println!("{made}");
/// assert_eq!(made.data.rows.len(), 100);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// There are no tools, or two of one name; fewer rows are wanted than there are; a call of the rows
/// does not fit a tool; no row calls a tool whose required arguments cannot be made up (objects
/// without named fields, lists of objects); the teacher cannot be reached; the tools allow too few
/// different rows.
pub fn augment(
    lists: &Lists,
    tools: &[ToolSchema],
    rows: &Dataset,
    config: &AugmentConfig,
) -> Result<Augmented> {
    check(tools)?;
    let own = with_tools(rows, tools)?;
    if config.rows < own.rows.len().max(1) {
        let least = own.rows.len().max(1);
        let problem = format!(
            "{}, with {} of your own; expected at least {least}",
            config.rows,
            own.rows.len()
        );
        return Err(Error::invalid("rows", problem));
    }
    // 1. Each tool becomes a skill, from the user's requests and the teacher's.
    let mut reports = Vec::new();
    let mut skills = Vec::new();
    let mut taught = Vec::new();
    for tool in tools {
        let lesson = match &config.teacher {
            Some(teacher) => teacher.write(tool, tools)?,
            None => Lesson::default(),
        };
        let count = lesson.rows.len();
        let mut requests = requests_of(tool.name(), &own.rows);
        requests.extend(requests_of(tool.name(), &lesson.rows));
        let (skill, mut report) = skill(lists, tool, tools, &requests)?;
        report.left_out.extend(lesson.refused);
        report.taught = config.teacher.as_ref().map(|_| count);
        taught.extend(lesson.rows);
        skills.push(skill);
        reports.push(report);
    }
    // 2. Make the other rows from the skills.
    let mut lists = lists.clone();
    lists.subjects.push(Subject::of(OWN, skills));
    taught.truncate(config.rows - own.rows.len());
    let wanted = config.rows - own.rows.len() - taught.len();
    let (made, wrong) = made(&lists, wanted, config.seed)?;
    // 3. Put the rows together: the user's own, the teacher's, then those that were made.
    let mut data = own;
    data.extend(Dataset::from(taught));
    data.extend(Dataset::from(made));
    Ok(Augmented {
        data,
        own_rows: rows.rows.len(),
        wrong,
        tools: reports,
    })
}

/// Makes rows whose calls fit the schemas of their tools, and returns how many did not. Makes
/// others in place of these, a few times.
fn made(lists: &Lists, wanted: usize, seed: u64) -> Result<(Vec<Conversation>, usize)> {
    let (mut kept, mut wrong): (Vec<Conversation>, usize) = Default::default();
    for round in 0..MOST_ROUNDS {
        let lacking = wanted - kept.len();
        if lacking == 0 {
            break;
        }
        let rows = make(lists, OWN, Some(lacking), seed.wrapping_add(round))?
            .data
            .rows;
        let (fitting, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| misfit(row).is_none());
        wrong += others.len();
        let is_new = |row: &Conversation| round == 0 || !kept.contains(row); // a round has no doubles
        let new: Vec<Conversation> = fitting.into_iter().filter(is_new).collect();
        kept.extend(new);
    }
    Ok((kept, wrong))
}

/// Returns the user's rows, each with the tools that it offers: its own, or else all.
fn with_tools(rows: &Dataset, tools: &[ToolSchema]) -> Result<Dataset> {
    let mut rows = rows.clone();
    for (index, row) in rows.rows.iter_mut().enumerate() {
        if row.tools.is_empty() {
            row.tools = tools.to_vec();
        }
        if let Some(problem) = misfit(row) {
            return Err(Error::invalid(format!("rows: row {index}"), problem));
        }
    }
    Ok(rows)
}

fn check(tools: &[ToolSchema]) -> Result<()> {
    if tools.is_empty() {
        return Err(Error::invalid("tools", "there is none; give at least one schema"));
    }
    match doubled(tools).next() {
        Some(index) => Err(Error::invalid(
            "tools",
            format!("two have the name `{}`; rename one", tools[index].name()),
        )),
        None => Ok(()),
    }
}

/// Returns the problem of the first call that does not fit the schema of its tool.
fn misfit(row: &Conversation) -> Option<String> {
    let problem = |call: &ToolCall| {
        let Some(tool) = row.tools.iter().find(|tool| tool.name() == call.name) else {
            return Some(format!("calls `{}`, which is not among its tools", call.name));
        };
        let (place, problem) = tool.check(&call.arguments).into_iter().next()?;
        Some(format!(
            "the call of `{}` does not fit: {place}: {problem}",
            call.name
        ))
    };
    let mut calls = row.messages.iter().flat_map(|message| &message.tool_calls);
    calls.find_map(problem)
}

fn skill(
    lists: &Lists,
    tool: &ToolSchema,
    tools: &[ToolSchema],
    requests: &[OwnRequest<'_>],
) -> Result<(Skill, ToolReport)> {
    // 1. Arguments, with their values in the requests.
    let seen = |request: &OwnRequest<'_>| Value::Object(request.arguments.clone());
    let seen: Vec<Seen<'_>> = requests
        .iter()
        .map(|request| (request.said, seen(request)))
        .collect();
    let root = tool.parameters();
    let arguments = Kinds::new(lists, root).arguments(root, &seen);
    // 2. A skill without requests.
    let mut skill = Skill {
        names: vec![tool.name().to_string()],
        about: vec![tool.description().to_string()],
        arguments,
        asks: Vec::new(),
        several: Vec::new(),
        vague: Vec::new(),
        near: Vec::new(),
        beyond: Vec::new(),
        result: Template::with_slots("ok"),
        reply: None,
        schema: Some(tool.clone()),
    };
    // 3. The user's requests, other wordings of them, and plain ones from the description.
    let mut report = ToolReport::new(tool.name());
    for request in requests {
        match ask(&skill, request) {
            Ok(ask) => add(&mut skill.asks, ask),
            Err(reason) => report.left_out.push((request.said.to_string(), reason)),
        }
    }
    report.sentences = skill.asks.len();
    let own = skill.asks.clone();
    for ask in &own {
        let reworded = wordings::reworded(lists, ask);
        reworded.into_iter().for_each(|ask| add(&mut skill.asks, ask));
    }
    match unspoken(&skill) {
        None => {
            skill.vague = wordings::vague(lists, &skill, &own);
            let plain = described::from_description(lists, &skill);
            let wanted = if own.len() < 3 { plain.len() } else { 1 };
            let plain = plain.into_iter().take(wanted);
            let more: Vec<Ask> = plain.chain(described::terse(lists, &skill)).collect();
            more.into_iter().for_each(|ask| add(&mut skill.asks, ask));
        }
        Some(name) if skill.asks.is_empty() => {
            let problem = format!("no values of `{name}` can be made up; give rows that call the tool");
            return Err(Error::invalid(format!("tool `{}`", tool.name()), problem));
        }
        Some(_) => {}
    }
    skill.beyond = described::beyond(lists, &skill, tools);
    report.wordings = skill.asks.len();
    Ok((skill, report))
}

/// Returns the name of a required argument whose values no sentence names.
fn unspoken(skill: &Skill) -> Option<String> {
    let mut required = skill.arguments.values().filter(|argument| !argument.optional);
    let unspoken = required.find(|argument| argument.kind.is_unspoken());
    unspoken.map(|argument| argument.names[0].clone())
}

fn add(asks: &mut Vec<Ask>, ask: Ask) {
    if !asks.contains(&ask) {
        asks.push(ask);
    }
}
