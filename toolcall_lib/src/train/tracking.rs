//! Sends the numbers of a run to its trackers, on the first rank.

use super::between_steps::Run;
use super::config::TrainConfig;
use super::history::History;
use super::report::TrainReport;
use super::step::StepReport;
use crate::track::{Ending, Outcome, Run as Subject, Tracked, Trackers, WandbSaid};
use serde_json::{Map, Value};

/// The trackers of a run, and the log that they get.
#[derive(Debug)]
pub(super) struct Tracking {
    trackers: Trackers,
    history: History,
    steps_before: usize,
}

impl Tracking {
    /// Starts the trackers that the settings of `run` name. Also returns notes.
    pub fn start(run: &Run<'_>) -> (Self, Vec<String>) {
        let steps = &run.state.steps;
        let (trackers, notes) = match run.ranks.rank() {
            0 => Trackers::start(run.config.report_to.as_ref(), &subject(run)),
            _ => Default::default(),
        };
        let tracking = Self {
            trackers,
            history: History::of(steps, run.config),
            steps_before: steps.len(),
        };
        (tracking, notes)
    }

    /// Sends a step, if it is logged. Returns notes.
    pub fn log(&mut self, step: &StepReport) -> Vec<String> {
        let point = self.history.push(step);
        point.map_or_else(Vec::new, |point| self.trackers.log(&point))
    }

    /// Closes the log of a report, and sends the end. Returns notes.
    pub fn finish(mut self, report: &mut TrainReport) -> Vec<String> {
        let last = report.last_entry(self.steps_before);
        if let Some(Value::Array(entries)) = report.trainer_state.get_mut("log_history") {
            entries.push(last);
        }
        let outcome = match report.interrupted {
            true => Outcome::Interrupted,
            false => Outcome::Complete,
        };
        let table = report
            .comparison()
            .map(|table| ("evaluations".to_string(), table));
        let notes = self.trackers.finish(&Ending {
            outcome,
            summary: summary(report, self.steps_before),
            tables: table.into_iter().collect(),
        });
        report.trackers = Tracked::new(self.trackers);
        notes
    }
}

/// The numbers of the whole run, with the best of its evaluations.
fn summary(report: &TrainReport, steps_before: usize) -> Map<String, Value> {
    let mut all = report.summary(steps_before);
    let best = ["best_global_step", "best_metric"].map(|name| Some((name, report.trainer_state.get(name)?)));
    let known = best.into_iter().flatten().filter(|(_, value)| value.is_number());
    all.extend(known.map(|(name, value)| (name.to_string(), value.clone())));
    all
}

fn subject(run: &Run<'_>) -> Subject {
    let TrainConfig {
        wandb_project,
        wandb_entity,
        wandb_mode,
        wandb_run_id,
        run_name,
        output_dir,
        logging_dir,
        ..
    } = run.config;
    Subject {
        name: run_name.clone(),
        wandb: WandbSaid {
            project: wandb_project.clone(),
            entity: wandb_entity.clone(),
            mode: *wandb_mode,
            run_id: wandb_run_id.clone(),
        },
        output_dir: output_dir.clone(),
        logging_dir: logging_dir.clone(),
        steps_before: run.state.steps.len(),
        settings: run.config.to_map().unwrap_or_default(),
        model: run
            .model
            .decoder
            .config
            .to_json(&run.model.tokenizer.eos_token_ids),
    }
}
