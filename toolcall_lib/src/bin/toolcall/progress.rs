//! Progress bars, and the lines of a training run that replace one.

use super::output::print_in_run;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use toolcall_lib::evaluate::{Answers, EvaluateConfig, Evaluation, evaluate};
use toolcall_lib::train::{StepReport, TrainConfig};
use toolcall_lib::{Conversation, Model, Result};

/// Longest time between two lines that replace a bar, if a step has been made.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);

/// A bar in a terminal, nothing elsewhere.
pub(super) fn progress_bar(length: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed}<{eta} {msg}");
    ProgressBar::new(length as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Evaluates a model, with a bar.
pub(super) fn score_with_bar(
    model: &Model,
    rows: &[Conversation],
    config: &EvaluateConfig,
) -> Result<Evaluation> {
    let bar = progress_bar(rows.len());
    let mut on_row = |scores: &Evaluation| {
        bar.set_position(scores.rows as u64);
        bar.set_message(format!("{} right", scores.exact.count));
    };
    let answers = Answers {
        on_row: Some(&mut on_row),
        ..model.into()
    };
    let evaluation = evaluate(answers, rows, config);
    bar.finish_and_clear();
    evaluation
}

/// Shows the progress of a run: a bar in a terminal, lines elsewhere. A line comes for each entry
/// of the log. Where steps take long, lines also come often enough to show that the run goes on.
pub(super) struct Progress<'a> {
    bar: ProgressBar,
    config: &'a TrainConfig,
    latest_line: Instant,
}

impl<'a> Progress<'a> {
    pub(super) fn new(config: &'a TrainConfig) -> Self {
        Self {
            bar: progress_bar(0),
            config,
            latest_line: Instant::now(),
        }
    }

    pub(super) fn show(&mut self, step: &StepReport) {
        let bar = &self.bar;
        bar.set_length(step.total_steps as u64);
        bar.set_position(step.step as u64);
        bar.set_message(format!("loss {:.4}", step.loss));
        if bar.is_hidden() && self.has_line(step) {
            print_in_run(step);
            self.latest_line = Instant::now();
        } else if let Some(loss) = step.eval_loss {
            let scores = step
                .eval_scores
                .map_or_else(String::new, |scores| format!("  {scores}"));
            bar.println(format!("step {}: validation loss {loss:.4}{scores}", step.step));
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish();
    }

    fn has_line(&self, step: &StepReport) -> bool {
        let every = self.config.log_every(step.total_steps);
        let is_logged = step.step.is_multiple_of(every) || step.eval_loss.is_some();
        let is_end = step.step == 1 || step.step == step.total_steps;
        is_logged || is_end || self.latest_line.elapsed() >= LONGEST_SILENCE
    }
}
