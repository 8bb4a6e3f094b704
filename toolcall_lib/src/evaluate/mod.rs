//! Calls against truth: scores.
//!
//! The truth is the row itself. Its first assistant turn says which calls are right (none, where it calls no
//! tool), and its further turns say how the dialogue goes on. What the model is asked before each turn are
//! the row's own messages, so a tool's answer is fed back to it as soon as its call was right. The texts that
//! it says are not compared with the row's, since there are many good ways to say a thing; they must only be
//! there.

mod matching;
mod scores;

pub use scores::{Evaluation, Mistake, MistakeKind, Score};

use crate::conversation::{Conversation, Role};
use crate::error::{Error, Result};
use crate::generate::{AT_ONCE, GenerateConfig, PrefixCache, Prompt, RowPrompt, generate_rows};
use crate::interrupt;
use crate::model::Model;
use crate::reply::{self, Reply};
use crate::tool::{ToolCall, ToolSchema};

/// Rows that are asked together: more than speak at once, so that the long replies of some do not keep others waiting.
const ROWS: usize = 2 * AT_ONCE;

/// How a model is evaluated.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct EvaluateConfig {
    /// How replies are generated. Unless told otherwise greedily, and not `constrained`: the scores say what the model does by
    /// itself.
    pub generate: GenerateConfig,
    /// Go through every assistant turn of a row. Without it only the first is asked, in about half of the
    /// time, and `conversation_flow` is not counted.
    pub whole_dialogue: bool,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self {
            generate: GenerateConfig {
                constrained: false,
                ..GenerateConfig::default()
            },
            whole_dialogue: true,
        }
    }
}

/// Scores of `model` on `rows`. Ctrl-C (or the notebook's stop button) ends it with the scores of the rows
/// that are done.
///
/// # Errors
/// A row without an assistant turn, and whatever generation fails on.
pub fn evaluate(model: &Model, rows: &[Conversation], config: &EvaluateConfig) -> Result<Evaluation> {
    evaluate_with(model, rows, config, |_| ())
}

/// [`evaluate`], and `on_row` sees the scores so far after every row.
///
/// # Errors
/// Those of [`evaluate`].
pub fn evaluate_with(
    model: &Model,
    rows: &[Conversation],
    config: &EvaluateConfig,
    on_row: impl FnMut(&Evaluation),
) -> Result<Evaluation> {
    let _run = interrupt::Run::start()?;
    let mut cache = PrefixCache::default();
    let answer = |prompts: &[RowPrompt<'_>]| {
        let replies = generate_rows(model, prompts, &config.generate, &mut cache)?;
        Ok((!interrupt::requested()).then(|| replies.into_iter().map(|reply| reply.text).collect()))
    };
    let read = |text: &str, tools: &[ToolSchema]| reply::parse_with(text, &model.template, tools);
    score(rows, config.whole_dialogue, answer, &read, on_row)
}

/// Scores of whatever `answer`s prompts: with the text of the next assistant turn for each, or `None` to stop. The rows that
/// are being asked when it stops are not scored.
///
/// # Errors
/// A row without an assistant turn, and whatever `answer` fails on.
pub fn evaluate_answers(
    rows: &[Conversation],
    whole_dialogue: bool,
    mut answer: impl FnMut(&[Prompt<'_>]) -> Result<Option<Vec<String>>>,
    on_row: impl FnMut(&Evaluation),
) -> Result<Evaluation> {
    let answer = |prompts: &[RowPrompt<'_>]| {
        let prompts: Vec<Prompt<'_>> = prompts.iter().map(|(prompt, _)| *prompt).collect();
        answer(&prompts)
    };
    score(
        rows,
        whole_dialogue,
        answer,
        &|text, _| reply::parse(text),
        on_row,
    )
}

/// Reads a reply to a prompt with these tools.
type Read<'a> = dyn Fn(&str, &[ToolSchema]) -> Reply + 'a;

fn score(
    rows: &[Conversation],
    whole_dialogue: bool,
    mut answer: impl FnMut(&[RowPrompt<'_>]) -> Result<Option<Vec<String>>>,
    read: &Read<'_>,
    mut on_row: impl FnMut(&Evaluation),
) -> Result<Evaluation> {
    refuse_rows_without_truth(rows)?;
    let mut scores = Evaluation::default();
    for rows in rows.chunks(ROWS) {
        let Some(replies) = follow(rows, whole_dialogue, &mut answer, read)? else {
            break;
        };
        for (row, replies) in rows.iter().zip(&replies) {
            scores.add(row, replies, whole_dialogue);
            on_row(&scores);
        }
    }
    Ok(scores)
}

fn refuse_rows_without_truth(rows: &[Conversation]) -> Result<()> {
    match rows.iter().position(|row| assistant_turns(row).next().is_none()) {
        None => Ok(()),
        Some(row) => Err(Error::invalid(
            format!("row {row}"),
            "has no assistant turn that replies could be compared with; add one or leave the row out",
        )),
    }
}

/// Where the assistant says what it should: a turn that is not trained is no truth.
fn assistant_turns(row: &Conversation) -> impl Iterator<Item = usize> {
    let is_truth = |i: &usize| row.messages[*i].role == Role::Assistant && row.messages[*i].train;
    (0..row.messages.len()).filter(is_truth)
}

/// The replies to each row's prompts, up to the first that is wrong; `None` if there is no answer any more.
fn follow(
    rows: &[Conversation],
    whole_dialogue: bool,
    answer: &mut impl FnMut(&[RowPrompt<'_>]) -> Result<Option<Vec<String>>>,
    read: &Read<'_>,
) -> Result<Option<Vec<Vec<Reply>>>> {
    let last = if whole_dialogue { usize::MAX } else { 1 };
    let turns: Vec<Vec<usize>> = rows
        .iter()
        .map(|row| assistant_turns(row).take(last).collect())
        .collect();
    let mut replies: Vec<Vec<Reply>> = vec![Vec::new(); rows.len()];
    let mut open: Vec<usize> = (0..rows.len()).collect();
    for round in 0.. {
        open.retain(|&row| round < turns[row].len());
        if open.is_empty() {
            break;
        }
        let prompt = |&row: &usize| -> RowPrompt<'_> {
            let Conversation {
                messages,
                tools,
                chat_template_kwargs,
            } = &rows[row];
            ((&messages[..turns[row][round]], tools), chat_template_kwargs)
        };
        let Some(texts) = answer(&open.iter().map(prompt).collect::<Vec<_>>())? else {
            return Ok(None);
        };
        let mut right = Vec::new();
        for (&row, text) in open.iter().zip(&texts) {
            let reply = read(text, &rows[row].tools);
            if judge(&rows[row].messages[turns[row][round]].tool_calls, &reply).is_none() {
                right.push(row);
            }
            replies[row].push(reply);
        }
        open = right;
    }
    Ok(Some(replies))
}

/// What is wrong with a reply, where these calls are expected (or, if there are none, an answer in words).
pub(crate) fn judge(expected: &[ToolCall], reply: &Reply) -> Option<MistakeKind> {
    let got = &reply.tool_calls;
    let mistake = match expected {
        [] if reply.attempts_call() => MistakeKind::OverCall,
        [] if reply.content.is_empty() => MistakeKind::Empty,
        [] => return None,
        _ if reply.malformed => MistakeKind::Malformed,
        _ if got.is_empty() => MistakeKind::NoCall,
        _ if !matching::same_names(expected, got) => MistakeKind::WrongTool,
        _ if !matching::same_calls(expected, got) => MistakeKind::WrongArguments,
        _ => return None,
    };
    Some(mistake)
}
