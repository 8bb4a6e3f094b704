//! Numbers of one optimizer step, and its line in the log.

use crate::evaluate::Score;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Numbers of one optimizer step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Optimizer steps so far, this one included.
    pub step: usize,
    /// Optimizer steps of the whole run.
    pub total_steps: usize,
    /// Passes over the data so far.
    pub epoch: f64,
    /// Mean negative log likelihood of the trained tokens before the step, in nats.
    pub loss: f64,
    /// Share of the trained tokens that the model ranks first.
    pub token_accuracy: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Tokens of the unshared sequences per second.
    pub tokens_per_second: f64,
    /// Conversations per second.
    pub samples_per_second: f64,
    /// Tokens of the unshared sequences over the tokens that were computed.
    pub tree_ratio: f64,
    /// Tokens of the unshared sequences.
    #[serde(default)]
    pub tokens: u64,
    /// Seconds that it took, without evaluation.
    #[serde(default)]
    pub seconds: f64,
    /// Mean loss on the validation set after the step, where it was evaluated.
    pub eval_loss: Option<f64>,
    /// Share of the trained tokens of the validation set that the model ranks first after the step,
    /// where it was evaluated.
    #[serde(default)]
    pub eval_token_accuracy: Option<f64>,
    /// Scores of the model's answers to the validation rows after the step, where they were wanted.
    #[serde(default)]
    pub eval_scores: Option<EvalScores>,
}

/// Scores of the first assistant turn of validation rows. Each is that of
/// [`Evaluation`](crate::evaluate::Evaluation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvalScores {
    /// Rows with exactly the right calls, or with text where no call is right, among all rows.
    pub exact: Score,
    /// Rows with the right tools and exactly the right arguments, among the rows with a call.
    pub arguments_exact: Score,
    /// Rows with the right tools, among the rows with a call.
    pub tool_selection: Score,
    /// Rows that get a call, among the rows without one. Lower is better.
    pub over_calls: Score,
    /// Rows whose reply did not end by itself, among all rows. Lower is better.
    pub unfinished: Score,
}

impl EvalScores {
    /// Takes the scores in the order of the fields.
    pub(super) fn of([exact, arguments_exact, tool_selection, over_calls, unfinished]: [Score; 5]) -> Self {
        Self {
            exact,
            arguments_exact,
            tool_selection,
            over_calls,
            unfinished,
        }
    }

    /// Returns every score after two names: that in `metric_for_best_model`, and the one that is
    /// shown.
    fn all(&self) -> [(&'static str, &'static str, Score); 5] {
        [
            ("eval_exact", "right", self.exact),
            ("eval_arguments_exact", "exact calls", self.arguments_exact),
            ("eval_tool_selection", "right tools", self.tool_selection),
            ("eval_over_calls", "over-calls", self.over_calls),
            ("eval_unfinished", "unfinished", self.unfinished),
        ]
    }

    /// Returns their shares, by their names in `metric_for_best_model`; `None` where no row was
    /// counted.
    pub(super) fn rates(&self) -> [(&'static str, Option<f64>); 5] {
        self.all()
            .map(|(name, _, score)| (name, (score.total > 0).then(|| score.rate())))
    }

    /// Returns every score with its name, in the order in which they are shown.
    pub(crate) fn named(&self) -> [(&'static str, Score); 5] {
        self.all().map(|(_, name, score)| (name, score))
    }
}

/// Writes two decimals, or a power of ten where that would be long.
fn readable(number: f64) -> String {
    match number.abs() < 1e6 {
        true => format!("{number:.2}"),
        false => format!("{number:.2e}"),
    }
}

impl fmt::Display for StepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            step,
            total_steps,
            loss,
            token_accuracy,
            grad_norm,
            learning_rate,
            ..
        } = self;
        write!(
            f,
            "step {step:>4}/{total_steps}  loss {loss:.4}  accuracy {token_accuracy:.3}"
        )?;
        write!(
            f,
            "  grad norm {}  lr {learning_rate:.1e}  {:.0} tokens/s",
            readable(*grad_norm),
            self.tokens_per_second
        )?;
        if let Some(loss) = self.eval_loss {
            write!(f, "  validation loss {loss:.4}")?;
        }
        match &self.eval_scores {
            Some(scores) => write!(f, "  {scores}"),
            None => Ok(()),
        }
    }
}

/// Prints `right 80/93  exact calls 50/63  right tools 58/63  over-calls 2/30  unfinished 1/93`.
/// Leaves out scores that were not counted, and unfinished replies if there are none.
impl fmt::Display for EvalScores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = self.named();
        let [.., (_, unfinished)] = &mut all;
        unfinished.total *= unfinished.count.min(1);
        let counted = all.iter().filter(|(_, score)| score.total > 0);
        let texts: Vec<String> = counted
            .map(|(name, Score { count, total })| format!("{name} {count}/{total}"))
            .collect();
        f.write_str(&texts.join("  "))
    }
}
