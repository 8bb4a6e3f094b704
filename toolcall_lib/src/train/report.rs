//! The report of a training run: all its steps, and what became of the model.

use super::checkpoints;
use super::metric::Metric;
use super::step::StepReport;
use crate::checkpoint::{self, save_with};
use crate::error::Result;
use crate::files::names;
use crate::interrupt;
use crate::model::Model;
use crate::track::{Table, Tracked};
use crate::weights::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
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
    /// Trackers that were told of the run.
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

    /// Returns the first of the evaluated steps that no other is better than, by
    /// `metric_for_best_model`.
    pub fn best_step(&self) -> Option<&StepReport> {
        best(&self.steps, self.metric_for_best_model)
    }

    /// Returns the path of the checkpoint that an interrupted run left in its `output_dir`.
    pub fn checkpoint(&self, output_dir: &Path) -> PathBuf {
        output_dir.join(checkpoints::name(self.steps.len()))
    }
}

/// Returns the first of the evaluated steps that no other is better than.
pub(super) fn best(steps: &[StepReport], metric: Metric) -> Option<&StepReport> {
    let evaluated = steps.iter().filter_map(|step| Some((step, metric.of(step)?)));
    let best = evaluated.reduce(|best, other| match metric.is_better(other.1, best.1) {
        true => other,
        false => best,
    });
    best.map(|(step, _)| step)
}
