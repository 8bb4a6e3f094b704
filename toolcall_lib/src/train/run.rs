//! Training: packed trees → gradients → new weights, step after step.
//!
//! A tree ([`TreeBatch`]) holds several token sequences, and computes a shared prefix once.
//! [`train`] is the call, [`Job::run`] the loop, and [`Run::step`] one step of it. Every rank runs
//! this code with its own trees. A [`Job`], declared in `prepare`, is the same for all ranks; a
//! [`Run`], declared in `between_steps`, is that of one rank.

use super::between_steps::Run;
use super::config::TrainConfig;
use super::device::threads_of_process;
use super::engine::check_norm;
use super::predict::OnAnswer;
use super::prepare::{Job, note};
use super::record;
use super::report::TrainReport;
use super::rows::trees;
use super::step::StepReport;
use super::tracking::Tracking;
use crate::batch::TreeBatch;
use crate::collective::{Collective, OneRank};
use crate::dataset::Dataset;
use crate::error::Result;
use crate::interrupt;
use crate::model::{Model, Training};
use crate::tool::ToolSchema;
use std::mem::take;
use std::time::Instant;

/// The rows (conversations) of a run, and the ranks that share them.
///
/// Converts from `&Dataset`, without a validation set, and from `(&rows, &validation)`.
#[derive(Clone, Copy, Debug)]
pub struct TrainData<'a> {
    /// Conversations to train on.
    pub rows: &'a Dataset,
    /// Validation set. Its mean loss is measured after the last step and every
    /// [`eval_steps`](TrainConfig::eval_steps) steps, or
    /// [`evals_per_epoch`](TrainConfig::evals_per_epoch) times an epoch. With
    /// [`predict_with_generate`](TrainConfig::predict_with_generate) the model also answers up to
    /// [`max_predict_samples`](TrainConfig::max_predict_samples) of its rows.
    pub validation: Option<&'a Dataset>,
    /// Ranks of the run. All of them call [`train`] with the same arguments and end with the same
    /// model. Their reports differ in times, bytes and notes. An optimizer step sees
    /// `per_device_train_batch_size · gradient_accumulation_steps` conversations of each rank.
    pub ranks: &'a dyn Collective,
    /// Called while the model answers the validation rows.
    pub on_answer: Option<OnAnswer<'a>>,
}

impl<'a> From<&'a Dataset> for TrainData<'a> {
    fn from(rows: &'a Dataset) -> Self {
        Self {
            rows,
            validation: None,
            ranks: &OneRank,
            on_answer: None,
        }
    }
}

impl<'a> From<(&'a Dataset, &'a Dataset)> for TrainData<'a> {
    fn from((rows, validation): (&'a Dataset, &'a Dataset)) -> Self {
        Self {
            validation: Some(validation),
            ..rows.into()
        }
    }
}

/// Fine-tunes `model` on `data`; `on_step` is called after every optimizer step. Sets `model.tools`
/// to the tools that at least 1 in 50 rows calls (to none if there are more than 32), and
/// `model.training` to the record of the run. A run that fails before its first step is reported
/// changes neither, and adds no adapter.
///
/// Ctrl-C (or the notebook's stop button) ends the run after the step; the model keeps what it has
/// learned and the report says so. With [`output_dir`](TrainConfig::output_dir) the run can be
/// resumed.
///
/// # Errors
/// Rows or settings that cannot be trained, a gradient that is not finite, an output folder that
/// cannot be used. An error on one rank leaves the others waiting for it in their next exchange:
/// print it, then call [`Collective::abort`].
///
/// # Examples
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::{Dataset, TrainConfig, load, save, train};
///
/// let mut model = load("HuggingFaceTB/SmolLM2-135M-Instruct")?;
/// let (data, validation) = (Dataset::load("rows.json")?, Dataset::load("validation.json")?);
/// let config = TrainConfig::default().for_rows(data.rows.len());
/// let report = train(&mut model, (&data, &validation), &config, |step| println!("{step}"))?;
/// println!("{report}");
/// save(&model, "tuned")?;
/// # Ok(())
/// # }
/// ```
pub fn train<'a>(
    model: &mut Model,
    data: impl Into<TrainData<'a>>,
    config: &TrainConfig,
    mut on_step: impl FnMut(&StepReport),
) -> Result<TrainReport> {
    let (data, no_validation) = (data.into(), Dataset::default());
    let job = Job {
        data: data.rows,
        validation: data.validation.unwrap_or(&no_validation),
        config,
        engine_factory: &config.device,
        on_answer: data.on_answer,
    };
    let threads = threads_of_process(data.ranks, config)?;
    let training = record::training(model, data.rows, config)?;
    // Record data and settings now, since checkpoints are saved with them; scores follow below.
    let before = Before::of(model);
    model.tools = data.rows.tools_called();
    model.training = Some(training.clone());
    let mut has_learned = false;
    let on_step = |step: &StepReport| {
        has_learned = true;
        on_step(step);
    };
    let outcome = match threads {
        1 => job.run(data.ranks, model, on_step),
        threads => job.run_on_threads(threads, model, on_step),
    };
    if outcome.is_err() && !has_learned {
        before.restore(model);
    }
    let report = outcome?;
    let scores = record::scores(&report);
    model.training = Some(Training { scores, ..training });
    Ok(report)
}

/// State of a model that a run changes before its first step.
struct Before {
    tools: Vec<ToolSchema>,
    training: Option<Training>,
    has_adapter: bool,
}

impl Before {
    fn of(model: &Model) -> Self {
        Self {
            tools: model.tools.clone(),
            training: model.training.clone(),
            has_adapter: model.decoder.adapter.is_some(),
        }
    }

