//! The training loop.

mod config;
mod order;
mod report;
mod state;

pub use config::TrainConfig;
pub use report::{StepReport, TrainReport};

use crate::batch::TreeBatch;
use crate::conversation::{Conversation, Message, Role};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model::lora::Pass;
use crate::model::{Decoder, Model, Workspace};
use crate::ops::cross_entropy::LossSum;
use crate::optimizer::{AdamW, clip_coefficient, norm};
use crate::tokens::{Sequence, tokenize};
use crate::weights::Parameters;
use order::Order;
use serde_json::json;
use state::TrainerState;
use std::time::Instant;

/// Fine-tunes `model` on `data`; `on_step` is called after every optimizer step.
///
/// Ctrl-C (or the notebook's stop button) ends the run after the step; the model keeps what it has learned and the report
/// says so. With `config.output_dir` the run can be resumed.
pub fn train(
    model: &mut Model,
    data: &Dataset,
    config: &TrainConfig,
    on_step: impl FnMut(&StepReport),
) -> Result<TrainReport> {
    train_validated(model, data, &Dataset::default(), config, on_step)
}

/// [`train`] with a validation set, whose mean loss is measured every `config.eval_steps` steps and after the last.
pub fn train_validated(
    model: &mut Model,
    data: &Dataset,
    validation: &Dataset,
    config: &TrainConfig,
    mut on_step: impl FnMut(&StepReport),
) -> Result<TrainReport> {
    config.check()?;
    let _run = interrupt::Run::start()?;
    let started = Instant::now();
    let (beginnings, rows) = sequences(model, data, config)?;
    let (_, validation) = sequences(model, validation, config)?;
    if rows.is_empty() {
        return Err(Error::invalid("data", "there is no conversation to train on"));
    }
    let order = Order::new(&beginnings, config);
    adapt(model, config)?;
    let mut state = match &config.resume_from_checkpoint {
        Some(folder) => TrainerState::load(folder, &mut model.decoder)?,
        None => TrainerState {
            steps: Vec::new(),
            optimizer: AdamW::new(config.adamw(), model.decoder.trainable()?),
        },
    };
    let mut gradients = Parameters::zeros(model.decoder.trainable()?.layout.clone());
    let mut workspace = Workspace::new(config.recompute, config.precision());
    let mut report = TrainReport {
        rows_left_out: data.rows.len() - rows.len(),
        ..TrainReport::default()
    };

    for step in state.steps.len()..order.total_steps {
        let step_started = Instant::now();
        let batches: Vec<TreeBatch> = order
            .rows_of(step)
            .chunks(config.per_device_train_batch_size)
            .flat_map(|batch| {
                let sequences: Vec<&Sequence> = batch.iter().flat_map(|&row| &rows[row]).collect();
                TreeBatch::pack_within(&sequences, config.max_tokens_per_tree)
            })
            .collect();
        let tokens: f64 = batches.iter().map(TreeBatch::trained_tokens).sum();
        let mut sum = LossSum::default();
        for (tree, batch) in batches.iter().enumerate() {
            workspace.begin(Pass {
                seed: config.seed,
                step: step as u32,
                tree: tree as u16,
            });
            sum += model
                .decoder
                .loss_and_gradients(batch, &mut gradients, &mut workspace)?;
        }
        let grad_norm = norm(&gradients) / tokens;
        if !grad_norm.is_finite() {
            let problem = format!(
                "step {}: the gradient is not finite; use a lower learning rate",
                step + 1
            );
            return Err(Error::invalid("training", problem));
        }
        let learning_rate = config.learning_rate
            * config
                .lr_scheduler_type
                .factor(step, config.warmup_steps, order.total_steps);
        let scale = clip_coefficient(grad_norm, config.max_grad_norm) / tokens;
        let trained = model.decoder.trainable_mut()?;
        state
            .optimizer
            .step(trained, &mut gradients, scale, learning_rate);

        let seconds = step_started.elapsed().as_secs_f64();
        let last = step + 1 == order.total_steps;
        let every = config.eval_steps.unwrap_or(order.steps_per_epoch());
        let eval_loss = if !validation.is_empty() && (last || (step + 1).is_multiple_of(every)) {
            Some(mean_loss(&model.decoder, &validation, config, &mut workspace)?)
        } else {
            None
        };
        let computed: usize = batches.iter().map(|b| b.ids.len()).sum();
        let unshared: usize = batches.iter().map(|b| b.sequence_tokens).sum();
        state.steps.push(StepReport {
            step: step + 1,
            total_steps: order.total_steps,
            epoch: (step + 1) as f64 / order.steps_per_epoch() as f64,
            loss: sum.loss / tokens,
            token_accuracy: sum.correct / tokens,
            grad_norm,
            learning_rate,
            tokens_per_second: unshared as f64 / seconds,
            samples_per_second: order.rows_of(step).len() as f64 / seconds,
            tree_ratio: unshared as f64 / computed as f64,
            eval_loss,
        });
        if let Some(latest) = state.steps.last() {
            on_step(latest);
        }
        report.interrupted = interrupt::requested();
        report.stopped_early = config
            .early_stopping_patience
            .is_some_and(|patience| stalled(&state.steps, patience));
        let ends = last || report.interrupted || report.stopped_early;
        if let Some(folder) = &config.output_dir
            && (report.interrupted
                || config
                    .save_steps
                    .is_some_and(|every| (step + 1).is_multiple_of(every)))
        {
            state.save(model, &folder.join(format!("checkpoint-{}", step + 1)))?;
        }
        if ends {
            break;
        }
    }
    report.steps = state.steps;
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Gives the model the adapter that `config` asks for; one that it has is trained on.
fn adapt(model: &mut Model, config: &TrainConfig) -> Result<()> {
    match (&config.lora, &model.decoder.adapter) {
        (Some(lora), None) => model.add_adapter(lora.clone(), config.seed),
        (Some(lora), Some(adapter)) if *lora != adapter.config => {
            let advice = "merge() it first, or leave `lora` out to train it on";
            let problem = format!("the model has an adapter with other settings; {advice}");
            Err(Error::invalid("lora", problem))
        }
        _ => Ok(()),
    }
}

/// The sequences of every conversation that has any, each with what it begins with: system text and tools.
fn sequences(
    model: &Model,
    data: &Dataset,
    config: &TrainConfig,
) -> Result<(Vec<String>, Vec<Vec<Sequence>>)> {
    let settings = config.tokenize(model.decoder.config.max_position_embeddings);
    let tokenized = tokenize(&data.rows, &model.template, &model.tokenizer, &settings)?;
    let rows = data.rows.iter().zip(tokenized.rows);
    Ok(rows
        .filter(|(_, sequences)| !sequences.is_empty())
        .map(|(row, sequences)| (beginning(row), sequences))
        .unzip())
}

fn beginning(row: &Conversation) -> String {
    let system: Vec<&Message> = row
        .messages
        .iter()
        .take_while(|m| m.role == Role::System)
        .collect();
    json!([system, row.tools]).to_string()
}

/// Mean loss of the trained tokens of `rows`.
fn mean_loss(
    decoder: &Decoder,
    rows: &[Vec<Sequence>],
    config: &TrainConfig,
    workspace: &mut Workspace,
) -> Result<f64> {
    let (mut loss, mut tokens) = (0.0, 0.0);
    for batch in rows.chunks(config.per_device_train_batch_size) {
        let sequences: Vec<&Sequence> = batch.iter().flatten().collect();
        for tree in TreeBatch::pack_within(&sequences, config.max_tokens_per_tree) {
            loss += decoder.loss(&tree, workspace)?.loss;
            tokens += tree.trained_tokens();
        }
    }
    Ok(loss / tokens)
}

/// Whether the last `patience` evaluations all failed to improve on the best before them.
fn stalled(steps: &[StepReport], patience: usize) -> bool {
    let losses: Vec<f64> = steps.iter().filter_map(|s| s.eval_loss).collect();
    let Some(before) = losses.len().checked_sub(patience).filter(|&n| n > 0) else {
        return false;
    };
    let best = losses[..before].iter().copied().fold(f64::INFINITY, f64::min);
    losses[before..].iter().all(|&loss| loss >= best)
}
