//! Settings from files in YAML and JSON, and from flags, under our names and those of other tools.
//!
//! Settings start at a recipe. Files override it, and flags override files. Names of TRL,
//! transformers, Axolotl, LLaMA-Factory and mlx-lm are in one table, from which `docs/settings.md`
//! is generated ([`markdown`]).

mod deepspeed;
mod docs;
mod fields;
mod flags;
mod given;
mod inputs;
mod named_data;
mod push;
mod read;
mod said;
mod table;

pub use docs::markdown;
pub use fields::{Field, Kind, fields};
pub use flags::{help, take_flags};
pub use given::Given;
pub use inputs::{Inputs, Resume};
pub use push::Push;

use super::{TrainConfig, checkpoints};
use crate::error::{Error, Result, nearest};
use deepspeed::is_deepspeed;
use read::{Read, is_off, text};
use said::{Said, Strategy};
use serde_json::{Map, Value};
use table::Becomes;

/// Settings of a run, and everything else that its files and flags set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The settings.
    pub config: TrainConfig,
    /// The model and the data, where they were named.
    pub inputs: Inputs,
    /// Notes for the user, such as names that change nothing here.
    pub notes: Vec<String>,
}

impl From<TrainConfig> for Settings {
    fn from(config: TrainConfig) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }
}

impl TrainConfig {
    /// Returns these settings, overridden by a file of toolcall, TRL, transformers, Axolotl,
    /// LLaMA-Factory, mlx-lm or DeepSpeed. The notes list what has no effect here.
    ///
    /// # Errors
    /// The same as [`Settings::with`].
    pub fn with_file(&self, file: Map<String, Value>, ranks: usize) -> Result<Settings> {
        Settings::from(self.clone()).with(&Given::from(file), ranks)
    }
}

impl Settings {
    /// Returns these settings, changed by what was given, for a run of `ranks` ranks.
    ///
    /// # Errors
    /// Unknown names, with the nearest one; values of another type; settings that would change the
    /// result and are not supported; names that contradict each other. The error lists all of them,
    /// with their lines.
    pub fn with(self, given: &Given, ranks: usize) -> Result<Self> {
        let refused = |problems: Vec<String>| Error::invalid(&given.place, problems.join("; "));
        if is_deepspeed(&given.values) {
            let read = self.config.with_deepspeed(&given.values, ranks);
            let (config, notes) = read.map_err(|error| refused(vec![error.to_string()]))?;
            return Ok(self.followed_by(config, Inputs::default(), notes));
        }
        let mut this = self;
        if let Some(file) = given.values.get("deepspeed").filter(|file| !is_off(file)) {
            this = this.with(&below(file).map_err(|problem| refused(vec![problem]))?, ranks)?;
        }
        let mut said = Said::default();
        said.model_before.clone_from(&this.inputs.model);
        let mut problems = Vec::new();
        for (name, value) in &given.values {
            said.key = given.shown(name);
            if let Err(problem) = read_one(&mut said, name, value, given) {
                problems.push(format!("{}: {problem}", given.placed(name)));
            }
        }
        if said.eval == Some(Strategy::No) {
            this.inputs.dataset_test_split = None; // as in TRL
            said.inputs.dataset_test_split = None;
        }
        match said.over(&this.config) {
            Ok((config, inputs, notes)) if problems.is_empty() => Ok(this.followed_by(config, inputs, notes)),
            Ok(_) => Err(refused(problems)),
            Err(more) => Err(refused([problems, more].concat())),
        }
    }

    fn followed_by(self, config: TrainConfig, inputs: Inputs, notes: Vec<String>) -> Self {
        let settings = Self {
            config,
            inputs: self.inputs.with(inputs),
            notes: [self.notes, notes].concat(),
        };
        settings.with_latest_checkpoint()
    }

    /// Resumes from the latest checkpoint of `output_dir`, if the settings ask for it. Call this
    /// again when `output_dir` has changed.
    pub fn with_latest_checkpoint(mut self) -> Self {
        let folder = self.config.output_dir.clone();
        match self.inputs.resume {
            Some(Resume::Latest) => self.config.resume_from_checkpoint = folder,
            Some(Resume::LatestIfAny) => {
                self.config.resume_from_checkpoint = folder.filter(|folder| checkpoints::has_any(folder));
            }
            Some(Resume::Named) => self.inputs.resume = None,
            None => {}
        }
        self
    }
}

/// Reads the settings of DeepSpeed that another file names, or has in it.
fn below(value: &Value) -> Read<Given> {
    let given = match value {
        Value::Object(values) => Given::from(values.clone()),
        path => Given::read(text(path)?).map_err(|error| format!("deepspeed: {error}"))?,
    };
    match is_deepspeed(&given.values) {
        true => Ok(given),
        false => Err(format!(
            "deepspeed: {} is not a configuration of DeepSpeed; expected a group such as zero_optimization",
            given.place
        )),
    }
}

/// Reads one setting, by the table if it is there.
fn read_one(said: &mut Said, name: &str, value: &Value, given: &Given) -> Read<()> {
    match table::find(name).map(|row| row.becomes) {
        Some(Becomes::Value(..) | Becomes::Renamed(_)) if value.is_null() => match fields::field(name) {
            Some(_) => said.set(name, value), // none
            None => Ok(()),                   // not said
        },
        Some(Becomes::Same) => said.set(name, value),
        Some(Becomes::Renamed(ours)) => said.set(ours, value),
        Some(Becomes::Value(_, read)) => read(said, value),
        Some(Becomes::Refused(_)) if is_off(value) => Ok(()),
        Some(Becomes::Refused(why)) => Err(why.to_string()),
        Some(Becomes::Note(_)) if is_off(value) => Ok(()),
        Some(Becomes::Note(why)) => {
            said.ignore(why);
            Ok(())
        }
        None if name == "lora" => read_lora(said, value),
        None if fields::field(name).is_some() => said.set(name, value),
        None => Err(unknown(name, given)),
    }
}

/// Returns the problem of an unknown name, with the nearest known one.
fn unknown(name: &str, given: &Given) -> String {
    let ours = fields().iter().map(|field| field.name.as_str());
    let theirs = table::rows().flat_map(|row| row.names.iter().copied());
    match nearest(&name.to_lowercase(), ours.chain(theirs)) {
        Some(known) => format!("is not a setting; did you mean `{}`?", given.shown(known)),
        None => "is not a setting; docs/settings.md lists those that are".to_string(),
    }
}

fn read_lora(said: &mut Said, value: &Value) -> Read<()> {
    match is_off(value) && !value.is_object() {
        true => said.lora(None),
        false => said.lora(Some(&read::object(value)?)),
    }
}
