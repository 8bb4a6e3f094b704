//! The loss plot: losses over the steps, and the share of exact calls.
//!
//! [`loss_plot`] collects the curves of a report and draws them as SVG (`draw`); its text form is a
//! line of bars and a table of a dozen steps.

mod curves;
mod draw;

use super::Html;
use super::style::{short, text_table};
use crate::error::{Error, Result};
use crate::evaluate::Score;
use crate::files;
use crate::train::{EvalScores, StepReport, TrainReport};
use curves::Curves;
use maud::{Markup, PreEscaped, html};
use std::fmt;
use std::path::Path;

/// The loss over the steps of a training run, the exact calls where validation rows were answered,
/// and the learning rate below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossPlot {
    /// The picture as SVG. It takes its text colour from the page around it.
    pub svg: String,
    text: String,
}

/// Draws the loss of each step, its moving average, and the validation loss if there is one.
///
/// The axis is logarithmic if the loss falls far. If the model answered validation rows with calls,
/// the share of exact calls is drawn too, with its own axis on the right.
///
/// # Examples
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::{Dataset, TrainConfig, load, loss_plot, train};
///
/// let (mut model, data) = (load("out/tuned")?, Dataset::load("rows.json")?);
/// let report = train(&mut model, &data, &TrainConfig::default().for_rows(6), |_| {})?;
/// loss_plot(&report)?.save("out/loss.svg")?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A report without a step whose loss is finite.
pub fn loss_plot(report: &TrainReport) -> Result<LossPlot> {
    let curves = Curves::of(&report.steps);
    if curves.loss.is_empty() {
        return Err(Error::invalid(
            "loss plot",
            "the report has no step with a finite loss; train at least one step",
        ));
    }
    let svg = draw::svg(&curves).map_err(Error::library("drawing the loss plot"))?;
    let text = text_form(&report.steps, &curves);
    Ok(LossPlot { svg, text })
}

impl LossPlot {
    /// Writes the picture as an SVG file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write(path.as_ref(), &self.svg)
    }
}

impl Html for LossPlot {
    fn html(&self) -> Markup {
        html! { div { (PreEscaped(&self.svg)) } }
    }
}

impl fmt::Display for LossPlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns a line of bars and a table of a dozen steps: the first step and those with a validation
/// loss, or any steps if there are none.
fn text_form(steps: &[StepReport], curves: &Curves) -> String {
    let validated = |step: &&StepReport| step.eval_loss.is_some();
    let mut shown: Vec<&StepReport> = steps.iter().collect();
    if shown.iter().any(validated) {
        shown = steps
            .iter()
            .take(1)
            .chain(steps.iter().skip(1).filter(validated))
            .collect();
    }
    // every n-th step and the last one, about 12 in all
    let (last, every) = (shown.len().saturating_sub(1), shown.len().div_ceil(12));
    let kept = shown
        .iter()
        .enumerate()
        .filter(|(i, _)| i % every == 0 || *i == last);
    let scored = shown.iter().any(|step| step.eval_scores.is_some());
    let row = |(_, step): (usize, &&StepReport)| {
        let validation = step.eval_loss.map(|loss| format!("{loss:.4}"));
        let mut cells = vec![
            step.step.to_string(),
            format!("{:.4}", step.loss),
            validation.unwrap_or_default(),
        ];
        if scored {
            let [shown @ .., _unfinished] = step.eval_scores.unwrap_or_default().named();
            cells.extend(shown.map(|(_, score)| score_cell(score)));
        }
        cells.push(short(step.learning_rate));
        cells
    };
    let mut header = vec!["step", "loss", "validation"];
    if scored {
        let [shown @ .., _unfinished] = EvalScores::default().named();
        header.extend(shown.map(|(name, _)| name));
    }
    header.push("learning rate");
    let header: Vec<String> = header.into_iter().map(String::from).collect();
    format!(
        "{}\n\n{}",
        bars(curves),
        text_table(&header, &kept.map(row).collect::<Vec<_>>())
    )
}

/// Returns a score as `80/93`; an empty string if nothing was counted.
fn score_cell(score: Score) -> String {
    match score.total {
        0 => String::new(),
        total => format!("{}/{total}", score.count),
    }
}

/// Draws the moving average as at most 60 bars of 8 heights.
fn bars(curves: &Curves) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let height = |value: f64| if curves.log { value.ln() } else { value };
    let (low, high) = (height(curves.values.start), height(curves.values.end));
    let every = curves.average.len().div_ceil(60);
    let bar = |value: f64| {
        let share = (height(value) - low) / (high - low);
        BARS[((share * 8.0) as usize).min(7)]
    };
    curves
        .average
        .iter()
        .step_by(every)
        .map(|point| bar(point.1))
        .collect()
}
