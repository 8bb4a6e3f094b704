//! Evaluation: compares the calls of a model with the calls of its data, and counts scores.
//!
//! The truth is the row itself (a row is a conversation here). Its first assistant turn says which
//! calls are right (none, if it calls no tool), and its further turns say how the dialogue goes on.
//! The prompt of each turn consists of the row's own messages, so the model sees a tool's answer as
//! soon as its call was right.
//!
//! Text is not compared, since there are many good ways to say something. It must only exist and
//! end: a reply that is cut off at `max_new_tokens` is right in no score.

mod answers;
mod confidence;
mod matching;
mod mistake;
mod score;
mod scores;
mod turn;

pub use answers::{Answerer, Answers, Replies};
pub use confidence::{CallScore, MostConfident};
pub(crate) use matching::standardized;
pub use mistake::{Mistake, MistakeKind};
pub use score::Score;
pub use scores::Evaluation;
pub(crate) use turn::Turn;

use crate::conversation::Conversation;
use crate::error::{Error, Result};
use crate::generate::{GenerateConfig, PrefixCache, RowPrompt, prompt_template};
use crate::interrupt;
use crate::model::Model;
use rayon::prelude::*;

/// Settings of an evaluation.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct EvaluateConfig {
    /// Settings of a model that answers. The default is greedy and not `constrained`, because the
    /// scores should show what the model does by itself.
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

/// Scores answers to `rows`: those of a model, or of anyone else ([`Answers`]).
///
/// Ctrl-C (or the notebook's stop button) ends the evaluation of a model and returns the scores of
/// the rows that are done.
///
/// # Errors
/// A row without an assistant turn, a prompt that leaves a model no room for a reply or that its
/// template refuses, and failures of generation or of the function that answers.
///
/// # Examples
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::evaluate::Answers;
/// use toolcall_lib::{Dataset, EvaluateConfig, Evaluation, evaluate, load};
///
/// let (model, held_out) = (load("out/tuned")?, Dataset::load("heldout.json")?);
/// let config = EvaluateConfig::default();
/// println!("{}", evaluate(&model, &held_out.rows, &config)?);
/// // The same, reported row by row.
/// let mut on_row = |so_far: &Evaluation| println!("{} of {}", so_far.exact.count, so_far.rows);
/// let answers = Answers { on_row: Some(&mut on_row), ..Answers::from(&model) };
/// evaluate(answers, &held_out.rows, &config)?;
/// # Ok(())
/// # }
/// ```
pub fn evaluate<'a>(
    answers: impl Into<Answers<'a>>,
    rows: &[Conversation],
    config: &EvaluateConfig,
) -> Result<Evaluation> {
    let Answers {
        mut by,
        mut on_row,
        on_reply,
        cache,
    } = answers.into();
    let mut nothing = || {};
    let on_reply = on_reply.unwrap_or(&mut nothing);
    let mut own_cache = PrefixCache::default();
    let cache = cache.unwrap_or(&mut own_cache);
    // 1. Refuse what cannot be scored before anything is asked.
    let _interrupts = match by {
        Answerer::Model(model) => {
            refuse_too_long(model, rows, config)?;
            Some(interrupt::Guard::start()?)
        }
        _ => None,
    };
    refuse_rows_without_truth(rows)?;
    // 2. Ask the rows in groups, and add each row to the scores.
    let mut scores = Evaluation::default();
    let mut left = rows;
    while !left.is_empty() {
        let (rows, later) = left.split_at(left.len().min(cache.prompts_at_once()));
        left = later;
        let Some(said) = follow(rows, &mut by, config, cache, on_reply)? else {
            break;
        };
        for (row, turns) in rows.iter().zip(&said) {
            scores.add(row, turns, config.whole_dialogue);
            if let Some(on_row) = &mut on_row {
                on_row(&scores);
            }
        }
    }
    Ok(scores)
}

/// Refuses rows without an assistant turn to compare replies with.
fn refuse_rows_without_truth(rows: &[Conversation]) -> Result<()> {
    match rows.iter().position(|row| row.trained_turns().next().is_none()) {
        None => Ok(()),
        Some(row) => Err(Error::invalid(
            format!("row {row}"),
            "has no assistant turn that replies could be compared with; add one or leave the row out",
        )),
    }
}

/// Refuses rows with a prompt that leaves the model no room for a reply, before any row is asked.
fn refuse_too_long(model: &Model, rows: &[Conversation], config: &EvaluateConfig) -> Result<()> {
    let longest = model.decoder.config.max_position_embeddings;
    let refusal = |(index, row): (usize, &Conversation)| -> Result<()> {
        model.template.refuse_unseen_tools(row)?;
        let turns = row
            .trained_turns()
            .take(if config.whole_dialogue { usize::MAX } else { 1 });
        let template = prompt_template(model, &config.generate, &row.chat_template_kwargs);
        for turn in turns {
            let prompt = template.render_prompt(&row.messages[..turn], &row.tools)?;
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
/// `None` if the answers end.
fn follow(
    rows: &[Conversation],
    by: &mut Answerer<'_>,
    config: &EvaluateConfig,
    cache: &mut PrefixCache,
    on_reply: &mut dyn FnMut(),
) -> Result<Option<Vec<Vec<Turn>>>> {
    let last = if config.whole_dialogue { usize::MAX } else { 1 };
    let turns: Vec<Vec<usize>> = rows
        .iter()
        .map(|row| row.trained_turns().take(last).collect())
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
        let prompts: Vec<RowPrompt<'_>> = open.iter().map(prompt).collect();
        let Some(generations) = by.answer(&prompts, &config.generate, cache, on_reply)? else {
            return Ok(None);
        };
        let mut right = Vec::new();
        for (&row, generation) in open.iter().zip(&generations) {
            let turn = Turn::new(by.read(&generation.text, &rows[row].tools), generation);
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