    /// Undoes the changes: a run that has learned nothing leaves no record.
    fn restore(self, model: &mut Model) {
        model.tools = self.tools;
        model.training = self.training;
        if !self.has_adapter {
            model.decoder.adapter = None;
        }
    }
}

impl Job<'_> {
    /// Trains on one rank.
    pub(super) fn run(
        &self,
        ranks: &dyn Collective,
        model: &mut Model,
        mut on_step: impl FnMut(&StepReport),
    ) -> Result<TrainReport> {
        // A signal asks to stop instead of ending the process while `_interrupts` lives.
        let (started, _interrupts) = (Instant::now(), interrupt::Guard::start()?);
        // 1. Prepare tokens, weights and engine.
        let (mut run, mut report) = self.prepare(ranks, model)?;
        let (mut tracking, notes) = Tracking::start(&run);
        note(ranks, &mut report, notes);
        // Remove what a crash left between saving a checkpoint and removing the oldest. A run that
        // starts anew leaves the checkpoints of earlier runs alone.
        let first = run.state.steps.len();
        if first > 0 {
            note(ranks, &mut report, run.remove_old_checkpoints());
        }
        let mut batch = run.batch(first);
        for step in first..run.order.total_steps {
            // 2. Forward and backward, sums over the ranks, clipping, AdamW.
            let mut step_report = run.step(step, &mut batch)?;
            // 3. Evaluate, report, and record the step, which `keep_best`, `is_stalled` and
            // `save_checkpoint` read. Keep the best weights before a checkpoint is saved: it holds
            // them.
            run.evaluate(&mut step_report)?;
            on_step(&step_report);
            note(ranks, &mut report, tracking.log(&step_report));
            run.state.steps.push(step_report);
            run.keep_best()?;
            // 4. Save if a checkpoint is due or the user stops the run; a finished or stalled run
            // leaves its model to the caller.
            report.interrupted = run.is_interrupted()?;
            report.stopped_early = run.is_stalled();
            if report.interrupted || run.saves_after(step) {
                note(ranks, &mut report, run.save_checkpoint()?);
            }
            if report.interrupted || report.stopped_early {
                break;
            }
        }
        // 5. Copy the weights to the host, refuse any that is not finite, fill in the report.
        run.copy_to_host()?;
        report.model_of_step = run.load_best()?;
        let (gradient_bytes, buffer_bytes) = run.engine.bytes();
        report.state_bytes = gradient_bytes + run.state.optimizer.bytes();
        report.buffer_bytes = buffer_bytes;
        report.trainer_state = run.trainer_state_json();
        report.steps = run.state.steps;
        report.seconds = started.elapsed().as_secs_f64();
        let notes = tracking.finish(&mut report);
        note(ranks, &mut report, notes);
        Ok(report)
    }
}

/// The data of one step.
#[derive(Default)]
struct Batch {
    /// Conversations of the step, over all ranks.
    conversations: usize,
    /// Trees of those that are this rank's.
    trees: Vec<TreeBatch>,
}

impl Run<'_> {
    /// Returns the batch of step `step`, counted from 0; an empty one after the last step.
    fn batch(&self, step: usize) -> Batch {
        if step >= self.order.total_steps {
            return Batch::default();
        }
        let chosen = self.order.rows_of(step);
        Batch {
            conversations: chosen.len(),
            trees: trees(&self.rows, &chosen, self.config, self.ranks),
        }
    }

    /// Takes a step with `batch`, and replaces `batch` by that of the next step. Returns the step's
    /// report.
    ///
    /// # Errors
    /// A gradient that is not finite, and failures of the engine or of the exchange with other
    /// ranks.
    fn step(&mut self, step: usize, batch: &mut Batch) -> Result<StepReport> {
        let (started, total_steps) = (Instant::now(), self.order.total_steps);
        let Batch { conversations, trees } = take(batch);
        // 1. Add up the gradients over all ranks (`step` seeds the dropout masks). Over all ranks,
        // `trained` counts the tokens with a loss, `computed` the tokens of the trees, and
        // `unshared` those of the conversations, before prefixes were shared.
        self.engine.add_trees(&self.model.decoder, &trees, step)?;
        let count = |of: fn(&TreeBatch) -> f64| trees.iter().map(of).sum::<f64>();
        let [trained, computed, unshared] = self.ranks.sum([
            count(TreeBatch::trained_tokens),
            count(|tree| tree.ids.len() as f64),
            count(|tree| tree.sequence_tokens as f64),
        ])?;
        // 2. Divide the sums by `trained`, clip, update, zero the sums. A GPU works on while the
        // next batch is packed here.
        let learning_rate = self.config.learning_rate_at(step, total_steps);
        let (decoder, optimizer) = (&mut self.model.decoder, &mut self.state.optimizer);
        self.engine.step(decoder, optimizer, trained, learning_rate)?;
        *batch = self.batch(step + 1);
        // 3. Wait for the step, and sum the loss over ranks. The norm is that of all ranks, so all
        // pass this check or none does.
        let (grad_norm, own) = self.engine.finish_step()?;
        check_norm(grad_norm, step)?;
        let [loss, correct] = self.ranks.sum([own.loss, own.correct])?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(StepReport {
            step: step + 1,
            total_steps,
            epoch: (step + 1) as f64 / self.order.steps_per_epoch() as f64,
            loss: loss / trained,
            token_accuracy: correct / trained,
            grad_norm,
            learning_rate,
            tokens_per_second: unshared / seconds,
            samples_per_second: conversations as f64 / seconds,
            tree_ratio: unshared / computed,
            tokens: unshared as u64,
            seconds,
            eval_loss: None,
            eval_token_accuracy: None,
            eval_scores: None,
        })
    }
}
