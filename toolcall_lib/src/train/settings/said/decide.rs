//! Settings that several keys decide together.

use super::super::named_data::source_of;
use super::super::read::{Read, is_off};
use super::{Said, Strategy, Trained};
use crate::device::Device;
use crate::model::{LoraConfig, TargetModules};
use crate::track::{ReportTo, TrackerName};
use crate::train::TrainConfig;
use crate::weights::hub::HubId;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Default steps between evaluations and between checkpoints in transformers.
const USUAL_STEPS: u64 = 500;

impl Said {
    pub(super) fn decide_loss(&mut self) -> Read<()> {
        let Trained {
            assistant,
            completion,
            all,
            last,
        } = self.trained;
        let yes = Some(true);
        let mode = match () {
            () if last == yes => "last",
            () if all == yes => "all",
            () if assistant == yes => "assistant",
            () if completion == yes => "completion",
            () if completion.is_some() => "all",
            () if assistant.is_some() => "auto", // TRL's default of completion_only_loss
            () if all.is_some() => "assistant",
            () => return Ok(()),
        };
        self.put("loss", mode)
            .map_err(|problem| format!("what is trained: one key {problem}"))
    }

    /// Decides when the model is evaluated and saved.
    pub(super) fn decide_times(&mut self, config: &TrainConfig) -> Read<()> {
        let has_eval = config.eval_steps.is_some() || config.eval_ratio.is_some();
        let has_save = config.save_steps.is_some() || config.save_ratio.is_some();
        let places = [
            (self.eval, "eval", "evals_per_epoch", has_eval),
            (self.save, "save", "saves_per_epoch", has_save),
        ];
        for (strategy, what, per_epoch, has_steps) in places {
            let (steps, share) = (format!("{what}_steps"), format!("{what}_ratio"));
            let said_steps = self.says(&steps) || self.says(&share);
            match strategy {
                Some(Strategy::Steps) if !said_steps && !has_steps => {
                    self.usual_steps(what, config);
                    continue;
                }
                Some(Strategy::Epoch) => self.overwrite(per_epoch, json!(1)),
                Some(Strategy::No) if what == "save" => self.overwrite(per_epoch, Value::Null),
                Some(Strategy::No) => {}
                _ if self.says(per_epoch) && !said_steps => {}
                _ => continue,
            }
            self.overwrite(&steps, Value::Null);
            self.overwrite(&share, Value::Null);
        }
        Ok(())
    }

    /// Steps where the strategy is `steps` without a number: transformers evaluates with each entry
    /// of the log, and saves every 500 steps.
    fn usual_steps(&mut self, what: &str, config: &TrainConfig) {
        let is_eval = what == "eval";
        let share = match self.value("logging_ratio") {
            Some(share) => share.clone(),
            None => json!(config.logging_ratio),
        };
        if is_eval && !share.is_null() {
            self.overwrite("eval_ratio", share);
            return;
        }
        let of_recipe = TrainConfig::default().logging_steps;
        let before = Some(config.logging_steps).filter(|steps| *steps != of_recipe);
        let logged = self.value("logging_steps").and_then(Value::as_u64);
        let logged = logged.or(before.map(|steps| steps as u64)).filter(|_| is_eval);
        let steps = logged.unwrap_or(USUAL_STEPS);
        self.overwrite(&format!("{what}_steps"), json!(steps));
        self.open.usual_steps[usize::from(!is_eval)] = Some(steps);
    }

    /// A share of all steps replaces a number of steps, and the other way round.
    pub(super) fn decide_shares(&mut self) -> Read<()> {
        for what in ["eval", "save", "logging"] {
            let (steps, share) = (format!("{what}_steps"), format!("{what}_ratio"));
            match (self.says(&steps), self.says(&share)) {
                (true, true) => {
                    return Err(format!(
                        "{share}: is given besides `{steps}`; leave one of them out"
                    ));
                }
                (false, true) if what != "logging" => self.overwrite(&steps, Value::Null),
                (true, false) => self.overwrite(&share, Value::Null),
                (false, false) if self.value(&steps).is_some() => self.overwrite(&share, Value::Null),
                _ => {}
            }
        }
        Ok(())
    }

