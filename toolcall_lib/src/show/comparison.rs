//! Comparison of the answers of several models to the same prompts.

use super::Html;
use super::style::{BAD, Cell, GOOD, MUTED, cell, clipped, said, table};
use crate::conversation::{Conversation, Message, Role};
use crate::error::Result;
use crate::evaluate::Turn;
use crate::generate::{GenerateConfig, Generation, PrefixCache, Prompt, RowPrompt, generate_rows};
use crate::model::Model;
use crate::reply::{self, Reply, turn_text};
use crate::tool::ToolSchema;
use crate::track::Table;
use maud::{Markup, html};
use serde_json::json;
use std::fmt;

/// Follows an answer that did not end by itself.
const UNFINISHED: &str = "(did not end)";

/// The first assistant turn of some rows: the expected one and each model's.
///
/// Models are asked one after the other, so the base model may be asked before it is tuned:
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::{Comparison, Dataset, GenerateConfig, TrainConfig, load, train};
///
/// let mut model = load("HuggingFaceTB/SmolLM2-135M-Instruct")?;
/// let (data, config) = (Dataset::load("rows.json")?, GenerateConfig::default());
/// let mut comparison = Comparison::new(&Dataset::load("heldout.json")?.rows);
/// comparison.ask("base", &model, &config)?;
/// train(&mut model, &data, &TrainConfig::default().for_rows(data.rows.len()), |_| {})?;
/// comparison.ask("tuned", &model, &config)?;
/// println!("{comparison}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Names of the models that were asked, in order.
    pub names: Vec<String>,
    /// One row for each prompt.
    pub rows: Vec<ComparisonRow>,
}

/// One prompt of a [`Comparison`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ComparisonRow {
    /// The prompt: the conversation up to its first assistant turn, or all of it if there is none.
    pub prompt: Conversation,
    /// The conversation's own turn, if it has one.
    pub expected: Option<Message>,
    /// The answer of each model, in the order of `names`.
    pub answers: Vec<ComparedAnswer>,
}

/// A model's answer to one prompt of a [`Comparison`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComparedAnswer {
    /// Text and calls of the answer.
    pub said: String,
    /// True if the answer ended by itself.
    pub finished: bool,
    /// True if the answer is right; `None` if the right turn is not known. An answer that did not
    /// end is never right.
    pub right: Option<bool>,
}

impl Comparison {
    /// Creates a comparison on these conversations, without answers. Conversations without an
    /// assistant turn are asked but not judged.
    pub fn new(rows: &[Conversation]) -> Self {
        let row = |row: &Conversation| {
            let end = row.trained_turns().next();
            let messages = row.messages[..end.unwrap_or(row.messages.len())].to_vec();
            ComparisonRow {
                prompt: Conversation {
                    messages,
                    ..row.clone()
                },
                expected: end.map(|end| row.messages[end].clone()),
                answers: Vec::new(),
            }
        };
        Self {
            names: Vec::new(),
            rows: rows.iter().map(row).collect(),
        }
    }

