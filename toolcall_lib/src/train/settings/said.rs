//! What the keys of a file, or the flags of a command line, have said so far.

use super::Inputs;
use super::fields::field;
use super::read::{Read, is_off};
use crate::model::LoraConfig;
use crate::train::TrainConfig;
use crate::weights::Dtype;
use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// When something happens, as transformers' `eval_strategy` and `save_strategy` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    No,
    Steps,
    Epoch,
}

/// Which tokens are trained, in the words of the peers, which say it with several keys.
#[derive(Debug, Default)]
pub(super) struct Trained {
    /// TRL's `assistant_only_loss`.
    pub assistant: Option<bool>,
    /// TRL's `completion_only_loss`.
    pub completion: Option<bool>,
    /// Prompts too.
    pub all: Option<bool>,
    /// The last turn only.
    pub last: Option<bool>,
}

/// Settings by our names, inputs, and what can only be decided when every key is known.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The key that is being read.
    pub key: String,
    /// What our settings become, each with the key that said it.
    changes: IndexMap<String, (String, Value)>,
    pub inputs: Inputs,
    pub notes: Vec<String>,
    /// Keys that change nothing here, by the reason.
    ignored: IndexMap<&'static str, Vec<String>>,
    /// Whether an adapter is trained.
    pub adapter: Option<bool>,
    /// Whether `lora` stands there as a group.
    pub lora_group: bool,
    pub trained: Trained,
    pub eval: Option<Strategy>,
    pub save: Option<Strategy>,
    pub greater_is_better: Option<bool>,
    /// mlx-lm's `scale`, which is alpha / rank.
    pub scale: Option<f64>,
    /// LLaMA-Factory's rank, twice of which is alpha.
    pub alpha_is_twice_rank: bool,
    /// Steps over which mlx-lm's schedule falls, without and with its warmup.
    pub falls_over: Option<[u64; 2]>,
    /// Names of LLaMA-Factory's data sets and the folder that they are in.
    pub named_data: [Vec<String>; 2],
    pub named_data_in: Option<PathBuf>,
    /// In what TRL loads the weights.
    pub loaded_as: Option<Dtype>,
}

impl Said {
    /// A setting of ours has this value.
    pub fn set(&mut self, setting: &str, value: &Value) -> Read<()> {
        let field = field(setting).ok_or_else(|| format!("`{setting}` is not a setting"))?;
        if value.is_null() && !field.optional {
            return Ok(()); // an empty line of YAML
        }
        let value = field.read(value)?;
        self.put(setting, value)
    }

    /// [`Said::set`], for a value of the setting's own type.
    pub fn put(&mut self, setting: &str, value: impl Into<Value>) -> Read<()> {
        let value = value.into();
        match self.changes.get(setting) {
            Some((other, before)) if *before != value => Err(format!(
                "says {value} of `{setting}`, and `{other}` says {before}; leave one of them out"
            )),
            Some(_) => Ok(()),
            None => {
                let said = (self.key.clone(), value);
                self.changes.insert(setting.to_string(), said);
                Ok(())
            }
        }
    }

    /// This key changes nothing here.
    pub fn ignore(&mut self, why: &'static str) {
        self.ignored.entry(why).or_default().push(self.key.clone());
    }

    pub fn note(&mut self, text: &str) {
        self.notes.push(format!("{}: {text}", self.key));
    }

    /// Every member of the group `lora`; null trains no adapter.
    pub fn lora(&mut self, group: Option<&Map<String, Value>>) -> Read<()> {
        let Some(group) = group else {
            self.adapter = Some(false);
            return Ok(());
        };
        self.lora_group = true;
        for (name, value) in group {
            let setting = format!("lora.{name}");
            if field(&setting).is_none() {
                return Err(format!(
                    "unknown field `{name}`; expected some of {}",
                    of_lora().join(", ")
                ));
            }
            self.set(&setting, value)
                .map_err(|problem| format!("{name}: {problem}"))?;
        }
        Ok(())
    }

    fn value(&self, setting: &str) -> Option<&Value> {
        self.changes.get(setting).map(|(_, value)| value)
    }

    fn overwrite(&mut self, setting: &str, value: Value) {
        let key = self.changes.get(setting).map(|(key, _)| key.clone());
        self.changes
            .insert(setting.to_string(), (key.unwrap_or_default(), value));
    }

    /// `config` with what was said.
    ///
    /// # Errors
    /// What does not go together: all of it.
    pub fn over(
        mut self,
        config: &TrainConfig,
    ) -> std::result::Result<(TrainConfig, Inputs, Vec<String>), Vec<String>> {
        let problems: Vec<String> = [
            self.decide_loss(),
            self.decide_times(config),
            self.decide_warmup(),
            self.decide_direction(config),
            self.decide_data(),
            self.decide_end(config),
        ]
        .into_iter()
        .filter_map(Result::err)
        .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let lora = self.decide_lora(config).map_err(|problem| vec![problem])?;
        let mut changes = Map::new();
        for (setting, (_, value)) in &self.changes {
            if !setting.starts_with("lora") {
                changes.insert(setting.clone(), value.clone());
            }
        }
        let changed = TrainConfig {
            lora,
            ..config.with(changes).map_err(|error| vec![error.to_string()])?
        };
        self.decide_dtype(&changed);
        for (why, keys) in &self.ignored {
            self.notes
                .push(format!("nothing changes here by {} ({why})", keys.join(", ")));
        }
        Ok((changed, self.inputs, self.notes))
    }

    fn decide_loss(&mut self) -> Read<()> {
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
    fn decide_times(&mut self, config: &TrainConfig) -> Read<()> {
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
    fn decide_warmup(&mut self) -> Read<()> {
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

    fn decide_direction(&mut self, config: &TrainConfig) -> Read<()> {
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

    fn decide_data(&mut self) -> Read<()> {
        let folder = self.named_data_in.clone();
        let [data, validation] = std::mem::take(&mut self.named_data);
        for (names, files) in [
            (data, &mut self.inputs.data),
            (validation, &mut self.inputs.validation),
        ] {
            for name in names {
                files.push(super::named_data::file_of(&name, folder.as_deref())?);
            }
        }
        Ok(())
    }

    /// A schedule of mlx-lm falls over all steps, or over others than are made.
    fn decide_end(&mut self, config: &TrainConfig) -> Read<()> {
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

    fn decide_lora(&mut self, config: &TrainConfig) -> Read<Option<LoraConfig>> {
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
    fn decide_dtype(&mut self, config: &TrainConfig) {
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

fn of_lora() -> Vec<&'static str> {
    let names = super::fields::fields().iter();
    names
        .filter_map(|field| field.name.strip_prefix("lora."))
        .collect()
}
