//! Sends the numbers of a run to the trackers that people look at: TensorBoard's event files, and
//! Weights & Biases.
//!
//! A tracker never stops a run and never makes it wait. Its first failure becomes a note and
//! switches it off. A thread of its own does the work that needs the network.

mod protobuf;
mod report_to;
mod table;
mod tensorboard;
mod wandb;

pub use report_to::{ReportTo, TrackerName};
pub use table::Table;
pub use tensorboard::EventFile;
pub use wandb::{Mode, Settings as WandbSettings};

use crate::error::Result;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Facts about a run that a tracker gets before the first step.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Name of the run, as `run_name` says it.
    pub name: Option<String>,
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
trait Tracker: std::fmt::Debug + Send {
    /// Returns its name for notes.
    fn name(&self) -> &'static str;

    /// Takes a point; returns what the user should know.
    fn log(&mut self, point: &Point) -> Result<Vec<String>>;

    /// Takes the end of the run; returns what the user should know.
    fn finish(&mut self, ending: &Ending) -> Result<Vec<String>>;

    /// Takes a table after the end; returns what the user should know.
    fn add_table(&mut self, name: &str, table: &Table) -> Result<Vec<String>>;
}

/// The trackers of a run. Dropped without [`Trackers::finish`], they take the run as failed.
#[derive(Debug, Default)]
pub struct Trackers {
    running: Vec<Box<dyn Tracker>>,
    has_ended: bool,
}

impl Trackers {
    /// Starts the trackers that `report_to` names; none: Weights & Biases where `WANDB_API_KEY` is
    /// set. Returns notes, too: the reason why one could not be started.
    pub fn start(report_to: Option<&ReportTo>, run: &Run) -> (Self, Vec<String>) {
        let wandb = WandbSettings::from_environment();
        let names = match report_to {
            Some(report_to) => report_to.0.clone(),
            None => wandb.key.iter().map(|_| TrackerName::Wandb).collect(),
        };
        let (mut all, mut notes) = (Self::default(), Vec::new());
        for name in names {
            let started = match name {
                TrackerName::Tensorboard => tensorboard::start(run),
                TrackerName::Wandb => wandb::start(&wandb, run),
            };
            match started {
                Ok((tracker, told)) => {
                    all.running.extend(tracker);
                    notes.extend(told);
                }
                Err(error) => notes.push(format!("{name} is off for this run: {error}")),
            }
        }
        (all, notes)
    }

    /// Returns true if there is no tracker to tell.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Tells all of them a point. Returns notes; a tracker that has failed is told no more.
    pub fn log(&mut self, point: &Point) -> Vec<String> {
        self.tell(|tracker| tracker.log(point))
    }

    /// Tells all of them the end of the run, and waits for them no longer than they are given.
    pub fn finish(&mut self, ending: &Ending) -> Vec<String> {
        self.has_ended = true;
        self.tell(|tracker| tracker.finish(ending))
    }

    /// Tells all of them a table that was made after the end of the run.
    pub fn add_table(&mut self, name: &str, table: &Table) -> Vec<String> {
        self.tell(|tracker| tracker.add_table(name, table))
    }

    fn tell(&mut self, mut what: impl FnMut(&mut dyn Tracker) -> Result<Vec<String>>) -> Vec<String> {
        let mut notes = Vec::new();
        self.running.retain_mut(|tracker| match what(tracker.as_mut()) {
            Ok(told) => {
                notes.extend(told);
                true
            }
            Err(error) => {
                notes.push(format!(
                    "{} is off from here on, and the run goes on: {error}",
                    tracker.name()
                ));
                false
            }
        });
        notes
    }
}

impl Drop for Trackers {
    fn drop(&mut self) {
        if !self.has_ended {
            self.finish(&Ending::default());
        }
    }
}

/// The trackers of a run that has ended, to be told what was found out later.
#[derive(Clone, Default)]
pub struct Tracked(Option<Arc<Mutex<Trackers>>>);

impl Tracked {
    /// Keeps trackers, if there are any.
    pub fn new(trackers: Trackers) -> Self {
        Self((!trackers.is_empty()).then(|| Arc::new(Mutex::new(trackers))))
    }

    /// Tells all of them a table. Returns notes.
    pub fn add_table(&self, name: &str, table: &Table) -> Vec<String> {
        let trackers = self.0.as_ref();
        let trackers = trackers.map(|trackers| trackers.lock().unwrap_or_else(PoisonError::into_inner));
        trackers.map_or_else(Vec::new, |mut trackers| trackers.add_table(name, table))
    }
}

impl std::fmt::Debug for Tracked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() {
            "Tracked(some)"
        } else {
            "Tracked(none)"
        })
    }
}

/// Compares as equal in any case: the trackers of a run are no part of its result.
impl PartialEq for Tracked {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A tracker that was started, if it is to run, and remarks for the user.
type Started = (Option<Box<dyn Tracker>>, Vec<String>);

/// Returns the name of a number as trackers group it: `eval_loss` is `eval/loss`, `loss` is
/// `train/loss`.
fn grouped(name: &str) -> String {
    match name.strip_prefix("eval_") {
        Some(name) => format!("eval/{name}"),
        None => format!("train/{name}"),
    }
}

/// Returns a folder that an environment variable names; `~` is the user's home.
fn folder_of(variable: &str) -> Option<PathBuf> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty())?;
    let path = Path::new(&value);
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Some(Path::new(&home).join(rest)),
        _ => Some(path.to_path_buf()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_as_transformers_groups_them() {
        assert_eq!(grouped("loss"), "train/loss");
        assert_eq!(grouped("eval_loss"), "eval/loss");
        assert_eq!(grouped("evaluated"), "train/evaluated");
    }

    #[derive(Debug)]
    struct Broken(usize);

    impl Tracker for Broken {
        fn name(&self) -> &'static str {
            "broken"
        }

        fn log(&mut self, point: &Point) -> Result<Vec<String>> {
            self.0 += 1;
            assert_eq!(self.0, point.step, "it is not asked again");
            match point.step {
                2 => Err(crate::Error::invalid("disk", "is full")),
                _ => Ok(Vec::new()),
            }
        }

        fn finish(&mut self, _: &Ending) -> Result<Vec<String>> {
            panic!("it is off");
        }

        fn add_table(&mut self, _: &str, _: &Table) -> Result<Vec<String>> {
            panic!("it is off");
        }
    }

    #[test]
    fn a_tracker_that_fails_is_off_after_one_note() {
        let mut trackers = Trackers {
            running: vec![Box::new(Broken(0))],
            has_ended: false,
        };
        let notes: Vec<String> = (1..5)
            .flat_map(|step| {
                trackers.log(&Point {
                    step,
                    ..Point::default()
                })
            })
            .collect();
        assert_eq!(
            notes,
            ["broken is off from here on, and the run goes on: disk: is full"]
        );
        assert!(trackers.is_empty());
        assert!(trackers.finish(&Ending::default()).is_empty());
    }
}
