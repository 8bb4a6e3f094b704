//! Progress bars.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use toolcall_lib::evaluate::{Answers, EvaluateConfig, Evaluation, evaluate};
use toolcall_lib::{Conversation, Model, Result};

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
