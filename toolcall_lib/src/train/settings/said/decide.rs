//! Settings that several keys decide together.

use super::super::named_data::file_of;
use super::super::read::{Read, is_off};
use super::{Said, Strategy, Trained};
use crate::data_source::DataSource;
use crate::model::LoraConfig;
use crate::train::TrainConfig;
use crate::weights::Dtype;
use serde_json::{Map, Value, json};

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
            () if assistant.or(completion).is_some() => "all",
            () if all.is_some() => "assistant",
            () => return Ok(()),
        };
        self.put("loss", mode)
            .map_err(|problem| format!("what is trained: the other keys {problem}"))
    }

    /// When it is evaluated and saved.
    pub(super) fn decide_times(&mut self, config: &TrainConfig) -> Read<()> {
        let places = [
            (self.eval, "eval", "evals_per_epoch", config.eval_steps.is_some()),
            (self.save, "save", "saves_per_epoch", config.save_steps.is_some()),
        ];
        for (strategy, what, per_epoch, has_steps) in places {
            let steps = format!("{what}_steps");
            let said_steps = self.value(&steps).is_some_and(|value| !value.is_null());
            match strategy {
                Some(Strategy::Steps) if !said_steps && !has_steps => {
                    return Err(format!(
                        "{what}_strategy: `steps` needs `{steps}`, the number of steps"
                    ));
                }
                Some(Strategy::Epoch) => {
                    self.overwrite(&steps, Value::Null);
                    self.overwrite(per_epoch, json!(1));
                }
                Some(Strategy::No) => {
                    self.overwrite(&steps, Value::Null);
                    if what == "save" {
                        self.overwrite(per_epoch, Value::Null);
                    }
                }
                _ if self.value(per_epoch).is_some_and(|value| !value.is_null()) && !said_steps => {
                    self.overwrite(&steps, Value::Null);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Steps of warmup count more than their share, where both are given: as in transformers.
    pub(super) fn decide_warmup(&mut self) -> Read<()> {
        let steps = self.value("warmup_steps").cloned();
        let ratio = self.value("warmup_ratio").cloned();
        match (steps, ratio) {
            (Some(steps), Some(ratio)) if steps != 0 && !is_off(&ratio) => {
                self.overwrite("warmup_ratio", Value::Null);
                self.notes
                    .push("`warmup_steps` counts, and `warmup_ratio` does not".to_string());
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
                sources.push(DataSource::file(file_of(&name, folder.as_deref())?));
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

    pub(super) fn decide_lora(&mut self, config: &TrainConfig) -> Read<Option<LoraConfig>> {
        let said: Vec<(String, Value)> = self
            .changes
            .iter()
            .filter_map(|(setting, (_, value))| {
                Some((setting.strip_prefix("lora.")?.to_string(), value.clone()))
            })
            .collect();
        let has = |name: &str| said.iter().any(|(setting, _)| setting == name);
        let wanted = self.adapter.unwrap_or(!said.is_empty() || self.lora_group);
        if !wanted {
            if !said.is_empty() {
                let text = "no adapter is trained, so settings of LoRA change nothing";
                self.notes.push(text.to_string());
            }
            return Ok(config.lora.clone().filter(|_| self.adapter.is_none()));
        }
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
        let rank = lora.r as f64;
        let alpha = match self.scale {
            Some(scale) => scale * rank,
            None if self.alpha_is_twice_rank && rank_given && !alpha_given => 2.0 * rank,
            None => lora.lora_alpha,
        };
        Ok(Some(LoraConfig {
            lora_alpha: alpha,
            ..lora
        }))
    }

    /// Weights that are trained are f32, in whatever TRL would load them.
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
