//! Refuses settings that cannot be trained with.

use super::{LONGEST_TIMEOUT, TrainConfig};
use crate::error::{Error, Result, short};
use crate::model::LoraConfig;
use crate::track::is_run_id;

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
                "needs a validation set, and there is none; give one or leave it out",
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
            ("max_length", self.max_length.unwrap_or(2).saturating_sub(1)),
            ("ddp_timeout", usize::from(self.ddp_timeout > 0)),
        ];
        if let Some((field, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::invalid(field, "too small; expected a positive number"));
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
                "{} is too long; expected seconds, at most {LONGEST_TIMEOUT}",
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
        let least = f64::MIN_POSITIVE; // more than 0
        let ranges = [
            ("num_train_epochs", self.num_train_epochs, least, f64::MAX),
            ("learning_rate", self.learning_rate, 0.0, 1.0),
            ("warmup_ratio", self.warmup_ratio.unwrap_or(0.0), 0.0, 1.0),
            ("eval_ratio", self.eval_ratio.unwrap_or(1.0), least, 1.0),
            ("save_ratio", self.save_ratio.unwrap_or(1.0), least, 1.0),
            ("logging_ratio", self.logging_ratio.unwrap_or(1.0), least, 1.0),
            ("weight_decay", self.weight_decay, 0.0, f64::MAX),
            ("adam_beta1", self.adam_beta1, 0.0, 1.0 - f64::EPSILON),
            ("adam_beta2", self.adam_beta2, 0.0, 1.0 - f64::EPSILON),
            (
                // Not 0 as f32, because unused weights would be divided by it.
                "adam_epsilon",
                self.adam_epsilon,
                f64::from(f32::MIN_POSITIVE),
                f64::MAX,
            ),
            ("max_grad_norm", self.max_grad_norm, 0.0, f64::MAX),
        ];
        match ranges
            .iter()
            .find(|(_, value, low, high)| !(low..=high).contains(&value))
        {
            Some((field, value, low, high)) => Err(Error::invalid(
                field,
                format!("{} is not between {low:e} and {high:e}", short(*value)),
            )),
            None => self.lora.as_ref().map_or(Ok(()), LoraConfig::check),
        }
    }
}
