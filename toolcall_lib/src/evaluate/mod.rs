//! Evaluation: compares the calls of a model with the calls of its data, and counts scores.
//!
//! The truth is the row itself (a row is a conversation here). Its first assistant turn says which
//! calls are right (none, if it calls no tool), and its further turns say how the dialogue goes on.
//! The prompt of each turn consists of the row's own messages, so the model sees a tool's answer as
//! soon as its call was right.
//!
//! Texts are not compared, since there are many good ways to say something. They must only be
//! there, and end: a reply that goes on until `max_new_tokens` cuts it off is right in no score.

mod confidence;
mod matching;
mod mistake;
mod score;
mod scores;
mod turn;

pub use confidence::{CallScore, MostConfident};
pub use mistake::{Mistake, MistakeKind};
pub use score::Score;
pub use scores::Evaluation;
pub(crate) use turn::Turn;

use crate::conversation::Conversation;
use crate::error::{Error, Result};
use crate::generate::{AT_ONCE, GenerateConfig, Generation, PrefixCache, Prompt, RowPrompt, generate_rows};
use crate::interrupt;
use crate::model::Model;
use crate::reply::{self, Reply};
use crate::tool::ToolSchema;
use rayon::prelude::*;
use turn::assistant_turns;

/// Rows that are asked together: more than generate at once, so that a few long replies do not keep
/// the batch slots of others empty.
const ROWS: usize = 2 * AT_ONCE;

/// Settings of an evaluation.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct EvaluateConfig {
    /// Settings of generation. The default is greedy and not `constrained`, because the scores
    /// should show what the model does by itself.
    pub generate: GenerateConfig,
    /// Goes through every assistant turn of a row. Otherwise only the first turn is asked, in about
    /// half of the time, and `conversation_flow` is not counted.
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

/// Returns the scores of `model` on `rows`. Ctrl-C (or the notebook's stop button) ends the
/// evaluation and returns the scores of the rows that are done.
///
/// # Errors
/// A row without an assistant turn, a prompt that leaves no room for a reply, and failures of
/// generation.
pub fn evaluate(model: &Model, rows: &[Conversation], config: &EvaluateConfig) -> Result<Evaluation> {
    evaluate_with(model, rows, config, |_| ())
}

/// Runs [`evaluate`] and calls `on_row` with the scores so far after every row.
///
/// # Errors
/// See [`evaluate`].
pub fn evaluate_with(
    model: &Model,
    rows: &[Conversation],
    config: &EvaluateConfig,
    on_row: impl FnMut(&Evaluation),
) -> Result<Evaluation> {
    evaluate_cached(model, rows, config, &mut PrefixCache::default(), on_row)
}

/// Runs [`evaluate_with`] with a prefix cache that is shared between calls.
///
/// # Errors
/// See [`evaluate`].
pub(crate) fn evaluate_cached(
    model: &Model,
    rows: &[Conversation],
    config: &EvaluateConfig,
    cache: &mut PrefixCache,
    on_row: impl FnMut(&Evaluation),
) -> Result<Evaluation> {
    refuse_too_long(model, rows, config.whole_dialogue)?;
    let _run = interrupt::Guard::start()?;
    let answer = |prompts: &[RowPrompt<'_>]| {
        let replies = generate_rows(model, prompts, &config.generate, cache)?;
        Ok((!interrupt::requested()).then_some(replies))
    };
    let read = |text: &str, tools: &[ToolSchema]| reply::parse_with(text, &model.template, tools);
    score(rows, config.whole_dialogue, answer, &read, on_row)
}

