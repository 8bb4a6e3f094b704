//! Display of a training run: its steps, losses, scores and speed.

use super::Html;
use super::style::{counted, figures_table, figures_text, grouped, percent, short};
use crate::train::{StepReport, TrainReport};
use maud::Markup;
use std::fmt;

/// Returns name and value of each figure.
fn figures(report: &TrainReport) -> Vec<(&'static str, String)> {
    let (Some(first), Some(last)) = (report.steps.first(), report.steps.last()) else {
        return vec![("steps", format!("0{}", ending(report)))];
    };
    let passes = format!(
        "{} ({} epochs){}",
        grouped(last.step),
        short(last.epoch),
        ending(report)
    );
    let mut figures = vec![
        ("steps", passes),
        ("time", duration(report.seconds)),
        ("loss", format!("{:.4} → {:.4}", first.loss, last.loss)),
        (
            "token accuracy",
            format!(
                "{} → {}",
                percent(first.token_accuracy),
                percent(last.token_accuracy)
            ),
        ),
    ];
    figures.extend(best_validation(&report.steps).map(|best| ("best validation loss", best)));
    figures.extend(last_scores(&report.steps).map(|scores| ("validation rows", scores)));
    figures.extend(report.model_of_step.map(|step| {
        let metric = report.metric_for_best_model;
        ("model", format!("of step {step}, which has the best {metric}"))
    }));
    let mean = |value: fn(&StepReport) -> f64| {
        report.steps.iter().map(value).sum::<f64>() / report.steps.len() as f64
    };
    figures.push((
        "speed",
        format!(
            "{} tokens/s",
            grouped(mean(|step| step.tokens_per_second) as usize)
        ),
    ));
    figures.push((
        "shared prefixes",
        format!("{:.2} tokens per computed token", mean(|step| step.tree_ratio)),
    ));
    if report.ranks > 1 {
        let megabytes = |bytes: usize| format!("{:.1} MB", bytes as f64 / 1e6);
        figures.push((
            "ranks",
            format!(
                "{}, each with {} of gradients and optimizer state and {} of buffers",
                report.ranks,
                megabytes(report.state_bytes),
                megabytes(report.buffer_bytes)
            ),
        ));
    }
    let left_out = [
        (report.rows_left_out, "too long"),
        (report.rows_not_trained, "marked as not trained"),
    ];
    let left_out = left_out.into_iter().filter(|(rows, _)| *rows > 0);
    let left_out: Vec<String> = left_out
        .map(|(rows, why)| format!("{} {why}", counted(rows, "row")))
        .collect();
    if !left_out.is_empty() {
        figures.push(("left out", left_out.join(", ")));
    }
    figures
}

/// Returns the reason why a run ended early, or an empty string.
fn ending(report: &TrainReport) -> &'static str {
    match (report.interrupted, report.stopped_early) {
        (true, _) => ", stopped by the user",
        (_, true) => ", stopped early: no improvement on the validation set",
        _ => "",
    }
}

/// Returns the scores of the latest step at which the model answered the validation rows.
fn last_scores(steps: &[StepReport]) -> Option<String> {
    let (scores, step) = steps
        .iter()
        .rev()
        .find_map(|step| Some((step.eval_scores?, step.step)))?;
    Some(format!("{scores}, at step {step}"))
}

/// Returns the lowest validation loss and its step.
fn best_validation(steps: &[StepReport]) -> Option<String> {
    let evaluated = steps.iter().filter_map(|step| Some((step.eval_loss?, step.step)));
    let (loss, step) = evaluated.min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(format!("{loss:.4} at step {step}"))
}

/// Returns a time as `4.2 s` or `3 min 05 s`.
fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    format!("{} min {:02} s", whole / 60, whole % 60)
}

impl Html for TrainReport {
    fn html(&self) -> Markup {
        figures_table(figures(self))
    }
}

impl fmt::Display for TrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&figures_text(figures(self)))
    }
}
