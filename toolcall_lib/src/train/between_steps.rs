//! The work between the steps of a run: evaluation, the best weights, checkpoints, and the decision
//! whether it goes on.
//!
//! Counts and losses are summed over ranks before they are divided, so every rank sees the same
//! losses and scores, and takes the same decisions. Times are each rank's own.

use super::checkpoints;
use super::config::TrainConfig;
use super::engine::Engine;
use super::identity::Identity;
use super::order::Order;
use super::predict::Predictor;
use super::ranks::first_text;
use super::state::{Best, TrainerState};
use super::step::StepReport;
use super::trainer_state_json::TrainerStateJson;
use crate::collective::Collective;
use crate::error::{Error, Result};
use crate::files::Output;
use crate::interrupt;
use crate::model::Model;
use crate::tokens::Sequence;
use serde_json::{Map, Value};

/// The run of one rank.
pub(super) struct Run<'a> {
    pub ranks: &'a dyn Collective,
    pub config: &'a TrainConfig,
    pub model: &'a mut Model,
    /// Training sequences of each conversation.
    pub rows: Vec<Vec<Sequence>>,
    /// Validation sequences of each conversation.
    pub validation: Vec<Vec<Sequence>>,
    /// Asks the model the validation rows, if the settings want it.
    pub predictor: Option<Predictor<'a>>,
    pub order: Order,
    pub state: TrainerState,
    pub engine: Box<dyn Engine + 'a>,
    pub identity: Identity,
    /// Output folder for checkpoints; on the first rank only.
    pub output: Option<Output>,
}

impl Run<'_> {
    /// Adds loss and scores on the validation set to the report, if this step is to be evaluated.
    pub fn evaluate(&mut self, step_report: &mut StepReport) -> Result<()> {
        let every = self
            .config
            .eval_every(self.order.steps_per_epoch(), self.order.total_steps);
        let last = step_report.step == self.order.total_steps;
        if self.validation.is_empty() || !(last || step_report.step.is_multiple_of(every)) {
            return Ok(());
        }
        let [loss, accuracy] = self.engine.mean_loss(&self.model.decoder, &self.validation)?;
        (step_report.eval_loss, step_report.eval_token_accuracy) = (Some(loss), Some(accuracy));
        if self.predictor.is_some() {
            self.copy_to_host()?;
        }
        if let Some(predictor) = &self.predictor {
            let (cache, device) = self.engine.generator(self.model)?;
            step_report.eval_scores = predictor.scores(self.model, cache, device, self.ranks)?;
        }
        Ok(())
    }

    /// Keeps a copy of the latest weights if `load_best_model_at_end` is set, the latest step was
    /// evaluated, and no earlier evaluation is as good.
    pub fn keep_best(&mut self) -> Result<()> {
        let metric = self.config.metric_for_best_model;
        let (Some(latest), true) = (self.state.steps.last(), self.config.load_best_model_at_end) else {
            return Ok(());
        };
        let (step, Some(value)) = (latest.step, metric.of(latest)) else {
            return Ok(());
        };
        let held = self.state.best.as_ref();
        let of_held = held.and_then(|best| metric.of(self.state.steps.get(best.step - 1)?));
        if of_held.is_some_and(|held| !metric.is_better(value, held)) {
            return Ok(());
        }
        self.copy_to_host()?;
        let weights = self.model.decoder.trainable()?.clone();
        self.state.best = Some(Best { step, weights });
        Ok(())
    }

    /// Gives the model the weights of the best step, if they are to be loaded and are not the
    /// latest. Returns that step.
    pub fn load_best(&mut self) -> Result<Option<usize>> {
        let last = self.state.steps.len();
        let Some(best) = self.state.best.take().filter(|best| best.step != last) else {
            return Ok(None);
        };
        *self.model.decoder.trainable_mut()? = best.weights;
        Ok(Some(best.step))
    }

    /// Returns true if the user of some rank has asked to stop. All ranks get the same answer.
    pub fn is_interrupted(&self) -> Result<bool> {
        let [asked] = self.ranks.sum([f64::from(interrupt::requested())])?;
        Ok(asked != 0.0)
    }

    /// Returns true if none of the last `early_stopping_patience` evaluations improved on the best
    /// one before them.
    pub fn is_stalled(&self) -> bool {
        let Some(patience) = self.config.early_stopping_patience else {
            return false;
        };
        let metric = self.config.metric_for_best_model;
        let values: Vec<f64> = self
            .state
            .steps
            .iter()
            .filter_map(|step| metric.of(step))
            .collect();
        let Some(before) = values.len().checked_sub(patience).filter(|&n| n > 0) else {
            return false;
        };
        let (earlier, latest) = values.split_at(before);
        let improves = |&value: &f64| earlier.iter().all(|&best| metric.is_better(value, best));
        !latest.iter().any(improves)
    }

    /// Returns true if the settings want a checkpoint after step `step`, counted from 0.
    pub fn saves_after(&self, step: usize) -> bool {
        let every = self
            .config
            .save_every(self.order.steps_per_epoch(), self.order.total_steps);
        every.is_some_and(|every| (step + 1).is_multiple_of(every))
    }

    /// Writes a checkpoint of the steps so far, if there is an output folder, and removes the
    /// oldest if there are too many. If it cannot be saved, the run goes on, and the reason is
    /// returned.
    pub fn save_checkpoint(&mut self) -> Result<Option<String>> {
        if self.config.output_dir.is_none() {
            return Ok(None);
        }
        self.copy_to_host()?;
        let steps = self.state.steps.len();
        let name = checkpoints::name(steps);
        let place = (self.output.as_ref(), name.as_str());
        let identities = (self.trainer_state_json(), &self.identity);
        let failed = self.state.save(self.model, identities, place, self.ranks)?;
        if let Some(error) = failed {
            return Ok(Some(format!(
                "{name} could not be saved, and training continues: {error}"
            )));
        }
        Ok(self.remove_old_checkpoints())
    }

    /// Returns the state of the run so far, as transformers keeps it.
    pub fn trainer_state_json(&self) -> Map<String, Value> {
        let state = TrainerStateJson {
            config: self.config,
            steps: &self.state.steps,
            steps_per_epoch: self.order.steps_per_epoch(),
            total_steps: self.order.total_steps,
        };
        state.to_json()
    }

    /// Removes checkpoints beyond `save_total_limit`. Returns the reason if one cannot be removed.
    pub fn remove_old_checkpoints(&self) -> Option<String> {
        let (limit, output) = self.config.save_total_limit.zip(self.output.as_ref())?;
        let removed = checkpoints::keep(limit, self.state.steps.len(), output);
        removed
            .err()
            .map(|error| format!("an old checkpoint could not be removed, and training continues: {error}"))
    }

    /// Brings weights and optimizer state to the host.
    ///
    /// # Errors
    /// Some of them are not finite, on any rank. They must not be saved.
    pub fn copy_to_host(&mut self) -> Result<()> {
        let (decoder, optimizer) = (&mut self.model.decoder, &mut self.state.optimizer);
        self.engine.copy_to_host(decoder, optimizer)?;
        let trained = self.model.decoder.trainable()?;
        let own = trained
            .not_finite()
            .or_else(|| self.state.not_finite(&trained.layout));
        match first_text(self.ranks, own)? {
            None => Ok(()),
            Some(problem) => {
                let advice = "so nothing is saved; use a lower learning rate, or resume from a checkpoint";
                let problem = format!("after step {}: {problem}, {advice}", self.state.optimizer.steps);
                Err(Error::invalid("training", problem))
            }
        }
    }
}
