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
use found::find;
use indexmap::IndexMap;
use kinds::{Seen, argument};
use requests::{OwnRequest, ask, requests_of};
use serde_json::Map;
use teacher::Lesson;

/// Subject that the user's tools become, by its name in `mixtures.toml`.
const OWN: &str = "own";

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
/// No tools; two tools of one name; a row that calls an unknown tool.
pub fn augment(
    lists: &Lists,
    tools: &[ToolSchema],
    rows: &Dataset,
    config: &AugmentConfig,
) -> Result<Augmented> {
    check(tools)?;
    // 1. Each tool becomes a skill, from the user's requests and the teacher's.
    let mut reports = Vec::new();
    let mut skills = Vec::new();
    let mut taught = Vec::new();
    for tool in tools {
        let lesson = match &config.teacher {
            Some(teacher) => teacher.write(tool, tools)?,
            None => Lesson::default(),
        };
        let mut requests = requests_of(tool.name(), &rows.rows);
        requests.extend(requests_of(tool.name(), &lesson.rows));
        let (skill, mut report) = skill(lists, tool, tools, &requests);
        report.left_out.extend(lesson.refused);
        report.taught = lesson.rows.len();
        taught.extend(lesson.rows);
        skills.push(skill);
        reports.push(report);
    }
    // 2. Make the other rows from the skills.
    let mut lists = lists.clone();
    lists.subjects.push(Subject::of(OWN, skills));
    let given = rows.rows.len() + taught.len();
    let made = config.rows.saturating_sub(given).max(1);
    let made = make(&lists, OWN, Some(made), config.seed)?.data;
    let fits = |row: &Conversation| check_calls(row);
    let (kept, wrong): (Vec<Conversation>, Vec<Conversation>) = made.rows.into_iter().partition(fits);
    // 3. Put the rows together: the user's own, the teacher's, then those that were made.
    let mut data = rows.clone();
    for row in &mut data.rows {
        if row.tools.is_empty() {
            row.tools = tools.to_vec();
        }
    }
    data.extend(Dataset::from(taught));
    data.extend(Dataset::from(kept));
    Ok(Augmented {
        data,
        own_rows: rows.rows.len(),
        wrong: wrong.len(),
        tools: reports,
    })
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

/// Returns true if every call fits the schema of its tool.
fn check_calls(row: &Conversation) -> bool {
    let fits = |call: &ToolCall| {
        let tool = row.tools.iter().find(|tool| tool.name() == call.name);
        tool.is_some_and(|tool| tool.check(&call.arguments).is_empty())
    };
    row.messages
        .iter()
        .flat_map(|message| &message.tool_calls)
        .all(fits)
}

fn skill(
    lists: &Lists,
    tool: &ToolSchema,
    tools: &[ToolSchema],
    requests: &[OwnRequest<'_>],
) -> (Skill, ToolReport) {
    // 1. Arguments, with their values in the requests.
    let parameters = tool.parameters();
    let empty = Map::new();
    let properties = parameters["properties"].as_object().unwrap_or(&empty);
    let required = parameters["required"].as_array();
    let is_required =
        |name: &str| required.is_some_and(|required| required.iter().any(|required| required == name));
    let mut arguments = IndexMap::new();
    for (name, schema) in properties {
        let seen: Vec<Seen> = requests
            .iter()
            .filter_map(|request| {
                let value = request.arguments.get(name)?;
                Some((value.clone(), find(request.said, value).map(|found| found.form)))
            })
            .collect();
        arguments.insert(
            name.clone(),
            argument(lists, name, schema, &seen, is_required(name)),
        );
    }
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
    let plain = described::from_description(lists, &skill);
    let wanted = if own.len() < 3 { plain.len() } else { 1 };
    let plain = plain.into_iter().take(wanted);
    let more: Vec<Ask> = plain.chain(described::terse(lists, &skill)).collect();
    more.into_iter().for_each(|ask| add(&mut skill.asks, ask));
    skill.vague = wordings::vague(lists, &skill, &own);
    skill.beyond = described::beyond(lists, &skill, tools);
    report.wordings = skill.asks.len();
    (skill, report)
}

fn add(asks: &mut Vec<Ask>, ask: Ask) {
    if !asks.contains(&ask) {
        asks.push(ask);
    }
}
