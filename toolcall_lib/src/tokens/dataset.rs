//! Many conversations to token sequences, with a limit on their length.

use super::{LossMode, Sequence, Tokenizer, sequences};
use crate::conversation::{Conversation, says_something};
use crate::dataset::Dataset;
use crate::error::{Error, Result, counted, notes_on_rows};
use crate::template::ChatTemplate;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Settings for turning conversations into token sequences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenizeConfig {
    /// The tokens to train on.
    pub mode: LossMode,
    /// Longest sequence in tokens; `None` means no limit.
    pub max_length: Option<usize>,
    /// Treatment of longer sequences.
    pub overlong: Overlong,
}

/// Treatment of a sequence that is longer than `max_length`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overlong {
    /// Fails, so that nothing is lost silently.
    #[default]
    Error,
    /// Leaves the sequence out.
    Drop,
    /// Keeps the start, as TRL does. Leaves the sequence out if no trained token remains.
    Truncate,
}

/// Conversations as token sequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokenized {
    /// The sequences of each conversation, in order: `rows[i]` belongs to conversation `i` and is
    /// empty if they were left out.
    pub rows: Vec<Vec<Sequence>>,
    /// Counts of sequences and tokens, and of what was left out.
    pub report: TokenReport,
}

/// Counts of what tokenizing produced and left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenReport {
    /// Sequences that are trained on.
    pub sequences: usize,
    /// Tokens of these sequences.
    pub tokens: usize,
    /// Tokens of these sequences that are targets.
    pub trained: usize,
    /// Tokens of the longest sequence, before any was cut.
    pub longest: usize,
    /// Sequences left out because they are too long.
    pub dropped: usize,
    /// Sequences that were cut.
    pub truncated: usize,
    /// Cut sequences left out because no trained token remained.
    pub without_target: usize,
    /// Conversations without a sequence, because the turns that the mode would train are marked as
    /// not trained.
    pub not_trained: usize,
}

impl fmt::Display for TokenReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sequences,
            tokens,
            trained,
            longest,
            ..
        } = self;
        write!(
            f,
            "{sequences} sequences, {tokens} tokens, {trained} of them trained; the longest has {longest}"
        )?;
        if self.dropped + self.truncated > 0 {
            let Self {
                dropped,
                truncated,
                without_target,
                ..
            } = self;
            write!(f, "; too long: {dropped} dropped, {truncated} truncated")?;
            write!(
                f,
                " ({without_target} of them dropped, because no trained token was left)"
            )?;
        }
        Ok(())
    }
}

/// Tokenizes conversations on all cores; the order stays as it is.
///
/// # Errors
/// A conversation that [`sequences`] refuses, or one that is too long with [`Overlong::Error`]. The
/// message names the row by its index in `conversations`.
pub fn tokenize(
    conversations: &[Conversation],
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    config: &TokenizeConfig,
) -> Result<Tokenized> {
    let mode = |_| config.mode;
    tokenize_all(conversations, mode, template, tokenizer, config).map_err(|mut problems| {
        let (row, error) = problems.swap_remove(0);
        Error::invalid(format!("row {row}"), error)
    })
}

/// Tokenizes the rows of files; see [`tokenize`].
///
/// # Errors
/// [`Error::Rows`] with every row that cannot be trained, by its file and its place in the file.
pub fn tokenize_dataset(
    data: &Dataset,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    config: &TokenizeConfig,
) -> Result<Tokenized> {
    let mode = |row| config.mode.of_row(data, row);
    tokenize_all(&data.rows, mode, template, tokenizer, config).map_err(|problems| {
        let problems = problems.into_iter().map(|(row, error)| match error {
            Error::Invalid { place, problem } => data.problem(row, place, problem),
            other => data.problem(row, "row", other.to_string()),
        });
        Error::Rows(problems.collect())
    })
}

