//! The training loop.

mod config;
mod deepspeed;
mod device;
mod engine;
#[cfg(feature = "cuda")]
mod gpu;
mod gradients;
mod metric;
mod order;
mod predict;
mod ranks;
mod report;
mod rows;
mod run;
mod state;
mod threads;

pub use crate::device::Device;
pub use config::TrainConfig;
pub use metric::Metric;
pub use report::{EvalScores, StepReport, TrainReport};

use crate::collective::{Collective, OneRank};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model::{Decoder, Model};
use crate::optimizer::AdamW;
use engine::Engine;
use order::Order;
use predict::Predictor;
use ranks::check_same_run;
use rows::sequences;
use run::Run;
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

/// [`train`] with a validation set. Every `config.eval_steps` steps and after the last its mean
/// loss is measured, and the model answers its rows: how many it calls right is reported beside the
/// loss.
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
        let config = self.config;
        config.check()?;
        let _interrupts = interrupt::Run::start()?;
        let started = Instant::now();
        let (beginnings, rows) = sequences(model, self.data, config)?;
        let (_, validation) = sequences(model, self.validation, config)?;
        if validation.is_empty() {
            config.refuse_best_model()?;
        }
        let predictor = Predictor::new(self.validation, config)?;
        if rows.is_empty() {
            return Err(Error::invalid("data", "there is no conversation to train on"));
        }
        let order = Order::new(&beginnings, config, ranks.size());
        adapt(model, config)?;
        let shard = gradients::shard(ranks, config.zero_stage);
        let state = TrainerState::begin(&mut model.decoder, config, shard)?;
        check_same_run(ranks, model, &rows, config)?;
        let (engine, refusal) = (self.engine)(ranks, &model.decoder, &state.optimizer, config)?;
        let mut report = TrainReport {
            rows_left_out: self.data.rows.len() - rows.len(),
            ranks: ranks.size(),
            metric_for_best_model: config.metric_for_best_model,
            no_gpu: refusal.map(|error| error.to_string()),
            ..TrainReport::default()
        };
        let mut run = Run {
            ranks,
            config,
            model,
            rows,
            validation,
            predictor,
            order,
            state,
            engine,
        };

        let first = run.state.steps.len();
        let mut batch = run.batch(first);
        for step in first..run.order.total_steps {
            let mut latest = run.step(step, &mut batch)?;
            run.evaluate(&mut latest)?;
            on_step(&latest);
            run.state.steps.push(latest);
            run.keep_best()?;
            report.interrupted = run.is_interrupted()?;
            report.stopped_early = run.is_stalled();
            if report.interrupted || run.saves_after(step) {
                run.save_checkpoint()?;
            }
            if report.interrupted || report.stopped_early {
                break;
            }
        }
        run.bring_back()?;
        report.model_of_step = run.load_best()?;
        let (sums, buffers) = run.engine.bytes();
        report.state_bytes = sums + run.state.optimizer.bytes();
        report.buffer_bytes = buffers;
        report.steps = run.state.steps;
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
