//! Progress bars, and the lines that replace them where there is no terminal.

use super::output::{print_in_run, tell};
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::RefCell;
use std::fmt;
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use toolcall_lib::evaluate::{Answers, EvaluateConfig, Evaluation, evaluate};
use toolcall_lib::train::{StepReport, TrainConfig};
use toolcall_lib::{Conversation, Model, Result};

/// Longest time between two lines that replace a bar, if something was done meanwhile.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);

/// A bar in a terminal, and elsewhere the time of the latest line that replaces it.
struct Bar {
    bar: ProgressBar,
    latest_line: Instant,
}

impl Bar {
    fn new(length: usize) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed}<{eta} {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new(length as u64).with_style(style),
            false => ProgressBar::hidden(),
        };
        Self {
            bar,
            latest_line: Instant::now(),
        }
    }

    /// Returns true if a line has to replace the bar: `wanted`, or the first for a long time.
    fn takes_line(&mut self, wanted: bool) -> bool {
        let takes = self.bar.is_hidden() && (wanted || self.latest_line.elapsed() >= LONGEST_SILENCE);
        if takes {
            self.latest_line = Instant::now();
        }
        takes
    }
}

/// The progress of an evaluation: a bar in a terminal, lines on standard error elsewhere.
pub(super) struct Counter {
    bar: Bar,
    rows: usize,
    done: usize,
    replies: usize,
    message: String,
}

impl Counter {
    pub(super) fn new(rows: usize) -> Self {
        Self {
            bar: Bar::new(rows),
            rows,
            done: 0,
            replies: 0,
            message: String::new(),
        }
    }

    /// Shows that so many rows are done.
    pub(super) fn row(&mut self, done: usize, message: String) {
        self.bar.bar.set_position(done as u64);
        self.bar.bar.set_message(message.clone());
        (self.done, self.message) = (done, message);
        self.show();
    }

    /// Counts a reply to a row that may not be done yet.
    pub(super) fn reply(&mut self) {
        self.replies += 1;
        self.show();
    }

    pub(super) fn finish(&self) {
        self.bar.bar.finish_and_clear();
    }

    fn show(&mut self) {
        if self.bar.takes_line(false) {
            tell(&*self);
        }
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} rows", self.done, self.rows)?;
        if !self.message.is_empty() {
            write!(f, "  {}", self.message)?;
        }
        match self.replies {
            0 => Ok(()),
            replies => write!(f, "  {replies} replies"),
        }
    }
}

/// Evaluates a model, and shows how far it is.
pub(super) fn score_with_bar(
    model: &Model,
    rows: &[Conversation],
    config: &EvaluateConfig,
) -> Result<Evaluation> {
    let counter = RefCell::new(Counter::new(rows.len()));
    let mut on_row = |scores: &Evaluation| {
        let message = format!("{} right", scores.exact.count);
        counter.borrow_mut().row(scores.rows, message);
    };
    let mut on_reply = || counter.borrow_mut().reply();
    let answers = Answers {
        on_row: Some(&mut on_row),
        on_reply: Some(&mut on_reply),
        ..model.into()
    };
    let evaluation = evaluate(answers, rows, config);
    counter.borrow().finish();
    evaluation
}

/// Shows the progress of a run: a bar in a terminal, lines elsewhere. A line comes for each entry
/// of the log. Where steps take long, lines also come often enough to show that the run goes on.
pub(super) struct Progress<'a> {
    bar: Bar,
    config: &'a TrainConfig,
}

impl<'a> Progress<'a> {
    pub(super) fn new(config: &'a TrainConfig) -> Self {
        Self {
            bar: Bar::new(0),
            config,
        }
    }

    pub(super) fn show(&mut self, step: &StepReport) {
        let wanted = self.wants_line(step);
        let takes_line = self.bar.takes_line(wanted);
        let bar = &self.bar.bar;
        bar.set_length(step.total_steps as u64);
        bar.set_position(step.step as u64);
        bar.set_message(format!("loss {:.4}", step.loss));
        if takes_line {
            print_in_run(step);
        } else if let Some(loss) = step.eval_loss {
            let scores = step
                .eval_scores
                .map_or_else(String::new, |scores| format!("  {scores}"));
            bar.println(format!("step {}: validation loss {loss:.4}{scores}", step.step));
        }
    }

    /// Shows that so many of the validation rows are answered.
    pub(super) fn show_answers(&mut self, answered: usize, rows: usize) {
        let message = format!("validation {answered}/{rows} rows");
        self.bar.bar.set_message(message.clone());
        if self.bar.takes_line(false) {
            print_in_run(format!("{message} answered"));
        }
    }

    pub(super) fn finish(&self) {
        self.bar.bar.finish();
    }

    fn wants_line(&self, step: &StepReport) -> bool {
        let every = self.config.log_every(step.total_steps);
        let is_logged = step.step.is_multiple_of(every) || step.eval_loss.is_some();
        let is_end = step.step == 1 || step.step == step.total_steps;
        is_logged || is_end
    }
}
