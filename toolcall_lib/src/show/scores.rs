//! Display of scores of one or several models, of their mistakes, and of leaderboard scores.

use super::Html;
use super::confidence;
use super::style::{
    BAD, Cell, GOOD, MUTED, cell, clipped, counted, rate, said, score_cell, table, text_table,
};
use crate::bfcl::BfclScores;
use crate::evaluate::{Evaluation, Mistake, Score};
use crate::track::Table;
use maud::{Markup, html};
use serde_json::json;
use std::fmt;

/// Maximum number of mistakes that are shown; the others are counted.
const SHOWN_MISTAKES: usize = 20;

/// Name and meaning of each of [`Evaluation::scores`], in the same order.
const MEANINGS: [(&str, &str); 8] = [
    ("tool selection", "the right tools, of rows with a call"),
    (
        "arguments exact",
        "the right tools and arguments, of rows with a call",
    ),
    ("arguments loose", "the same, the spelling of strings aside"),
    ("format compliance", "calls that are valid, of replies that call"),
    (
        "conversation flow",
        "whole dialogues without a mistake, of all rows",
    ),
    (
        "over-calls",
        "calls where none fits, of rows without a call; less is better",
    ),
    (
        "unfinished",
        "replies that did not end, which are right in no score",
    ),
    ("exact", "first turns that are right, of all rows"),
];
/// Indices of the scores for which lower is better: over-calls and unfinished.
const FAULTS: [usize; 2] = [5, 6];

/// The scores of one or more models.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreTable {
    names: Vec<String>,
    rows: usize,
    /// Scores of each model, by meaning.
    scores: Vec<Vec<Score>>,
}

/// Puts evaluations side by side.
///
/// # Examples
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::{Dataset, EvaluateConfig, compare, evaluate, load};
///
/// let (base, tuned) = (load("HuggingFaceTB/SmolLM2-135M-Instruct")?, load("out/tuned")?);
/// let (rows, config) = (Dataset::load("heldout.json")?.rows, EvaluateConfig::default());
/// let (base, tuned) = (evaluate(&base, &rows, &config)?, evaluate(&tuned, &rows, &config)?);
/// println!("{}", compare(&[("base", &base), ("tuned", &tuned)]));
/// # Ok(())
/// # }
/// ```
pub fn compare(evaluations: &[(&str, &Evaluation)]) -> ScoreTable {
    let scores_of = |i: usize| {
        evaluations
            .iter()
            .map(|(_, evaluation)| evaluation.scores()[i].1)
            .collect()
    };
    ScoreTable {
        names: evaluations.iter().map(|(name, _)| name.to_string()).collect(),
        rows: evaluations
            .iter()
            .map(|(_, evaluation)| evaluation.rows)
            .max()
            .unwrap_or(0),
        scores: (0..MEANINGS.len()).map(scores_of).collect(),
    }
}

impl ScoreTable {
    /// The scores for a tracker, as shares from 0 to 1: see
    /// [`TrainReport::log_table`](crate::TrainReport::log_table).
    pub fn table(&self) -> Table {
        let names = self.names.iter().cloned();
        let row = |((name, _), scores): (&(&str, &str), &Vec<Score>)| {
            let rates = scores.iter().map(|score| (score.total > 0).then(|| score.rate()));
            [json!(name)]
                .into_iter()
                .chain(rates.map(|rate| json!(rate)))
                .collect()
        };
        Table {
            columns: ["score".to_string()].into_iter().chain(names).collect(),
            rows: MEANINGS.iter().zip(&self.scores).map(row).collect(),
        }
    }

    fn title(&self) -> String {
        counted(self.rows, "row")
    }
}

impl Html for ScoreTable {
    fn html(&self) -> Markup {
        let names = self.names.iter().map(|name| html! { (name) });
        let header: Vec<Markup> = std::iter::once(html! { (self.title()) })
            .chain(names)
            .chain([html! {}])
            .collect();
        let row = |(i, (name, meaning)): (usize, &(&str, &str))| -> Vec<Cell> {
            let scores = self.scores[i]
                .iter()
                .map(|score| score_cell(score, if FAULTS.contains(&i) { BAD } else { GOOD }));
            let meaning = html! { span style=(MUTED) { (meaning) } };
            std::iter::once(cell(html! { (name) }))
                .chain(scores)
                .chain([cell(meaning)])
                .collect()
        };
        table(&header, &MEANINGS.iter().enumerate().map(row).collect::<Vec<_>>())
    }
}

