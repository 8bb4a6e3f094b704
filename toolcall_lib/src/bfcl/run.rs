//! A model's replies to rows, and their verdicts.

use super::{Category, Row, check};
use crate::error::Result;
use crate::evaluate::Score;
use crate::generate::{GenerateConfig, Generation, PrefixCache, RowPrompt, generate_rows};
use crate::interrupt;
use crate::model::Model;
use crate::reply::{self, Reply};
use crate::template::ChatTemplate;
use crate::tool::ToolCall;
use serde_json::Map;

/// A model's reply to a row, and the verdict on it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Verdict {
    /// Id of the row.
    pub id: String,
    /// True if the leaderboard's checker calls the reply right.
    pub right: bool,
    /// Reason why the reply is wrong; `None` if it is right.
    pub problem: Option<String>,
    /// True if the reply ended by itself. The leaderboard does not ask for that.
    pub finished: bool,
    /// The calls that could be read.
    pub calls: Vec<ToolCall>,
    /// Confidence of the model in each of the calls.
    pub confidences: Vec<f32>,
    /// The reply as it was written.
    pub reply: String,
}

/// Verdicts on a model's replies to the rows of a category. As JSON it is `category`, `rows`,
/// `right`, `accuracy`, `right_and_finished`, `unfinished`, and the `verdicts`.
#[derive(Clone, Debug, PartialEq)]
pub struct BfclScores {
    /// The category.
    pub category: Category,
    /// One for each row, in their order.
    pub verdicts: Vec<Verdict>,
}

impl Verdict {
    /// Returns the verdict on a reply to `row` of a model with this template, which says how the
    /// model writes calls.
    pub fn of(row: &Row, generation: &Generation, template: &ChatTemplate) -> Self {
        let Reply { tool_calls, .. } = reply::parse_with(&generation.text, template, &row.tools);
        let problem = check(row, &tool_calls);
        Self {
            id: row.id.clone(),
            right: problem.is_none(),
            problem,
            finished: generation.finished,
            calls: tool_calls,
            confidences: generation.confidences.clone(),
            reply: generation.text.clone(),
        }
    }
}

impl BfclScores {
    fn score(&self, holds: impl Fn(&Verdict) -> bool) -> Score {
        Score {
            count: self.verdicts.iter().filter(|verdict| holds(verdict)).count(),
            total: self.verdicts.len(),
        }
    }

    /// Counts the rows that are right by the leaderboard's rules. The rate is the accuracy that the
    /// leaderboard shows.
    pub fn right(&self) -> Score {
        self.score(|verdict| verdict.right)
    }

    /// Counts the rows that are right and whose reply ended by itself.
    pub fn right_and_finished(&self) -> Score {
        self.score(|verdict| verdict.right && verdict.finished)
    }

    /// Counts the replies that did not end by themselves.
    pub fn unfinished(&self) -> Score {
        self.score(|verdict| !verdict.finished)
    }
}

impl serde::Serialize for BfclScores {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let right = self.right();
        let object = serde_json::json!({
            "category": self.category,
            "rows": right.total,
            "right": right.count,
            "accuracy": right.rate(),
            "right_and_finished": self.right_and_finished().count,
            "unfinished": self.unfinished().count,
            "verdicts": self.verdicts,
        });
        object.serialize(serializer)
    }
}

/// Asks a model the rows of a category; `on_row` gets each verdict. Many prompts are answered at
/// once, with any tools: as many as fit into [`PrefixCache::BYTES`] of keys and values. They are
/// judged together, and `on_reply` is called before that, after each reply. After Ctrl-C it returns
/// the verdicts so far.
///
/// # Errors
/// Errors of generation.
pub fn run(
    model: &Model,
    category: Category,
    rows: &[Row],
    config: &GenerateConfig,
    mut on_row: impl FnMut(&Verdict),
    mut on_reply: impl FnMut(),
) -> Result<BfclScores> {
    let _run = interrupt::Guard::start()?;
    let (mut cache, no_variables) = (PrefixCache::default(), Map::new());
    let mut verdicts = Vec::with_capacity(rows.len());
    let mut left = rows;
    while !left.is_empty() {
        let (rows, later) = left.split_at(left.len().min(cache.prompts_at_once()));
        left = later;
        let prompts: Vec<RowPrompt<'_>> = rows
            .iter()
            .map(|row| ((&row.messages[..], &row.tools[..]), &no_variables))
            .collect();
        let replies = generate_rows(model, &prompts, config, &mut cache, &mut on_reply)?;
        if interrupt::requested() {
            break;
        }
        for (row, reply) in rows.iter().zip(&replies) {
            let verdict = Verdict::of(row, reply, &model.template);
            on_row(&verdict);
            verdicts.push(verdict);
        }
    }
    Ok(BfclScores { category, verdicts })
}
