//! A tracker, and the numbers of a run that it gets.

use super::table::Table;
use super::wandb_said::WandbSaid;
use crate::error::Result;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Facts about a run that a tracker gets before the first step.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Name of the run, as `run_name` says it.
    pub name: Option<String>,
    /// The run's own settings of Weights & Biases.
    pub wandb: WandbSaid,
    /// Folder of its checkpoints.
    pub output_dir: Option<PathBuf>,
    /// Folder of the event files; none: a folder in `runs` of `output_dir`.
    pub logging_dir: Option<PathBuf>,
    /// Optimizer steps that were made before: it goes on from a checkpoint.
    pub steps_before: usize,
    /// Settings of the run.
    pub settings: Map<String, Value>,
    /// The model's `config.json`.
    pub model: Map<String, Value>,
}

/// Measurements after an optimizer step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Optimizer steps so far.
    pub step: usize,
    /// Numbers under the names of transformers: `loss`, `grad_norm`, `eval_loss`.
    pub values: Map<String, Value>,
}

/// Outcome of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It made its steps, or stopped early as its settings want it.
    Complete,
    /// The user stopped it.
    Interrupted,
    /// An error ended it.
    #[default]
    Failed,
}

/// Facts that a tracker gets at the end of a run.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// Outcome of the run.
    pub outcome: Outcome,
    /// Numbers of the whole run, such as `train_loss` and the best scores.
    pub summary: Map<String, Value>,
    /// Tables to look at, by name.
    pub tables: Vec<(String, Table)>,
}

/// Receiver of the numbers of a run.
pub(super) trait Tracker: std::fmt::Debug + Send {
    /// Returns its name for notes.
    fn name(&self) -> &'static str;

    /// Takes a point; returns what the user should know.
    fn log(&mut self, point: &Point) -> Result<Vec<String>>;

    /// Takes the end of the run; returns what the user should know.
    fn finish(&mut self, ending: &Ending) -> Result<Vec<String>>;

    /// Takes a table after the end; returns what the user should know.
    fn add_table(&mut self, name: &str, table: &Table) -> Result<Vec<String>>;
}

/// A tracker that was started, if it is to run, and remarks for the user.
pub(super) type Started = (Option<Box<dyn Tracker>>, Vec<String>);

/// Returns the name of a number as trackers group it: `eval_loss` is `eval/loss`, `loss` is
/// `train/loss`.
pub(super) fn grouped(name: &str) -> String {
    match name.strip_prefix("eval_") {
        Some(name) => format!("eval/{name}"),
        None => format!("train/{name}"),
    }
}

/// Returns a folder that an environment variable names; `~` is the user's home.
pub(super) fn folder_of(variable: &str) -> Option<PathBuf> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty())?;
    let path = Path::new(&value);
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Some(Path::new(&home).join(rest)),
        _ => Some(path.to_path_buf()),
    }
}