/// Scores the replies of any model or service. `answer` gets prompts and returns the next assistant
/// turn for each, or `None` to stop; rows that are being asked at that moment are not scored. Texts
/// from other programs become turns with [`Generation::of_text`].
///
/// # Errors
/// A row without an assistant turn, and errors of `answer`.
pub fn evaluate_answers(
    rows: &[Conversation],
    whole_dialogue: bool,
    mut answer: impl FnMut(&[Prompt<'_>]) -> Result<Option<Vec<Generation>>>,
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

/// Scores of another program that runs `model`: `answer` gets prompts as the model's template
/// writes them, and returns the reply to each, or `None` to stop.
///
/// # Errors
/// Errors of [`evaluate_answers`], and a row that the template refuses.
pub fn evaluate_elsewhere(
    model: &Model,
    rows: &[Conversation],
    whole_dialogue: bool,
    mut answer: impl FnMut(&[String]) -> Result<Option<Vec<Generation>>>,
    on_row: impl FnMut(&Evaluation),
) -> Result<Evaluation> {
    let answer = |prompts: &[RowPrompt<'_>]| {
        let write = |((messages, tools), kwargs): &RowPrompt<'_>| {
            model.template.with_kwargs(kwargs).render_prompt(messages, tools)
        };
        answer(&prompts.iter().map(write).collect::<Result<Vec<_>>>()?)
    };
    let read = |text: &str, tools: &[ToolSchema]| reply::parse_with(text, &model.template, tools);
    score(rows, whole_dialogue, answer, &read, on_row)
}

/// A function that reads a reply to a prompt with these tools.
type Read<'a> = dyn Fn(&str, &[ToolSchema]) -> Reply + 'a;

/// Asks the rows in groups of [`ROWS`] and adds each to the scores.
fn score(
    rows: &[Conversation],
    whole_dialogue: bool,
    mut answer: impl FnMut(&[RowPrompt<'_>]) -> Result<Option<Vec<Generation>>>,
    read: &Read<'_>,
    mut on_row: impl FnMut(&Evaluation),
) -> Result<Evaluation> {
    refuse_rows_without_truth(rows)?;
    let mut scores = Evaluation::default();
    for rows in rows.chunks(ROWS) {
        let Some(answers) = follow(rows, whole_dialogue, &mut answer, read)? else {
            break;
        };
        for (row, turns) in rows.iter().zip(&answers) {
            scores.add(row, turns, whole_dialogue);
            on_row(&scores);
        }
    }
    Ok(scores)
}

/// Refuses rows without an assistant turn to compare replies with.
fn refuse_rows_without_truth(rows: &[Conversation]) -> Result<()> {
    match rows.iter().position(|row| assistant_turns(row).next().is_none()) {
        None => Ok(()),
        Some(row) => Err(Error::invalid(
            format!("row {row}"),
            "has no assistant turn that replies could be compared with; add one or leave the row out",
        )),
    }
}

/// Refuses rows with a prompt that leaves the model no room for a reply, before any row is asked.
fn refuse_too_long(model: &Model, rows: &[Conversation], whole_dialogue: bool) -> Result<()> {
    let longest = model.decoder.config.max_position_embeddings;
    let refusal = |(index, row): (usize, &Conversation)| -> Result<()> {
        let turns = assistant_turns(row).take(if whole_dialogue { usize::MAX } else { 1 });
        for turn in turns {
            let prompt = model.template.render_prompt(&row.messages[..turn], &row.tools)?;
            let tokens = model.tokenizer.encode(&prompt)?.len();
            if tokens >= longest {
                let problem = format!(
                    "the prompt of messages[{turn}] has {tokens} tokens, but prompt and reply together may have at \
                     most {longest}; leave the row out"
                );
                return Err(Error::invalid(format!("row {index}"), problem));
            }
        }
        Ok(())
    };
    let refused = rows
        .par_iter()
        .enumerate()
        .find_map_first(|row| refusal(row).err());
    refused.map_or(Ok(()), Err)
}

/// Asks the turns of some rows, and returns the model's turns for each row up to its first mistake;
/// `None` if `answer` stops.
fn follow(
    rows: &[Conversation],
    whole_dialogue: bool,
    answer: &mut impl FnMut(&[RowPrompt<'_>]) -> Result<Option<Vec<Generation>>>,
    read: &Read<'_>,
) -> Result<Option<Vec<Vec<Turn>>>> {
    let last = if whole_dialogue { usize::MAX } else { 1 };
    let turns: Vec<Vec<usize>> = rows
        .iter()
        .map(|row| assistant_turns(row).take(last).collect())
        .collect();
    let mut said: Vec<Vec<Turn>> = vec![Vec::new(); rows.len()];
    let mut open: Vec<usize> = (0..rows.len()).collect();
    // Round n asks turn n of every row that has one and was right so far.
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
        let Some(generations) = answer(&open.iter().map(prompt).collect::<Vec<_>>())? else {
            return Ok(None);
        };
        let mut right = Vec::new();
        for (&row, generation) in open.iter().zip(&generations) {
            let turn = Turn::new(read(&generation.text, &rows[row].tools), generation);
            if turn
                .mistake(&rows[row].messages[turns[row][round]].tool_calls)
                .is_none()
            {
                right.push(row);
            }
            said[row].push(turn);
        }
        open = right;
    }
    Ok(Some(said))
}
