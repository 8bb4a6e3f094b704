//! The curves of a training run, and the ranges that show all of them.

use crate::train::StepReport;
use std::ops::Range;

/// Points (step, value) of a curve.
pub(super) type Points = Vec<(f64, f64)>;

/// Ratio of the highest to the lowest loss from which the axis is logarithmic.
const LOG_RATIO: f64 = 20.0;

/// The curves to draw, as points (step, value).
pub(super) struct Curves {
    pub(super) loss: Points,
    pub(super) average: Points,
    pub(super) validation: Points,
    /// Exact calls, in percent of the validation rows with a call.
    pub(super) exact: Points,
    pub(super) rate: Points,
    /// Range of the axis of the steps.
    pub(super) steps: Range<f64>,
    /// Range of the axis of the losses.
    pub(super) values: Range<f64>,
    /// True if the axis of the losses is logarithmic.
    pub(super) log: bool,
}

impl Curves {
    /// Collects the curves, and the ranges that show all of them.
    pub(super) fn of(steps: &[StepReport]) -> Self {
        let points = |value: fn(&StepReport) -> Option<f64>| -> Points {
            let pairs = steps
                .iter()
                .filter_map(|step| Some((step.step as f64, value(step)?)));
            pairs.filter(|(_, value)| value.is_finite()).collect()
        };
        let loss = points(|step| Some(step.loss));
        let validation = points(|step| step.eval_loss);
        let exact = points(|step| {
            let score = step.eval_scores.as_ref()?.arguments_exact;
            (score.total > 0).then(|| 100.0 * score.rate())
        });
        let rate = points(|step| Some(step.learning_rate));
        let all = || loss.iter().chain(&validation).map(|point| point.1);
        let high = all().fold(0.0, f64::max).max(1e-6);
        // A loss of 0 has no place on a logarithmic axis; a hundred-thousandth of the highest loss
        // replaces it.
        let low = all().fold(high, f64::min).max(high * 1e-5);
        let log = high / low > LOG_RATIO;
        let floor = if log { low } else { 0.0 };
        let raise = |points: Points| points.into_iter().map(|(x, y)| (x, y.max(floor))).collect();
        let last = loss.last().map_or(1.0, |point| point.0);
        let first = loss.first().map_or(0.0, |point| point.0).min(last - 1.0);
        Self {
            average: raise(moving_average(&loss)),
            loss: raise(loss),
            validation: raise(validation),
            exact,
            rate,
            steps: first..last,
            values: if log {
                low / 1.3..high * 1.3
            } else {
                0.0..high * 1.08
            },
            log,
        }
    }
}

/// Returns the mean over an eighth of the steps around each step. A centred window does not lag
/// behind a falling loss.
fn moving_average(points: &[(f64, f64)]) -> Points {
    let reach = points.len() / 16;
    let mean = |i: usize| {
        let window = &points[i.saturating_sub(reach)..points.len().min(i + reach + 1)];
        window.iter().map(|point| point.1).sum::<f64>() / window.len() as f64
    };
    points
        .iter()
        .enumerate()
        .map(|(i, point)| (point.0, mean(i)))
        .collect()
}