    /// An iteration of mlx-lm is a batch, of which `gradient_accumulation_steps` make a step.
    pub(super) fn decide_iterations(&mut self, config: &TrainConfig) -> Read<()> {
        let said = self.value("gradient_accumulation_steps").and_then(Value::as_u64);
        let of_step = said.unwrap_or(config.gradient_accumulation_steps as u64).max(1);
        for (setting, key, batches) in self.iterations.clone() {
            if batches % of_step != 0 && setting != "logging_steps" {
                return Err(format!(
                    "{key}: {batches} batches, as mlx-lm counts them, are not a full number of steps with \
                     `gradient_accumulation_steps` {of_step}; expected a multiple of {of_step}"
                ));
            }
            let steps = batches.div_ceil(of_step);
            if of_step > 1 {
                self.notes.push(format!(
                    "{key}: {batches} batches, as mlx-lm counts them, are {steps} steps of {of_step}"
                ));
            }
            self.key.clone_from(&key);
            self.put(setting, steps)
                .map_err(|problem| format!("{key}: {problem}"))?;
        }
        Ok(())
    }

    /// Keys that switch a tracker on or off become `report_to`, unless that is set.
    pub(super) fn decide_trackers(&mut self) -> Read<()> {
        let on = self.trackers.iter().filter(|(_, wanted)| *wanted);
        let on: Vec<TrackerName> = on.map(|(tracker, _)| *tracker).collect();
        match self.value("report_to").filter(|value| !value.is_null()) {
            None if self.trackers.is_empty() => {}
            None => self.overwrite("report_to", json!(ReportTo(on))),
            Some(value) => {
                let read = serde_json::from_value(value.clone());
                let ReportTo(named) = read.map_err(|error| error.to_string())?;
                let unnamed = on.iter().filter(|tracker| !named.contains(tracker));
                let note = |tracker| format!("`report_to` overrides it, and does not name {tracker}");
                self.notes.extend(unnamed.map(note));
            }
        }
        Ok(())
    }

    /// The revision of the model is part of its name here: `owner/name@revision`.
    pub(super) fn decide_revision(&mut self) -> Read<()> {
        let Some(revision) = self.revision.take() else {
            return Ok(());
        };
        let model = self.inputs.model.clone().or(self.model_before.take());
        let problem = |why: String| format!("model_revision: `{revision}` {why}");
        let Some(model) = model else {
            let why = "is that of a model that is not named; write --model owner/name@revision";
            return Err(problem(why.to_string()));
        };
        if Path::new(&model).exists() {
            self.notes
                .push(problem(format!("is left out, since {model} is here")));
            return Ok(());
        }
        let (repo, other) = model
            .split_once('@')
            .unwrap_or((model.as_str(), revision.as_str()));
        let joined = format!("{repo}@{revision}");
        if HubId::parse(&joined).is_none() {
            let why = format!("does not fit {model}, which is not a name on the hub");
            return Err(problem(why));
        }
        if other != revision {
            return Err(problem(format!("is not that of {model}; leave one of them out")));
        }
        self.inputs.model = Some(joined);
        Ok(())
    }

    fn says(&self, setting: &str) -> bool {
        self.value(setting).is_some_and(|value| !value.is_null())
    }

