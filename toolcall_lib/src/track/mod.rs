//! Sends the numbers of a run to the trackers that people look at: TensorBoard's event files, and
//! Weights & Biases.
//!
//! A tracker never stops a run and never makes it wait. Its first failure becomes a note and
//! switches it off. A separate thread does the work that needs the network.

mod protobuf;
mod report_to;
mod table;
mod tensorboard;
mod tracker;
mod wandb;
mod wandb_said;

pub use report_to::{ReportTo, TrackerName};
pub use table::Table;
pub use tensorboard::EventFile;
pub use tracker::{Ending, Outcome, Point, Run};
pub use wandb::Settings as WandbSettings;
pub(crate) use wandb::is_id as is_run_id;
pub use wandb_said::{WandbMode, WandbSaid};

use crate::error::Result;
use crate::mutex::locked;
use std::sync::{Arc, Mutex};
use tracker::{Started, Tracker, folder_of, grouped};

/// The trackers of a run. Dropped without [`Trackers::finish`], they take the run as failed.
#[derive(Debug, Default)]
pub struct Trackers {
    running: Vec<Box<dyn Tracker>>,
    has_ended: bool,
}

impl Trackers {
    /// Starts the trackers that `report_to` names; without it, Weights & Biases where
    /// `WANDB_API_KEY` is set. Also returns notes: the reason why one could not be started.
    pub fn start(report_to: Option<&ReportTo>, run: &Run) -> (Self, Vec<String>) {
        let wandb = WandbSettings::from_environment().with(&run.wandb);
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

    /// Returns true if there is no tracker.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Sends a point to all of them. Returns notes; a tracker that has failed gets nothing more.
    pub fn log(&mut self, point: &Point) -> Vec<String> {
        self.tell(|tracker| tracker.log(point))
    }

    /// Sends the end of the run to all of them, and waits for them within a time limit.
    pub fn finish(&mut self, ending: &Ending) -> Vec<String> {
        self.has_ended = true;
        self.tell(|tracker| tracker.finish(ending))
    }

    /// Sends a table that was made after the end of the run to all of them.
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

/// The trackers of a run that has ended, for later results.
#[derive(Clone, Default)]
pub struct Tracked(Option<Arc<Mutex<Trackers>>>);

impl Tracked {
    /// Keeps trackers, if there are any.
    pub fn new(trackers: Trackers) -> Self {
        Self((!trackers.is_empty()).then(|| Arc::new(Mutex::new(trackers))))
    }

    /// Sends a table to all of them. Returns notes.
    pub fn add_table(&self, name: &str, table: &Table) -> Vec<String> {
        let trackers = self.0.as_ref();
        let trackers = trackers.map(|trackers| locked(trackers));
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

/// Compares as equal in any case: the trackers of a run are not part of its result.
impl PartialEq for Tracked {
    fn eq(&self, _: &Self) -> bool {
        true
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
