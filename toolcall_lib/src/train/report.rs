//! The report of a training run: all its steps, and the outcome.

use super::checkpoints;
use super::metric::Metric;
use super::step::{EvalScores, StepReport};
use crate::checkpoint::{self, save_with};
use crate::error::Result;
use crate::files::names;
use crate::interrupt;
use crate::model::Model;
use crate::track::{Table, Tracked};
use crate::weights::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Report of a training run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainReport {
    /// Every optimizer step, those before a resume included.
    pub steps: Vec<StepReport>,
    /// True if the user stopped the run after the last of `steps`.
    pub interrupted: bool,
    /// True if the run stopped because the best `metric_for_best_model` did not get better any
    /// more.
    pub stopped_early: bool,
    /// Metric that decides which model is the best.
    pub metric_for_best_model: Metric,
    /// Step of the model, if it is not the last step: `load_best_model_at_end` takes the best
    /// model.
    pub model_of_step: Option<usize>,
    /// Wall-clock time of this run.
    pub seconds: f64,
    /// Conversations whose sequences were all left out because they are too long.
    pub rows_left_out: usize,
    /// Conversations whose turns that would be trained are all marked as not trained.
    pub rows_not_trained: usize,
    /// Processes that trained together.
    pub ranks: usize,
    /// Notes for the user: differences from the run that this one goes on from, and checkpoints
    /// that could not be saved.
    pub notes: Vec<String>,
    /// Reason why a build that can use a GPU took the CPU.
    pub no_gpu: Option<String>,
    /// Bytes of gradients and optimizer state that each rank held. With ZeRO-1 and 2 this is its
    /// share.
    pub state_bytes: usize,
    /// Bytes that the backward pass fills before they travel to other ranks.
    pub buffer_bytes: usize,
    /// Content of `trainer_state.json`, which the plots of other tools read; empty if the report
    /// was read from a file.
    #[serde(skip)]
    pub trainer_state: Map<String, Value>,
    /// Trackers of the run.
    #[serde(skip)]
    pub trackers: Tracked,
}

impl TrainReport {
    /// Saves the model as [`save`](crate::save) does, with this report beside it as
    /// `train_report.json`, and its log as `trainer_state.json`.
    pub fn save(&self, model: &Model, folder: impl AsRef<Path>) -> Result<()> {
        let _to_the_end = interrupt::Guard::start()?;
        let folder = checkpoint::reserve_folder(folder.as_ref())?;
        save_with(model, &folder, Dtype::F32, |draft| {
            if !self.trainer_state.is_empty() {
                draft.write_json(names::TRAINER_STATE, &self.trainer_state)?;
            }
            draft.write_json(names::TRAIN_REPORT, self)
        })
    }

    /// Sends a table to the trackers of the run, such as that of a
    /// [`Comparison`](crate::show::Comparison). Returns notes on tables that could not be sent.
    ///
    /// ```no_run
    /// # use toolcall_lib::{show::Comparison, train::TrainReport};
    /// # fn send(report: &TrainReport, comparison: &Comparison) {
    /// report.log_table("comparison", &comparison.table());
    /// # }
    /// ```
    pub fn log_table(&self, name: &str, table: &Table) -> Vec<String> {
        self.trackers.add_table(name, table)
    }

    /// Returns the best evaluated step by `metric_for_best_model`; on a tie the earliest.
    pub fn best_step(&self) -> Option<&StepReport> {
        best(&self.steps, self.metric_for_best_model)
    }

    /// Returns the path of the checkpoint that an interrupted run left in its `output_dir`.
    pub fn checkpoint(&self, output_dir: &Path) -> PathBuf {
        output_dir.join(checkpoints::name(self.steps.len()))
    }

    /// The numbers of the whole run under the names of transformers.
    pub(super) fn summary(&self, steps_before: usize) -> Map<String, Value> {
        let own = self.steps.get(steps_before..).unwrap_or_default();
        let samples: f64 = own
            .iter()
            .map(|step| step.samples_per_second * step.seconds)
            .sum();
        let loss: f64 = self.steps.iter().map(|step| step.loss).sum();
        let seconds = self.seconds.max(f64::MIN_POSITIVE);
        let mut all = Map::new();
        let mut add = |name: &str, value: f64| drop(all.insert(name.to_string(), value.into()));
        add("train_loss", loss / self.steps.len().max(1) as f64);
        add("train_runtime", self.seconds);
        add("train_samples_per_second", samples / seconds);
        add("train_steps_per_second", own.len() as f64 / seconds);
        all
    }

    /// The last entry of `log_history`.
    pub(super) fn last_entry(&self, steps_before: usize) -> Value {
        let mut entry = self.summary(steps_before);
        let last = self.steps.last();
        entry.insert("epoch".to_string(), last.map_or(0.0, |step| step.epoch).into());
        entry.insert("step".to_string(), self.steps.len().into());
        entry.sort_keys();
        Value::Object(entry)
    }

    /// Compares the evaluations of the run; nothing if there were none.
    pub(super) fn comparison(&self) -> Option<Table> {
        let best = self.best_step()?.step;
        let names = EvalScores::default().rates().map(|(name, _)| name);
        let mut columns = vec!["step", "epoch", "eval_loss"];
        columns.extend(names);
        columns.push("best");
        let evaluated = self.steps.iter().filter(|step| step.eval_loss.is_some());
        let row = |step: &StepReport| {
            let mut row = vec![json!(step.step), json!(step.epoch), json!(step.eval_loss)];
            let rates = step
                .eval_scores
                .map(|scores| scores.rates().map(|(_, rate)| json!(rate)));
            row.extend(rates.unwrap_or_else(|| names.map(|_| Value::Null)));
            row.push(json!(step.step == best));
            row
        };
        Some(Table {
            columns: columns.into_iter().map(str::to_string).collect(),
            rows: evaluated.map(row).collect(),
        })
    }
}

/// Returns the best evaluated step by `metric`; on a tie the earliest.
pub(super) fn best(steps: &[StepReport], metric: Metric) -> Option<&StepReport> {
    let evaluated = steps.iter().filter_map(|step| Some((step, metric.of(step)?)));
    let best = evaluated.reduce(|best, other| match metric.is_better(other.1, best.1) {
        true => other,
        false => best,
    });
    best.map(|(step, _)| step)
}
