//! Settings that several keys decide together.

use super::super::named_data::source_of;
use super::super::read::{Read, is_off};
use super::{Said, Strategy, Trained};
use crate::model::{LoraConfig, TargetModules};
use crate::optimizer::Schedule;
use crate::track::{ReportTo, TrackerName};
use crate::train::TrainConfig;
use crate::weights::Dtype;
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
        self.notes.push(format!(
            "{what}_strategy: `steps` without `{what}_steps` is every {steps} steps, as in transformers"
        ));
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

    /// Notes the settings that mean another thing in their tool.
    pub(super) fn tell_differences(&mut self, config: &TrainConfig) {
        self.tell_warmup(config);
        if let Some(key) = self.packed.take() {
            let batch = config.per_device_train_batch_size;
            let batches = config.gradient_accumulation_steps;
            self.notes.push(format!(
                "{key}: a batch there counts packed sequences; here it counts conversations, and a step has \
                 {} ({batch} · {batches}) on each rank",
                batch * batches
            ));
        }
        if !self.iterations.is_empty() && !self.bias_correction {
            let text = "mlx-lm's Adam does not correct its moments where `bias_correction` is not true; here \
                        they are corrected, so the first steps are smaller";
            self.notes.push(text.to_string());
        }
    }

    /// Notes a warmup that the schedule does not have.
    fn tell_warmup(&mut self, config: &TrainConfig) {
        let is_said = |setting| self.value(setting).is_some_and(|value| !is_off(value));
        let is_said = is_said("warmup_steps") || is_said("warmup_ratio");
        if config.lr_scheduler_type == Schedule::Constant && is_said {
            let text = "a `constant` learning rate has no warmup; `constant_with_warmup` has one";
            self.notes.push(text.to_string());
        }
    }

    fn says(&self, setting: &str) -> bool {
        self.value(setting).is_some_and(|value| !value.is_null())
    }

    /// Steps of warmup override their share, where both are given: as in transformers.
    pub(super) fn decide_warmup(&mut self) -> Read<()> {
        let steps = self.value("warmup_steps").cloned();
        let ratio = self.value("warmup_ratio").cloned();
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

    /// Returns the settings of the adapter, if one is trained, or else those that wait for a later
    /// layer of settings to ask for one. `waiting` are those of earlier layers.
    pub(super) fn decide_lora(
        &mut self,
        config: &TrainConfig,
        waiting: &Map<String, Value>,
    ) -> Read<(Option<LoraConfig>, Map<String, Value>)> {
        let own = self.said_of_lora()?;
        let has = |name: &str| own.contains_key(name);
        let asked = self.asks_for_adapter || self.lora_group || config.lora.is_some();
        let mut said = waiting.clone();
        said.extend(own.clone());
        if !self.adapter.unwrap_or(asked) {
            self.tell_no_adapter()?;
            return Ok((None, said));
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
        let (alpha_given, rank_given) = (has("lora_alpha"), has("r"));
        all.extend(said);
        let read = serde_json::from_value(Value::Object(all));
        let lora: LoraConfig = read.map_err(|error| format!("lora: {error}"))?;
        // 4. Alpha, which some tools give by the rank.
        let rank = lora.r as f64;
        let alpha = match self.scale {
            Some(scale) => scale * rank,
            None if self.alpha_is_twice_rank && rank_given && !alpha_given => 2.0 * rank,
            None => lora.lora_alpha,
        };
        let lora = LoraConfig {
            lora_alpha: alpha,
            ..lora
        };
        Ok((Some(lora), Map::new()))
    }

    /// Returns the settings of the adapter, by their names within `lora`.
    fn said_of_lora(&self) -> Read<Map<String, Value>> {
        let changes = self.changes.iter();
        let mut said: Map<String, Value> = changes
            .filter_map(|(setting, (_, value))| {
                Some((setting.strip_prefix("lora.")?.to_string(), value.clone()))
            })
            .collect();
        if self.all_linear {
            let all = json!(TargetModules::all());
            let named = said.insert("target_modules".to_string(), all);
            // all linear layers are among them, and what is none has to be refused
            let named = named.map(serde_json::from_value::<TargetModules>).transpose();
            named.map_err(|error| format!("lora: target_modules: {error}"))?;
        }
        Ok(said)
    }

    /// Notes settings of LoRA without an adapter, and refuses the one by which fewer layers would
    /// be trained.
    fn tell_no_adapter(&mut self) -> Read<()> {
        let of_lora = self
            .changes
            .iter()
            .filter(|(setting, _)| setting.starts_with("lora."));
        let mut keys: Vec<&str> = of_lora.map(|(_, (key, _))| key.as_str()).collect();
        keys.extend(self.all_linear.then_some("lora_target_linear"));
        if let Some((key, Value::Number(_))) = self.changes.get("lora.last_layers") {
            let problem = "without an adapter all layers are trained; expected -1";
            return Err(format!("{key}: {problem}"));
        }
        if !keys.is_empty() {
            self.notes.push(format!(
                "no adapter is trained by {} alone; `use_peft: true`, `adapter: lora` or `finetuning_type: lora` \
                 asks for one",
                keys.join(", ")
            ));
        }
        Ok(())
    }

    /// Trained weights are f32, whatever type TRL would load.
    pub(super) fn decide_dtype(&mut self, config: &TrainConfig) {
        let Some(dtype) = self.loaded_as else { return };
        if config.lora.is_some() {
            self.inputs.dtype.get_or_insert(dtype);
        } else if dtype != Dtype::F32 {
            let text =
                "dtype: weights that are trained are held as f32; `bf16` says in what products are computed";
            self.notes.push(text.to_string());
        }
    }
}
