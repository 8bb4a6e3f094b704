//! Settings by their names: all as JSON, some of them changed, those that change what is learnt.

use super::TrainConfig;
use crate::error::{Error, Result};
use serde_json::{Map, Value};

/// Settings of where and how a run works, how often it is measured or saved, and which trackers it
/// has. A resumed run may change them, and they are not saved with the model: they may name
/// folders, projects and people.
const NOT_LEARNT: [&str; 25] = [
    "device",
    "devices",
    "recompute",
    "max_tokens_per_tree",
    "zero_stage",
    "ddp_timeout",
    "eval_steps",
    "eval_ratio",
    "evals_per_epoch",
    "output_dir",
    "save_steps",
    "save_ratio",
    "saves_per_epoch",
    "save_total_limit",
    "resume_from_checkpoint",
    "report_to",
    "run_name",
    "wandb_project",
    "wandb_entity",
    "wandb_mode",
    "wandb_run_id",
    "logging_dir",
    "logging_steps",
    "logging_ratio",
    "logging_first_step",
];

impl TrainConfig {
    /// Returns all settings by their names.
    pub(in crate::train) fn to_map(&self) -> Result<Map<String, Value>> {
        let all = serde_json::to_value(self).and_then(serde_json::from_value);
        all.map_err(unreadable)
    }

    /// Returns the settings that change what is learnt, by their names.
    pub(in crate::train) fn learnt(&self) -> Result<Map<String, Value>> {
        let mut all = self.to_map()?;
        all.retain(|name, _| !NOT_LEARNT.contains(&name.as_str()));
        Ok(all)
    }

    /// Returns these settings with some of them changed, by name. In `lora`, too, only the named
    /// ones change.
    pub fn with(&self, changes: Map<String, Value>) -> Result<Self> {
        let mut all = self.to_map()?;
        for (name, value) in changes {
            match (all.get_mut(&name), value) {
                (Some(Value::Object(group)), Value::Object(changes)) => group.extend(changes),
                (_, value) => drop(all.insert(name, value)),
            }
        }
        serde_json::from_value(Value::Object(all)).map_err(unreadable)
    }
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::invalid("training settings", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_settings_are_left_out() {
        let config = TrainConfig::default();
        let (all, learnt) = (config.to_map().unwrap(), config.learnt().unwrap());
        assert_eq!(learnt.len() + NOT_LEARNT.len(), all.len());
    }
}
