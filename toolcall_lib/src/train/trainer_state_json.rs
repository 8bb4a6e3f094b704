//! `trainer_state.json` with the fields of transformers' `TrainerState`, which reads it.

use super::config::TrainConfig;
use super::history::History;
use super::step::StepReport;
use super::{checkpoints, report};
use serde_json::{Map, Value, json};

/// Makes the state that transformers keeps of a run, from its settings and steps.
pub(super) struct TrainerStateJson<'a> {
    pub config: &'a TrainConfig,
    pub steps: &'a [StepReport],
    /// Optimizer steps of one pass over the data.
    pub steps_per_epoch: usize,
    /// Optimizer steps of the whole run.
    pub total_steps: usize,
}

impl TrainerStateJson<'_> {
    /// Returns all fields in the order of their names; `stateful_callbacks` is empty.
    pub fn to_json(&self) -> Map<String, Value> {
        let Self { config, steps, .. } = self;
        let last = steps.last();
        let best = report::best(steps, config.metric_for_best_model);
        let history = History::of(steps, config);
        let fields = json!({
            "best_global_step": best.map(|step| step.step),
            "best_metric": best.and_then(|step| config.metric_for_best_model.of(step)),
            "best_model_checkpoint": best.and_then(|step| self.checkpoint(step.step)),
            "epoch": last.map_or(0.0, |step| step.epoch),
            "eval_steps": config.eval_every(self.steps_per_epoch, self.total_steps),
            "global_step": last.map_or(0, |step| step.step),
            "is_hyper_param_search": false,
            "is_local_process_zero": true,
            "is_world_process_zero": true,
            "log_history": history.entries,
            "logging_steps": config.log_every(self.total_steps),
            "max_steps": self.total_steps,
            "num_input_tokens_seen": steps.iter().map(|step| step.tokens).sum::<u64>(),
            "num_train_epochs": self.total_steps.div_ceil(self.steps_per_epoch.max(1)),
            "save_steps": config.save_every(self.steps_per_epoch, self.total_steps),
            "stateful_callbacks": {},
            "total_flos": 0.0,
            "train_batch_size": config.per_device_train_batch_size,
            "trial_name": null,
            "trial_params": null,
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    /// The checkpoint of a step, if the folder has it or is about to have it.
    fn checkpoint(&self, step: usize) -> Option<String> {
        let place = self.config.output_dir.as_ref()?.join(checkpoints::name(step));
        let every = self.config.save_every(self.steps_per_epoch, self.total_steps)?;
        let is_there = step.is_multiple_of(every) && (step == self.steps.len() || place.is_dir());
        is_there.then(|| place.display().to_string())
    }
}
