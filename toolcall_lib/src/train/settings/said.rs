//! The settings that the keys of a file, or the flags of a command line, have given so far.

mod decide;

use super::fields::field;
use super::inputs::{Input, Inputs, Resume};
use super::open::Open;
use super::read::Read;
use crate::track::TrackerName;
use crate::train::TrainConfig;
use indexmap::IndexMap;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Time of evaluations and checkpoints, as transformers' `eval_strategy` and `save_strategy` say
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    No,
    Steps,
    Epoch,
}

/// Tokens that are trained, as the other tools say it with several keys.
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

/// Settings by our names, inputs, and keys that can only be decided when every key is known.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The key that is being read.
    pub key: String,
    /// Values of our settings, each with the key that gave it.
    changes: IndexMap<String, (String, Value)>,
    pub inputs: Inputs,
    pub notes: Vec<String>,
    /// Keys that have no effect here, by the reason.
    ignored: IndexMap<&'static str, Vec<String>>,
    /// Inputs that the command line names, so that no file does.
    pub named_elsewhere: Vec<Input>,
    /// True if a key says that an adapter is trained, false if one says that none is.
    pub adapter: Option<bool>,
    /// True if a key is there that is enough to ask for an adapter, such as `lora_rank`.
    pub asks_for_adapter: bool,
    /// The key by which all linear layers are adapted, whatever modules other keys name.
    pub all_linear: Option<String>,
    /// True if there is a group `lora`.
    pub lora_group: bool,
    pub trained: Trained,
    pub eval: Option<Strategy>,
    pub save: Option<Strategy>,
    pub greater_is_better: Option<bool>,
    /// True if a key says that the model need not run on the CPU.
    pub not_on_cpu: bool,
    /// mlx-lm's `scale`, which is alpha / rank.
    pub scale: Option<f64>,
    /// True if alpha is twice the rank where no key names alpha, as in LLaMA-Factory.
    pub alpha_is_twice_rank: bool,
    /// Steps over which mlx-lm's schedule falls, without and with its warmup.
    pub falls_over: Option<[u64; 2]>,
    /// Names of LLaMA-Factory's data sets and the folder that they are in.
    pub named_data: [Vec<String>; 2],
    pub named_data_in: Option<PathBuf>,
    /// The model that earlier settings name, and the revision that these want.
    pub model_before: Option<String>,
    pub revision: Option<String>,
    /// Settings in mlx-lm's iterations: ours, the key, the number.
    pub iterations: Vec<(&'static str, String, u64)>,
    /// Trackers that separate keys switch on; false for one that is switched off.
    trackers: Vec<(TrackerName, bool)>,
    /// Settings, these and earlier ones, whose effect later ones can change.
    pub open: Open,
}

/// The keys of a file or of a command line, put together.
pub(super) struct Decided {
    pub config: TrainConfig,
    pub inputs: Inputs,
    pub notes: Vec<String>,
    pub open: Open,
}

impl Said {
    /// Sets one of our settings to this value.
    pub fn set(&mut self, setting: &str, value: &Value) -> Read<()> {
        let field = field(setting).ok_or_else(|| format!("`{setting}` is not a setting"))?;
        if value.is_null() && !field.optional {
            return Ok(()); // an empty line of YAML
        }
        let value = field.read(value)?;
        self.put(setting, value)
    }

    /// Does the same as [`Said::set`], for a value of the setting's own type.
    pub fn put(&mut self, setting: &str, value: impl Into<Value>) -> Read<()> {
        let value = value.into();
        match self.changes.get(setting) {
            Some(_) if value.is_null() => Ok(()), // null sets nothing
            Some((_, before)) if *before == value => Ok(()),
            Some((other, before)) if !before.is_null() => Err(format!(
                "sets `{setting}` to {value}, but `{other}` sets it to {before}; leave one of them out"
            )),
            _ => {
                let said = (self.key.clone(), value);
                self.changes.insert(setting.to_string(), said);
                Ok(())
            }
        }
    }

    /// Sets a setting of the adapter, and asks for one.
    pub fn adapt(&mut self, setting: &str, value: &Value) -> Read<()> {
        self.asks_for_adapter = true;
        self.set(&format!("lora.{setting}"), value)
    }

    /// Notes that this key has no effect here.
    pub fn ignore(&mut self, why: &'static str) {
        self.ignored.entry(why).or_default().push(self.key.clone());
    }

    pub fn note(&mut self, text: &str) {
        self.notes.push(format!("{}: {text}", self.key));
    }

    /// Switches a tracker on or off.
    pub fn track(&mut self, tracker: TrackerName, wanted: bool) {
        if !self.trackers.contains(&(tracker, wanted)) {
            self.trackers.push((tracker, wanted));
        }
    }

    fn value(&self, setting: &str) -> Option<&Value> {
        self.changes.get(setting).map(|(_, value)| value)
    }

    fn overwrite(&mut self, setting: &str, value: Value) {
        let key = self.changes.get(setting).map(|(key, _)| key.clone());
        self.changes
            .insert(setting.to_string(), (key.unwrap_or_default(), value));
    }

    /// Returns `config`, changed by the keys that were read.
    ///
    /// # Errors
    /// Lists all contradictions.
    pub fn over(mut self, config: &TrainConfig) -> std::result::Result<Decided, Vec<String>> {
        // 1. Settings that several keys decide together; all contradictions are listed.
        let problems: Vec<String> = [
            self.decide_loss(),
            self.decide_iterations(config),
            self.decide_shares(),
            self.decide_times(config),
            self.decide_warmup(),
            self.decide_direction(config),
            self.decide_data(),
            self.decide_trackers(),
            self.decide_revision(),
            self.decide_end(config),
            self.decide_device(config),
        ]
        .into_iter()
        .filter_map(Result::err)
        .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        // 2. The settings themselves, those of an adapter apart.
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
        // 3. What follows from them, and notes on the keys without effect.
        if self.changes.contains_key("resume_from_checkpoint") {
            self.inputs.resume.get_or_insert(Resume::Named);
        }
        self.decide_dtype(&changed);
        self.open.is_of_mlx |= !self.iterations.is_empty();
        for (why, keys) in &self.ignored {
            self.notes
                .push(format!("no effect here: {} ({why})", keys.join(", ")));
        }
        Ok(Decided {
            config: changed,
            inputs: self.inputs,
            notes: self.notes,
            open: self.open,
        })
    }
}
