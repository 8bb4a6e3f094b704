//! The log of a run under the names of transformers, for plots of other tools: `log_history` of
//! `trainer_state.json`, and the points that trackers get.

use super::config::TrainConfig;
use super::step::StepReport;
use crate::track::Point;
use serde_json::{Map, Value, json};

/// The log of a run, step by step. It follows from the steps alone, so a run that goes on from a
/// checkpoint has the log of one that was never stopped.
#[derive(Clone, Debug)]
pub(super) struct History {
    /// Settings that say how many steps there are from one entry to the next.
    config: TrainConfig,
    /// Loss and accuracy of the steps since the last entry.
    since: Vec<(f64, f64)>,
    /// Tokens so far.
    tokens: u64,
    /// Entries of `log_history`.
    pub entries: Vec<Value>,
}

impl History {
    pub fn new(config: &TrainConfig) -> Self {
        Self {
            config: config.clone(),
            since: Vec::new(),
            tokens: 0,
            entries: Vec::new(),
        }
    }

    /// The log of these steps.
    pub fn of(steps: &[StepReport], config: &TrainConfig) -> Self {
        let mut history = Self::new(config);
        steps.iter().for_each(|step| drop(history.push(step)));
        history
    }

    /// Adds a step. Returns the entry that is logged after it, if there is one.
    pub fn push(&mut self, step: &StepReport) -> Option<Point> {
        self.tokens += step.tokens;
        self.since.push((step.loss, step.token_accuracy));
        let is_logged = step.step.is_multiple_of(self.config.log_every(step.total_steps))
            || (self.config.logging_first_step && step.step == 1);
        let trained = is_logged.then(|| self.trained(step));
        let evaluated = evaluated(step);
        let mut values = Map::new();
        for entry in [trained, evaluated].into_iter().flatten() {
            values.extend(entry.clone());
            self.entries.push(sorted(entry, step));
        }
        (!values.is_empty()).then(|| {
            values.insert("epoch".to_string(), step.epoch.into());
            Point {
                step: step.step,
                values,
            }
        })
    }

    /// Means of the steps since the last entry; the rest is that of this step.
    fn trained(&mut self, step: &StepReport) -> Map<String, Value> {
        let steps = self.since.len() as f64;
        let loss = self.since.iter().map(|(loss, _)| loss).sum::<f64>() / steps;
        let accuracy = self.since.iter().map(|(_, accuracy)| accuracy).sum::<f64>() / steps;
        self.since.clear();
        object(json!({
            "loss": loss,
            "grad_norm": step.grad_norm,
            "learning_rate": step.learning_rate,
            "mean_token_accuracy": accuracy,
            "num_tokens": self.tokens,
        }))
    }
}

/// Measurements on the validation set, if there are any.
fn evaluated(step: &StepReport) -> Option<Map<String, Value>> {
    let mut values = object(json!({"eval_loss": step.eval_loss?}));
    let accuracy = step.eval_token_accuracy.map(Value::from);
    values.extend(accuracy.map(|accuracy| ("eval_mean_token_accuracy".to_string(), accuracy)));
    if let Some(scores) = &step.eval_scores {
        let counted = scores
            .rates()
            .into_iter()
            .filter_map(|(name, rate)| Some((name, rate?)));
        values.extend(counted.map(|(name, rate)| (name.to_string(), rate.into())));
    }
    Some(values)
}

/// An entry as transformers writes it, its names in order.
fn sorted(mut values: Map<String, Value>, step: &StepReport) -> Value {
    values.insert("epoch".to_string(), step.epoch.into());
    values.insert("step".to_string(), step.step.into());
    values.sort_keys();
    Value::Object(values)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
