//! The training loop.

mod config;
mod deepspeed;
mod device;
mod engine;
#[cfg(feature = "cuda")]
mod gpu;
mod gradients;
mod order;
mod ranks;
mod report;
mod rows;
mod state;
mod threads;

pub use crate::device::Device;
pub use config::TrainConfig;
pub use report::{StepReport, TrainReport};

use crate::batch::TreeBatch;
use crate::collective::{Collective, OneRank};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model::{Decoder, Model};
use crate::optimizer::AdamW;
use engine::{Engine, check_norm};
use order::Order;
use ranks::check_same_run;
use rows::{sequences, trees};
use state::TrainerState;
use std::time::Instant;

/// The engine of a rank, and why it is not a GPU's.
type EngineOf<'e> = dyn for<'a> Fn(
        &'a dyn Collective,
        &Decoder,
        &AdamW,
        &'a TrainConfig,
    ) -> Result<(Box<dyn Engine + 'a>, Option<Error>)>
    + Sync
    + 'e;

/// What all ranks do.
#[derive(Clone, Copy)]
struct Work<'a> {
    data: &'a Dataset,
    validation: &'a Dataset,
    config: &'a TrainConfig,
    engine: &'a EngineOf<'a>,
}

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
    on_step: impl FnMut(&StepReport),
) -> Result<TrainReport> {
    train_on(&OneRank, model, data, validation, config, on_step)
}

/// [`train_validated`] on many ranks, all of which call it with the same arguments and end with the same model and report. An
/// optimizer step sees `per_device_train_batch_size · gradient_accumulation_steps` conversations of each rank.
///
/// # Errors
/// After an error on one rank the others wait for it: tell it and call [`Collective::abort`].
pub fn train_on(
    ranks: &dyn Collective,
    model: &mut Model,
    data: &Dataset,
    validation: &Dataset,
    config: &TrainConfig,
    on_step: impl FnMut(&StepReport),
) -> Result<TrainReport> {
    let work = Work {
        data,
        validation,
        config,
        engine: &|ranks, decoder, optimizer, config| config.device.engine(ranks, decoder, optimizer, config),
    };
    match device::gpus_of_process(ranks, config)? {
        1 => work.run(ranks, model, on_step),
        gpus => work.run_on_threads(gpus, model, on_step),
    }
}

impl Work<'_> {
    /// What one rank does.
    fn run(
        &self,
        ranks: &dyn Collective,
        model: &mut Model,
        mut on_step: impl FnMut(&StepReport),
    ) -> Result<TrainReport> {
        let Self {
            data,
            validation,
            config,
            engine,
        } = *self;
        config.check()?;
        let _run = interrupt::Run::start()?;
        let started = Instant::now();
        let (beginnings, rows) = sequences(model, data, config)?;
        let (_, validation) = sequences(model, validation, config)?;
        if rows.is_empty() {
            return Err(Error::invalid("data", "there is no conversation to train on"));
        }
        let order = Order::new(&beginnings, config, ranks.size());
        adapt(model, config)?;
        let shard = gradients::shard(ranks, config.zero_stage);
        let mut state = match &config.resume_from_checkpoint {
            Some(folder) => TrainerState::load(folder, &mut model.decoder, shard)?,
            None => TrainerState {
                steps: Vec::new(),
                optimizer: AdamW::of_shard(config.adamw(), model.decoder.trainable()?, shard),
            },
        };
        check_same_run(ranks, model, &rows, config)?;
        let (mut engine, refusal) = engine(ranks, &model.decoder, &state.optimizer, config)?;
        let mut report = TrainReport {
            rows_left_out: data.rows.len() - rows.len(),
            ranks: ranks.size(),
            no_gpu: refusal.map(|error| error.to_string()),
            ..TrainReport::default()
        };

        let rows_and_trees = |step: usize| {
            let rows_of_step = match step < order.total_steps {
                true => order.rows_of(step),
                false => Vec::new(),
            };
            (rows_of_step.len(), trees(&rows, &rows_of_step, config, ranks))
        };
        let mut next = rows_and_trees(state.steps.len());
        for step in state.steps.len()..order.total_steps {
            let step_started = Instant::now();
            let (rows_of_step, batches) = std::mem::take(&mut next);
            engine.add_trees(&model.decoder, &batches, step)?;
            let count = |of: fn(&TreeBatch) -> f64| batches.iter().map(of).sum::<f64>();
            let [tokens, computed, unshared] = ranks.sum([
                count(TreeBatch::trained_tokens),
                count(|tree| tree.ids.len() as f64),
                count(|tree| tree.sequence_tokens as f64),
            ])?;
            let learning_rate = config.learning_rate_at(step, order.total_steps);
            engine.step(&mut model.decoder, &mut state.optimizer, tokens, learning_rate)?;
            next = rows_and_trees(step + 1); // while a GPU computes
            let (grad_norm, sum) = engine.finish_step()?;
            check_norm(grad_norm, step)?;
            let [loss, correct] = ranks.sum([sum.loss, sum.correct])?;

            let seconds = step_started.elapsed().as_secs_f64();
            let last = step + 1 == order.total_steps;
            let every = config.eval_steps.unwrap_or(order.steps_per_epoch());
            let eval_loss = if !validation.is_empty() && (last || (step + 1).is_multiple_of(every)) {
                Some(engine.mean_loss(&model.decoder, &validation)?)
            } else {
                None
            };
            state.steps.push(StepReport {
                step: step + 1,
                total_steps: order.total_steps,
                epoch: (step + 1) as f64 / order.steps_per_epoch() as f64,
                loss: loss / tokens,
                token_accuracy: correct / tokens,
                grad_norm,
                learning_rate,
                tokens_per_second: unshared / seconds,
                samples_per_second: rows_of_step as f64 / seconds,
                tree_ratio: unshared / computed,
                eval_loss,
            });
            if let Some(latest) = state.steps.last() {
                on_step(latest);
            }
            report.interrupted = ranks.sum([f64::from(interrupt::requested())])? != [0.0];
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
                engine.bring_back(&mut model.decoder, &mut state.optimizer)?;
                state.save(model, &folder.join(format!("checkpoint-{}", step + 1)), ranks)?;
            }
            if ends {
                break;
            }
        }
        engine.bring_back(&mut model.decoder, &mut state.optimizer)?;
        let (sums, buffers) = engine.bytes();
        report.state_bytes = sums + state.optimizer.bytes();
        report.buffer_bytes = buffers;
        report.steps = state.steps;
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }
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

/// Whether the last `patience` evaluations all failed to improve on the best before them.
fn stalled(steps: &[StepReport], patience: usize) -> bool {
    let losses: Vec<f64> = steps.iter().filter_map(|s| s.eval_loss).collect();
    let Some(before) = losses.len().checked_sub(patience).filter(|&n| n > 0) else {
        return false;
    };
    let best = losses[..before].iter().copied().fold(f64::INFINITY, f64::min);
    losses[before..].iter().all(|&loss| loss >= best)
}
