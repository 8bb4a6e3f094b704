//! The metric that decides which model of a run is the best.

use super::step::StepReport;
use crate::evaluate::Score;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A measurement on the validation set, named as in `metric_for_best_model`. All but the first two
/// are scores of [`Evaluation`](crate::evaluate::Evaluation), counted on the first assistant turn
/// of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Mean loss of the trained tokens; lower is better.
    #[default]
    EvalLoss,
    /// Share of the trained tokens that the model ranks first; higher is better.
    EvalMeanTokenAccuracy,
    /// Share of all rows with exactly the right calls, or with text where no call is right; higher
    /// is better.
    EvalExact,
    /// Share of the rows with a call that get exactly the right calls; higher is better.
    EvalArgumentsExact,
    /// Share of the rows with a call that get the right tools; higher is better.
    EvalToolSelection,
    /// Share of the rows without a call that get a call; lower is better.
    EvalOverCalls,
}

impl Metric {
    /// Returns true if a larger value is the better one.
    pub fn greater_is_better(self) -> bool {
        !matches!(self, Self::EvalLoss | Self::EvalOverCalls)
    }

    /// Returns its value after a step that was evaluated.
    pub fn of(self, step: &StepReport) -> Option<f64> {
        let scores = step.eval_scores.as_ref();
        let rate = |score: Score| score.rate();
        match self {
            Self::EvalLoss => step.eval_loss,
            Self::EvalMeanTokenAccuracy => step.eval_token_accuracy,
            Self::EvalExact => scores.map(|scores| rate(scores.exact)),
            Self::EvalArgumentsExact => scores.map(|scores| rate(scores.arguments_exact)),
            Self::EvalToolSelection => scores.map(|scores| rate(scores.tool_selection)),
            Self::EvalOverCalls => scores.map(|scores| rate(scores.over_calls)),
        }
    }

    /// Returns true if `value` is better than `other`.
    pub(super) fn is_better(self, value: f64, other: f64) -> bool {
        match self.greater_is_better() {
            true => value > other,
            false => value < other,
        }
    }

    /// Returns true if it is counted on the model's answers.
    pub(super) fn is_of_answers(self) -> bool {
        !matches!(self, Self::EvalLoss | Self::EvalMeanTokenAccuracy)
    }

    /// Returns true if it counts only rows with a call (`call` is true) or without one (false).
    pub(super) fn needs(self, call: bool) -> bool {
        match self {
            Self::EvalLoss | Self::EvalMeanTokenAccuracy | Self::EvalExact => false,
            Self::EvalArgumentsExact | Self::EvalToolSelection => call,
            Self::EvalOverCalls => !call,
        }
    }
}

/// Prints it as in the settings: `eval_loss`.
impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
