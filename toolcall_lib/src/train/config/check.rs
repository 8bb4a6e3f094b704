//! Refuses settings that cannot be trained with.

use super::{LONGEST_TIMEOUT, TrainConfig};
use crate::error::{Error, Result, short};
use crate::model::LoraConfig;
use crate::track::is_run_id;
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::ops::RangeBounds;

impl TrainConfig {
    /// Refuses settings that need a validation set.
    pub(in crate::train) fn refuse_best_model(&self) -> Result<()> {
        let wanted = [
            ("load_best_model_at_end", self.load_best_model_at_end),
            ("early_stopping_patience", self.early_stopping_patience.is_some()),
        ];
        match wanted.iter().find(|(_, wanted)| *wanted) {
            Some((field, _)) => Err(Error::invalid(
                field,
                "needs a validation set, which is missing; give one, or leave the setting out",
            )),
            None => Ok(()),
        }
    }

    /// Refuses settings that cannot be trained with. A run calls this before anything else.
    pub fn check(&self) -> Result<()> {
        let positive = [
            ("per_device_train_batch_size", self.per_device_train_batch_size),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps),
            ("max_tokens_per_tree", self.max_tokens_per_tree),
            ("group_by_prefix", self.group_by_prefix),
            ("max_steps", self.max_steps.unwrap_or(1)),
            ("eval_steps", self.eval_steps.unwrap_or(1)),
            ("logging_steps", self.logging_steps),
            ("evals_per_epoch", self.evals_per_epoch),
            ("save_steps", self.save_steps.unwrap_or(1)),
            ("saves_per_epoch", self.saves_per_epoch.unwrap_or(1)),
            ("save_total_limit", self.save_total_limit.unwrap_or(1)),
            ("max_predict_samples", self.max_predict_samples.unwrap_or(1)),
            ("generation_max_new_tokens", self.generation_max_new_tokens),
            (
                "early_stopping_patience",
                self.early_stopping_patience.unwrap_or(1),
            ),
            ("ddp_timeout", usize::from(self.ddp_timeout > 0)),
        ];
        if let Some((field, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::invalid(field, "is too small; expected 1 or more"));
        }
        if let Some(length @ ..2) = self.max_length {
            let problem =
                format!("{length} is too small; expected at least 2 tokens, one of which is trained on");
            return Err(Error::invalid("max_length", problem));
        }
        if self.metric_for_best_model.is_of_answers() && !self.predict_with_generate {
            let problem = format!(
                "{} needs the model's answers; set `predict_with_generate`",
                self.metric_for_best_model
            );
            return Err(Error::invalid("metric_for_best_model", problem));
        }
        if self.ddp_timeout > LONGEST_TIMEOUT {
            let problem = format!(
                "{} s is too long; expected at most {LONGEST_TIMEOUT} s",
                self.ddp_timeout
            );
            return Err(Error::invalid("ddp_timeout", problem));
        }
        if let Some(id) = self.wandb_run_id.as_ref().filter(|id| !is_run_id(id)) {
            let problem = format!("`{id}` is not an id; expected at most 64 letters, digits, - and _");
            return Err(Error::invalid("wandb_run_id", problem));
        }
        if self.zero_stage > 2 {
            let problem = format!("{} is not supported; expected 0, 1 or 2", self.zero_stage);
            return Err(Error::invalid("zero_stage", problem));
        }
        let (positive, share) = ((Excluded(0.0), Unbounded), (Excluded(0.0), Included(1.0)));
        let (at_least_0, below_1) = ((Included(0.0), Unbounded), (Included(0.0), Excluded(1.0)));
        let from_0_to_1 = (Included(0.0), Included(1.0));
        // Not 0 as f32, because unused weights would be divided by it.
        let epsilon = (Included(f64::from(f32::MIN_POSITIVE)), Unbounded);
        let ranges = [
            ("num_train_epochs", self.num_train_epochs, positive),
            ("learning_rate", self.learning_rate, from_0_to_1),
            ("warmup_ratio", self.warmup_ratio.unwrap_or(0.0), from_0_to_1),
            ("eval_ratio", self.eval_ratio.unwrap_or(1.0), share),
            ("save_ratio", self.save_ratio.unwrap_or(1.0), share),
            ("logging_ratio", self.logging_ratio.unwrap_or(1.0), share),
            ("weight_decay", self.weight_decay, at_least_0),
            ("adam_beta1", self.adam_beta1, below_1),
            ("adam_beta2", self.adam_beta2, below_1),
            ("adam_epsilon", self.adam_epsilon, epsilon),
            ("max_grad_norm", self.max_grad_norm, at_least_0),
        ];
        let fits = |value: f64, range: Range| value.is_finite() && range.contains(&value);
        match ranges.into_iter().find(|&(_, value, range)| !fits(value, range)) {
            Some((field, value, range)) => {
                let problem = format!(
                    "{} is out of range; expected a number {}",
                    short(value),
                    in_words(range)
                );
                Err(Error::invalid(field, problem))
            }
            None => self.lora.as_ref().map_or(Ok(()), LoraConfig::check),
        }
    }
}

/// Smallest and largest value of a setting.
type Range = (Bound<f64>, Bound<f64>);

/// Returns a range for a message, such as "above 0 and at most 1".
fn in_words((low, high): Range) -> String {
    let low = match low {
        Included(low) => Some(format!("of at least {}", short(low))),
        Excluded(low) => Some(format!("above {}", short(low))),
        Unbounded => None,
    };
    let high = match high {
        Included(high) => Some(format!("at most {}", short(high))),
        Excluded(high) => Some(format!("below {}", short(high))),
        Unbounded => None,
    };
    let both: Vec<String> = [low, high].into_iter().flatten().collect();
    both.join(" and ")
}