    /// Asks a model and adds its answers under `name`.
    ///
    /// # Errors
    /// Failures of generation; the comparison then stays as it was.
    pub fn ask(&mut self, name: &str, model: &Model, config: &GenerateConfig) -> Result<()> {
        let prompts = self
            .rows
            .iter()
            .map(|ComparisonRow { prompt, .. }| -> RowPrompt<'_> {
                (
                    (&prompt.messages[..], &prompt.tools[..]),
                    &prompt.chat_template_kwargs,
                )
            });
        let replies = generate_rows(
            model,
            &prompts.collect::<Vec<_>>(),
            config,
            &mut PrefixCache::default(),
            || {},
        )?;
        self.add(name, &replies, |text, tools| {
            reply::parse_with(text, &model.template, tools)
        });
        Ok(())
    }

    /// Adds the answers of any model or service. `answer` gets the prompts and returns the next
    /// assistant turn for each. [`Generation::of_text`] makes a turn of another program's reply.
    ///
    /// # Errors
    /// Errors of `answer`; the comparison then stays as it was.
    pub fn add_answers(
        &mut self,
        name: &str,
        answer: impl FnOnce(&[Prompt<'_>]) -> Result<Vec<Generation>>,
    ) -> Result<()> {
        let prompts: Vec<Prompt<'_>> = self
            .rows
            .iter()
            .map(|row| (&row.prompt.messages[..], &row.prompt.tools[..]))
            .collect();
        let generations = answer(&prompts)?;
        self.add(name, &generations, |text, _| reply::parse(text));
        Ok(())
    }

    /// Reads and judges the answers of one model.
    fn add(&mut self, name: &str, generations: &[Generation], read: impl Fn(&str, &[ToolSchema]) -> Reply) {
        self.names.push(name.into());
        for (row, generation) in self.rows.iter_mut().zip(generations) {
            let got = Turn::new(read(&generation.text, &row.prompt.tools), generation);
            let expected = row.expected.as_ref();
            row.answers.push(ComparedAnswer {
                right: expected.map(|turn| got.mistake(&turn.tool_calls).is_none()),
                said: got.reply.to_string(),
                finished: got.finished,
            });
        }
    }

    /// The comparison for a tracker: see [`TrainReport::log_table`](crate::TrainReport::log_table).
    pub fn table(&self) -> Table {
        let mut columns = vec!["user".to_string(), "expected".to_string()];
        columns.extend(
            self.names
                .iter()
                .flat_map(|name| [name.clone(), format!("{name} is right")]),
        );
        let row = |row: &ComparisonRow| {
            let answers = row.answers.iter();
            let asked = [json!(row.user()), json!(row.expected_text())].into_iter();
            asked
                .chain(answers.flat_map(|answer| [json!(answer.said), json!(answer.right)]))
                .collect()
        };
        Table {
            columns,
            rows: self.rows.iter().map(row).collect(),
        }
    }

    /// Returns `tuned 5/5`, or the name alone if no right answer is known.
    fn title(&self, model: usize) -> String {
        let judged: Vec<bool> = self
            .rows
            .iter()
            .filter_map(|row| row.answers.get(model)?.right)
            .collect();
        let right = judged.iter().filter(|right| **right).count();
        let name = &self.names[model];
        if judged.is_empty() {
            name.clone()
        } else {
            format!("{name} {right}/{}", judged.len())
        }
    }
}

impl ComparisonRow {
    /// Returns the last message of the user.
    fn user(&self) -> &str {
        let user = self
            .prompt
            .messages
            .iter()
            .rev()
            .find(|message| message.role == Role::User);
        user.map_or("", |message| &message.content)
    }

    /// Returns text and calls of the expected turn.
    fn expected_text(&self) -> Option<String> {
        self.expected
            .as_ref()
            .map(|turn| turn_text(&turn.content, &turn.tool_calls))
    }
}

/// Returns the mark before an answer.
fn mark(right: Option<bool>) -> &'static str {
    match right {
        Some(true) => "✓",
        Some(false) => "✗",
        None => " ",
    }
}

impl Html for Comparison {
    fn html(&self) -> Markup {
        let titles = (0..self.names.len()).map(|model| self.title(model));
        let titles = ["user".to_string(), "expected".to_string()]
            .into_iter()
            .chain(titles);
        let header: Vec<Markup> = titles.map(|title| html! { (title) }).collect();
        let answer = |answer: &ComparedAnswer| -> Cell {
            let background = match answer.right {
                Some(true) => format!("background:{GOOD}"),
                Some(false) => format!("background:{BAD}"),
                None => String::new(),
            };
            let marked = html! {
                div style="display:flex;gap:.5em" {
                    @if answer.right.is_some() { b { (mark(answer.right)) } }
                    (said(&answer.said))
                    @if !answer.finished { span style=(MUTED) { (UNFINISHED) } }
                }
            };
            (marked, background)
        };
        let row = |row: &ComparisonRow| -> Vec<Cell> {
            let user = cell(html! { div style="min-width:9em" { (row.user()) } });
            let expected = cell(said(&row.expected_text().unwrap_or_default()));
            [user, expected]
                .into_iter()
                .chain(row.answers.iter().map(answer))
                .collect()
        };
        table(&header, &self.rows.iter().map(row).collect::<Vec<_>>())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles: Vec<String> = (0..self.names.len()).map(|model| self.title(model)).collect();
        let width = titles
            .iter()
            .map(|title| title.chars().count())
            .max()
            .unwrap_or(0)
            .max("expected".len());
        for (i, row) in self.rows.iter().enumerate() {
            let gap = if i == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{}", clipped(row.user(), 100))?;
            if let Some(expected) = row.expected_text() {
                write!(f, "\n  {:<width$}   {}", "expected", clipped(&expected, 200))?;
            }
            for (title, answer) in titles.iter().zip(&row.answers) {
                write!(
                    f,
                    "\n  {title:<width$} {} {}",
                    mark(answer.right),
                    clipped(&answer.said, 200)
                )?;
                if !answer.finished {
                    write!(f, " {UNFINISHED}")?;
                }
            }
        }
        Ok(())
    }
}
