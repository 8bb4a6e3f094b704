//! Conversations as a training run takes them.

use super::config::TrainConfig;
use crate::batch::TreeBatch;
use crate::collective::Collective;
use crate::conversation::{Conversation, Message, Role};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::ops::cross_entropy::LossSum;
use crate::tokens::{Sequence, TokenReport, TokenizeConfig, Tokenized, tokenize_dataset};
use serde_json::json;

/// The rows of a data set that are trained on.
pub(super) struct Rows {
    /// Beginning of each of them: system text and tools.
    pub beginnings: Vec<String>,
    /// The sequences of each of them, at least one.
    pub sequences: Vec<Vec<Sequence>>,
    /// Rows that were left out because they are too long.
    pub too_long: usize,
    /// Rows that were left out because they are marked as not trained.
    pub not_trained: usize,
}

/// The use of a data set.
#[derive(Clone, Copy)]
pub(super) enum Set {
    Training,
    Validation,
}

/// The sequences of every conversation that has any.
///
/// # Errors
/// Conversations that cannot be tokenized, and a set without any sequence.
pub(super) fn sequences(model: &Model, data: &Dataset, set: Set, config: &TrainConfig) -> Result<Rows> {
    let settings = config.tokenize(model.decoder.config.max_position_embeddings);
    let template = model.template.with_kwargs(&config.chat_template_kwargs);
    let Tokenized { rows, report } = tokenize_dataset(data, &template, &model.tokenizer, &settings)?;
    if report.sequences == 0 && !data.rows.is_empty() {
        let (name, done) = match set {
            Set::Training => ("data", "train on"),
            Set::Validation => ("validation set", "measure the loss on"),
        };
        let why = nothing_left(data.rows.len(), &report, &settings);
        let problem = format!("there is no conversation to {done}: {why}");
        return Err(Error::invalid(name, problem));
    }
    let rows = data.rows.iter().zip(rows);
    let (beginnings, sequences): (Vec<String>, Vec<Vec<Sequence>>) = rows
        .filter(|(_, sequences)| !sequences.is_empty())
        .map(|(row, sequences)| (beginning(row), sequences))
        .unzip();
    Ok(Rows {
        too_long: data.rows.len() - sequences.len() - report.not_trained,
        not_trained: report.not_trained,
        beginnings,
        sequences,
    })
}

/// Returns the reason why none of `rows` conversations has a sequence left.
fn nothing_left(rows: usize, report: &TokenReport, settings: &TokenizeConfig) -> String {
    let too_long = report.dropped + report.without_target;
    let why = match (too_long, settings.max_length) {
        (0, _) | (_, None) => "every assistant turn is marked as not trained".to_string(),
        (_, Some(max)) => format!(
            "all are longer than `max_length` {max}, and no trained token is left of them; raise it (the \
                longest has {} tokens)",
            report.longest
        ),
    };
    format!("of {rows}, {why}")
}

fn beginning(row: &Conversation) -> String {
    let system: Vec<&Message> = row
        .messages
        .iter()
        .take_while(|m| m.role == Role::System)
        .collect();
    json!([system, row.tools]).to_string()
}

/// This rank's trees of the `rows` of a step: one for each `per_device_train_batch_size` of them,
/// or several if it is too large. All ranks together have the trees of a single rank.
pub(super) fn trees(
    data: &[Vec<Sequence>],
    rows: &[usize],
    config: &TrainConfig,
    ranks: &dyn Collective,
) -> Vec<TreeBatch> {
    let batches: Vec<&[usize]> = rows.chunks(config.per_device_train_batch_size).collect();
    let own = &batches[ranks.shard().range(batches.len())];
    let trees_of = |batch: &&[usize]| trees_within(batch.iter().flat_map(|&row| &data[row]), config);
    own.iter().flat_map(trees_of).collect()
}

/// Packs sequences into trees of at most `max_tokens_per_tree` tokens.
fn trees_within<'a>(sequences: impl Iterator<Item = &'a Sequence>, config: &TrainConfig) -> Vec<TreeBatch> {
    TreeBatch::pack_within(&sequences.collect::<Vec<_>>(), config.max_tokens_per_tree)
}

/// Mean loss of the trained tokens of `data`, and the share of them that the model ranks first. The
/// data is divided among the ranks; `loss` sums over this rank's trees.
pub(super) fn mean_loss(
    data: &[Vec<Sequence>],
    config: &TrainConfig,
    ranks: &dyn Collective,
    loss: impl FnOnce(&[TreeBatch]) -> Result<LossSum>,
) -> Result<[f64; 2]> {
    let batches = data.chunks(config.per_device_train_batch_size);
    let trees_of = |batch: &[Vec<Sequence>]| trees_within(batch.iter().flatten(), config);
    let own = batches.skip(ranks.rank()).step_by(ranks.size());
    let trees: Vec<TreeBatch> = own.flat_map(trees_of).collect();
    let tokens: f64 = trees.iter().map(TreeBatch::trained_tokens).sum();
    let own = loss(&trees)?;
    let [loss, correct, tokens] = ranks.sum([own.loss, own.correct, tokens])?;
    Ok([loss / tokens, correct / tokens])
}