impl fmt::Display for ScoreTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header: Vec<String> = std::iter::once(self.title())
            .chain(self.names.iter().cloned())
            .chain([String::new()])
            .collect();
        let text = |score: &Score| format!("{:>7}  {}/{}", rate(score), score.count, score.total);
        let row = |((name, meaning), scores): (&(&str, &str), &Vec<Score>)| -> Vec<String> {
            let scores = scores.iter().map(text);
            std::iter::once(name.to_string())
                .chain(scores)
                .chain([meaning.to_string()])
                .collect()
        };
        f.write_str(&text_table(
            &header,
            &MEANINGS.iter().zip(&self.scores).map(row).collect::<Vec<_>>(),
        ))
    }
}

impl Html for Evaluation {
    fn html(&self) -> Markup {
        html! {
            (compare(&[("", self)]).html())
            (confidence::markup(self))
            @if !self.mistakes.is_empty() {
                p style="margin:1em 0 .3em" { (mistakes_title(&self.mistakes)) }
                (mistakes_table(&self.mistakes))
            }
        }
    }
}

/// Returns the line above the mistakes: their number, and how many are shown.
fn mistakes_title(mistakes: &[Mistake]) -> String {
    let rest = mistakes.len().saturating_sub(SHOWN_MISTAKES);
    let more = if rest > 0 {
        format!(", the first {SHOWN_MISTAKES} of them")
    } else {
        String::new()
    };
    format!("{} with a mistake{more}:", counted(mistakes.len(), "row"))
}

fn mistakes_table(mistakes: &[Mistake]) -> Markup {
    let header = ["row", "turn", "mistake", "user", "expected", "got"].map(|title| html! { (title) });
    let row = |mistake: &Mistake| {
        vec![
            cell(html! { (mistake.row) }),
            cell(html! { (mistake.turn) }),
            cell(html! { (mistake.kind) }),
            cell(html! { (mistake.user) }),
            cell(said(&mistake.expected)),
            cell(said(&mistake.got)),
        ]
    };
    table(
        &header,
        &mistakes.iter().take(SHOWN_MISTAKES).map(row).collect::<Vec<_>>(),
    )
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", compare(&[("", self)]), confidence::text(self))?;
        if self.mistakes.is_empty() {
            return Ok(());
        }
        let header = ["row", "turn", "mistake", "user", "expected", "got"].map(String::from);
        let row = |mistake: &Mistake| {
            let [user, expected, got] =
                [&mistake.user, &mistake.expected, &mistake.got].map(|text| clipped(text, 120));
            vec![
                mistake.row.to_string(),
                mistake.turn.to_string(),
                mistake.kind.to_string(),
                user,
                expected,
                got,
            ]
        };
        let rows: Vec<Vec<String>> = self.mistakes.iter().take(SHOWN_MISTAKES).map(row).collect();
        write!(
            f,
            "\n\n{}\n{}",
            mistakes_title(&self.mistakes),
            text_table(&header, &rows)
        )
    }
}

/// A table of the Berkeley Function Calling Leaderboard, with a line for each category.
#[derive(Clone, Debug)]
pub struct BfclTable<'a>(pub &'a [BfclScores]);

impl fmt::Display for BfclTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["category", "right", "", "right and ended", "did not end"].map(String::from);
        let row = |scores: &BfclScores| {
            let (right, ended) = (scores.right(), scores.right_and_finished());
            vec![
                scores.category.to_string(),
                rate(&right),
                format!("{}/{}", right.count, right.total),
                format!("{} {}/{}", rate(&ended), ended.count, ended.total),
                scores.unfinished().count.to_string(),
            ]
        };
        f.write_str(&text_table(&header, &self.0.iter().map(row).collect::<Vec<_>>()))
    }
}