/// Lists the contents of conversations that the template does not show, with the number of turns,
/// and the variables that it does not use, with the number of rows.
pub fn not_shown(conversations: &[Conversation], template: &ChatTemplate) -> Vec<String> {
    let shows = template.shows();
    let turns = || conversations.iter().flat_map(|row| &row.messages);
    let beside = turns()
        .filter(|turn| !turn.tool_calls.is_empty() && !turn.content.trim().is_empty())
        .count();
    let thoughts = turns().filter(|turn| turn.reasoning_content.is_some()).count();
    let mut notes = Vec::new();
    if beside > 0 && !shows.content_beside_calls {
        notes.push(format!(
            "{}: the chat template does not show the text besides calls",
            counted(beside, "turn")
        ));
    }
    if thoughts > 0 && !shows.thoughts {
        notes.push(format!(
            "{}: the chat template does not show `reasoning_content`",
            counted(thoughts, "turn")
        ));
    }
    let mut rows_with: BTreeMap<&str, usize> = BTreeMap::new();
    let given = conversations.iter().flat_map(|row| &row.chat_template_kwargs);
    let given = given.filter(|(_, value)| says_something(value));
    given.for_each(|(name, _)| *rows_with.entry(name).or_default() += 1);
    let unused = rows_with.into_iter();
    let unused = unused.filter_map(|(name, rows)| Some((template.unused_name(name)?, rows)));
    notes.extend(notes_on_rows(&unused.collect()));
    notes
}

/// Tokenizes all conversations, each in its own mode, or returns the index and error of each that
/// fails.
fn tokenize_all(
    conversations: &[Conversation],
    mode: impl Fn(usize) -> LossMode + Sync,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    config: &TokenizeConfig,
) -> std::result::Result<Tokenized, Vec<(usize, Error)>> {
    let rows = conversations
        .par_iter()
        .enumerate()
        .map(|(index, row)| sequences(row, template, tokenizer, mode(index)));
    let rows: Vec<Result<Vec<Sequence>>> = rows.collect();
    let mut tokenized = Tokenized {
        rows: Vec::with_capacity(rows.len()),
        report: TokenReport::default(),
    };
    let mut problems = Vec::new();
    // Lengths are checked here, one after the other, because the report counts them.
    for (i, row) in rows.into_iter().enumerate() {
        let report = &mut tokenized.report;
        let fitting = row.and_then(|row| {
            report.not_trained += usize::from(row.is_empty());
            let fitting = row.into_iter().map(|sequence| report.fit(sequence, config));
            fitting.collect::<Result<Vec<_>>>()
        });
        match fitting {
            Ok(kept) => tokenized.rows.push(kept.into_iter().flatten().collect()),
            Err(error) => problems.push((i, error)),
        }
    }
    if problems.is_empty() {
        Ok(tokenized)
    } else {
        Err(problems)
    }
}

impl TokenReport {
    /// Counts a sequence and returns it, cut if need be; `None` if it is left out.
    fn fit(&mut self, mut sequence: Sequence, config: &TokenizeConfig) -> Result<Option<Sequence>> {
        let length = sequence.ids.len();
        self.longest = self.longest.max(length);
        match (config.max_length, config.overlong) {
            (Some(max), Overlong::Error) if length > max => {
                let problem = format!(
                    "{length} tokens, expected at most {max}: raise `max_length`, or set `overlong` to drop or truncate"
                );
                return Err(Error::invalid("max_length", problem));
            }
            (Some(max), Overlong::Drop) if length > max => {
                self.dropped += 1;
                return Ok(None);
            }
            (Some(max), Overlong::Truncate) if length > max => {
                self.truncated += 1;
                sequence.ids.truncate(max);
                sequence.trained.truncate(max);
                if sequence.targets() == 0 {
                    self.without_target += 1;
                    return Ok(None);
                }
            }
            _ => {}
        }
        self.sequences += 1;
        self.tokens += sequence.ids.len();
        self.trained += sequence.targets();
        Ok(Some(sequence))
    }
}