    /// Steps of warmup override their share, where both are given: as in transformers.
    pub(super) fn decide_warmup(&mut self) -> Read<()> {
        let steps = self.value("warmup_steps").cloned();
        let ratio = self.value("warmup_ratio").cloned();
        self.open.ask_for_warmup(steps.as_ref());
        self.open.ask_for_warmup(ratio.as_ref());
        match (steps, ratio) {
            (Some(steps), Some(ratio)) if steps != 0 && !is_off(&ratio) => {
                self.overwrite("warmup_ratio", Value::Null);
                self.notes
                    .push("`warmup_steps` overrides `warmup_ratio`".to_string());
            }
            (Some(steps), _) if steps != 0 => self.overwrite("warmup_ratio", Value::Null),
            (Some(_), None) => self.overwrite("warmup_ratio", Value::Null),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn decide_direction(&mut self, config: &TrainConfig) -> Read<()> {
        let Some(greater) = self.greater_is_better else {
            return Ok(());
        };
        let metric = match self.value("metric_for_best_model") {
            Some(value) => serde_json::from_value(value.clone()).unwrap_or(config.metric_for_best_model),
            None => config.metric_for_best_model,
        };
        match metric.greater_is_better() == greater {
            true => Ok(()),
            false => Err(format!(
                "greater_is_better: {greater} does not fit `{metric}`, whose direction is known; leave it out"
            )),
        }
    }

    pub(super) fn decide_data(&mut self) -> Read<()> {
        let folder = self.named_data_in.clone();
        let [data, validation] = std::mem::take(&mut self.named_data);
        for (names, sources) in [
            (data, &mut self.inputs.data),
            (validation, &mut self.inputs.validation),
        ] {
            for name in names {
                let (source, note) = source_of(&name, folder.as_deref())?;
                sources.push(source);
                self.notes.extend(note);
            }
        }
        Ok(())
    }

    /// A schedule of mlx-lm falls over all steps, or over others than are made.
    pub(super) fn decide_end(&mut self, config: &TrainConfig) -> Read<()> {
        let steps = self.value("max_steps").and_then(Value::as_u64);
        let steps = steps.or(config.max_steps.map(|steps| steps as u64));
        match (self.falls_over, steps) {
            (Some(over), Some(steps)) if !over.contains(&steps) => Err(format!(
                "lr_schedule: falls over {} steps, and the run has {steps}; expected the same number",
                over[0]
            )),
            (Some([_, all]), None) => self.put("max_steps", all),
            _ => Ok(()),
        }
    }

    /// Returns the settings of the adapter, if one is trained.
    pub(super) fn decide_lora(&mut self, config: &TrainConfig) -> Read<Option<LoraConfig>> {
        // 1. The settings of the adapter that were given, here and before.
        self.keep_lora()?;
        // 2. Without an adapter they wait, except for one by which fewer layers would be trained.
        let asked = self.asks_for_adapter || self.lora_group || config.lora.is_some();
        if !self.adapter.unwrap_or(asked) {
            return match self.changes.get("lora.last_layers") {
                Some((key, Value::Number(_))) => Err(format!(
                    "{key}: without an adapter all layers are trained; expected -1"
                )),
                _ => Ok(None),
            };
        }
        // 3. Change the adapter's settings, or those that it starts from.
        let start = match &config.lora {
            Some(lora) => lora.clone(),
            None if self.lora_group => LoraConfig::default(),
            None => TrainConfig::lora().lora.unwrap_or_default(),
        };
        let mut all: Map<String, Value> = serde_json::to_value(&start)
            .and_then(serde_json::from_value)
            .unwrap_or_default();
        let said = self.open.lora.iter();
        all.extend(said.map(|(name, (_, value))| (name.clone(), value.clone())));
        let read = serde_json::from_value(Value::Object(all));
        let mut lora: LoraConfig = read.map_err(|error| format!("lora: {error}"))?;
        // 4. Alpha, which some tools give by the rank.
        if let Some(scale) = self.scale {
            lora.lora_alpha = scale * lora.r as f64;
            let said = ("scale".to_string(), json!(lora.lora_alpha));
            self.open.lora.insert("lora_alpha".to_string(), said);
        } else if self.alpha_is_twice_rank && !self.open.lora.contains_key("lora_alpha") {
            lora.lora_alpha = 2.0 * lora.r as f64;
        }
        Ok(Some(lora))
    }

    /// Keeps the settings of the adapter, in addition to those that were given before.
    fn keep_lora(&mut self) -> Read<()> {
        for (setting, said) in &self.changes {
            if let Some(name) = setting.strip_prefix("lora.") {
                self.open.lora.insert(name.to_string(), said.clone());
            }
        }
        if let Some(key) = self.all_linear.take() {
            let all = (key, json!(TargetModules::all()));
            let named = self.open.lora.insert("target_modules".to_string(), all);
            // Every layer that can be named is among them; other names have to be refused.
            let named = named.map(|(_, value)| serde_json::from_value::<TargetModules>(value));
            named
                .transpose()
                .map_err(|error| format!("lora: target_modules: {error}"))?;
        }
        Ok(())
    }

    /// `use_cpu` false takes back the CPU of earlier settings; a device that is named counts more.
    pub(super) fn decide_device(&mut self, config: &TrainConfig) -> Read<()> {
        match self.not_on_cpu && !self.says("device") && config.device == Device::Cpu {
            true => self.put("device", "auto"),
            false => Ok(()),
        }
    }

    /// Trained weights are f32, whatever type TRL would load. Packed ones stay packed.
    pub(super) fn decide_dtype(&mut self, config: &TrainConfig) {
        self.inputs.dtype = self.open.dtype(config);
    }
}
