//! The training loop.

mod checkpoints;
mod config;
mod deepspeed;
mod device;
mod engine;
#[cfg(feature = "cuda")]
mod gpu;
mod gradients;
mod history;
mod hub_state;
mod metric;
mod identity;
mod order;
mod predict;
mod ranks;
mod report;
mod rows;
mod run;
pub mod settings;
mod state;
mod state_file;
mod threads;
mod told;
mod tracking;

pub use crate::device::Device;
pub use config::TrainConfig;
pub use metric::Metric;
pub use report::{EvalScores, StepReport, TrainReport};
pub use settings::Settings;

use crate::collective::{Collective, OneRank, Shard};
use crate::dataset::Dataset;
use crate::error::{Error, Result, tell};
use crate::interrupt;
use crate::model::{Decoder, Model, Training};
use crate::optimizer::AdamW;
use engine::Engine;
use identity::Identity;
use order::Order;
use predict::Predictor;
use ranks::{check_same_run, first_decides};
use rows::sequences;
use run::Run;
use state::TrainerState;
use std::time::Instant;
use tracking::Tracking;

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
    model.tools = data.tools_called();
    let training = told::training(model, data, config)?;
    model.training = Some(training.clone());
    let report = match device::gpus_of_process(ranks, config)? {
        1 => work.run(ranks, model, on_step)?,
        gpus => work.run_on_threads(gpus, model, on_step)?,
    };
    let scores = told::scores(&report);
    model.training = Some(Training { scores, ..training });
    Ok(report)
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
        let output = first_decides(ranks, || checkpoints::open(config))?.flatten();
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
        let order = Order::new(&beginnings, config, ranks.size())?;
        adapt(model, config)?;
        let shard = gradients::shard(ranks, config.zero_stage);
        let identity = Identity::new(model, &rows, config, order.batch())?;
        let (state, notes) = begin(ranks, model, config, &identity, shard)?;
        check_same_run(ranks, model, &rows, config)?;
        let mut report = TrainReport {
            rows_left_out: self.data.rows.len() - rows.len(),
            ranks: ranks.size(),
            metric_for_best_model: config.metric_for_best_model,
            ..TrainReport::default()
        };
        note(ranks, &mut report, notes);
        let (engine, refusal) = (self.engine)(ranks, &model.decoder, &state.optimizer, config)?;
        report.no_gpu = refusal.map(|error| error.to_string());
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
            identity,
            output,
        };

        let first = run.state.steps.len();
        let (mut tracking, told) = Tracking::start(&run);
        note(ranks, &mut report, told);
        if first > 0 {
            note(ranks, &mut report, run.remove_old_checkpoints()); // a crash may have come before it
        }
        let mut batch = run.batch(first);
        for step in first..run.order.total_steps {
            let mut latest = run.step(step, &mut batch)?;
            run.evaluate(&mut latest)?;
            on_step(&latest);
            note(ranks, &mut report, tracking.log(&latest));
            run.state.steps.push(latest);
            run.keep_best()?;
            report.interrupted = run.is_interrupted()?;
            report.stopped_early = run.is_stalled();
            if report.interrupted || run.saves_after(step) {
                note(ranks, &mut report, run.save_checkpoint()?);
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
        report.trainer_state = run.hub_state();
        report.steps = run.state.steps;
        report.seconds = started.elapsed().as_secs_f64();
        let told = tracking.finish(&mut report);
        note(ranks, &mut report, told);
        Ok(report)
    }
}

/// Tells the user something, and keeps it in the report.
fn note(ranks: &dyn Collective, report: &mut TrainReport, told: impl IntoIterator<Item = String>) {
    for what in told {
        if ranks.rank() == 0 {
            tell(format!("note: {what}"));
        }
        report.notes.push(what);
    }
}

/// Begins before the first step, or at the checkpoint that `config` names. Returns notes for the
/// user, too, such as what differs from the run of the checkpoint.
fn begin(
    ranks: &dyn Collective,
    model: &mut Model,
    config: &TrainConfig,
    identity: &Identity,
    shard: Shard,
) -> Result<(TrainerState, Vec<String>)> {
    let decoder = &mut model.decoder;
    let Some(path) = &config.resume_from_checkpoint else {
        let folder = config.output_dir.as_deref().filter(|_| ranks.rank() == 0);
        let notes = folder.map_or(Ok(None), checkpoints::begins_anew)?;
        return Ok((
            TrainerState::new(decoder, config, shard)?,
            notes.into_iter().collect(),
        ));
    };
    let folder = checkpoints::find(path)?;
    first_decides(ranks, || checkpoints::verify(&folder))?;
    let (state, before) = TrainerState::load(&folder, decoder, config, shard)?;
    let from = format!(
        "resuming from {}, after {} steps",
        folder.display(),
        state.steps.len()
    );
    let differs = identity.differences(&before);
    Ok((state, [from].into_iter().chain(differs).collect()))
}

/// Gives the model the adapter that `config` asks for; one that it has is trained on.
fn adapt(model: &mut Model, config: &TrainConfig) -> Result<()> {
    match (&config.lora, &model.decoder.adapter) {
        (Some(lora), None) => model.add_adapter(lora.clone(), config.seed),
        (Some(lora), Some(adapter)) if *lora != adapter.config => {
            let advice = "call merge() first, or leave `lora` out to continue its training";
            let problem = format!("the model has an adapter with other settings; {advice}");
            Err(Error::invalid("lora", problem))
        }
        _ => Ok(()),
    }
}
