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
mod open;
mod push;
mod read;
mod said;
mod table;

pub use docs::markdown;
pub use fields::{Field, Kind, fields};
pub use flags::{help, take_flags};
pub use given::Given;
pub use inputs::{Evaluated, Input, Inputs, Resume};
pub use push::Push;

use super::{TrainConfig, checkpoints};
use crate::error::{Error, Result, nearest};
use deepspeed::is_deepspeed;
use open::Open;
use read::{Read, is_off, text};
use said::{Decided, Said};
use serde_json::{Map, Value};
use std::path::PathBuf;
use table::{Becomes, Peer};

/// Settings of a run, and everything else that its files and flags set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The settings.
    pub config: TrainConfig,
    /// The model and the data, where they were named.
    pub inputs: Inputs,
    /// Notes for the user, such as names that change nothing here.
    /// [`closing_notes`](Self::closing_notes) are others.
    pub notes: Vec<String>,
    /// Inputs that are named elsewhere.
    named_elsewhere: Vec<Input>,
    /// Settings whose effect later ones can change.
    open: Open,
    /// The checkpoint that the settings name. `config.resume_from_checkpoint` is this one or the
    /// latest.
    named_checkpoint: Option<PathBuf>,
}

impl From<TrainConfig> for Settings {
    fn from(config: TrainConfig) -> Self {
        Self {
            named_checkpoint: config.resume_from_checkpoint.clone(),
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
        let mut settings = Settings::from(self.clone()).with(&Given::from(file), ranks)?;
        settings.notes.extend(settings.closing_notes());
        Ok(settings)
    }
}

impl Settings {
    /// Leaves these inputs to the caller, who names them: what later settings say of them is noted
    /// and not read.
    pub fn without(self, named_elsewhere: &[Input]) -> Self {
        Self {
            named_elsewhere: named_elsewhere.to_vec(),
            ..self
        }
    }

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
            return Ok(Self {
                config,
                notes: [self.notes, notes].concat(),
                ..self
            });
        }
        let mut this = self;
        if let Some(file) = given.values.get("deepspeed").filter(|file| !is_off(file)) {
            this = this.with(&below(file).map_err(|problem| refused(vec![problem]))?, ranks)?;
        }
        let mut said = Said::default();
        said.model_before.clone_from(&this.inputs.model);
        said.named_elsewhere.clone_from(&this.named_elsewhere);
        said.open.clone_from(&this.open);
        let mut problems = Vec::new();
        for (name, value) in &given.values {
            said.key = given.shown(name);
            if let Err(problem) = read_one(&mut said, name, value, given) {
                problems.push(format!("{}: {problem}", given.placed(name)));
            }
        }
        let before = TrainConfig {
            resume_from_checkpoint: this.named_checkpoint.clone(),
            ..this.config.clone()
        };
        match said.over(&before) {
            Ok(decided) if problems.is_empty() => Ok(this.followed_by(decided)),
            Ok(_) => Err(refused(problems)),
            Err(more) => Err(refused([problems, more].concat())),
        }
    }

    fn followed_by(self, later: Decided) -> Self {
        let settings = Self {
            named_checkpoint: later.config.resume_from_checkpoint.clone(),
            config: later.config,
            inputs: self.inputs.with(later.inputs),
            notes: [self.notes, later.notes].concat(),
            open: later.open,
            ..self
        };
        settings.with_latest_checkpoint()
    }

    /// Returns the notes on settings whose effect later ones can change, such as a warmup without a
    /// schedule that has one. Ask for them when all settings are known.
    pub fn closing_notes(&self) -> Vec<String> {
        let has_validation = !self.inputs.validation.is_empty()
            || self.inputs.validation_share.is_some()
            || self.named_elsewhere.contains(&Input::Validation);
        self.open.notes(&self.config, &self.inputs, has_validation)
    }

    /// Chooses the checkpoint to resume from: the latest of `output_dir`, if the settings ask for
    /// it, or the one that they name. Call this again when `output_dir` has changed.
    pub fn with_latest_checkpoint(mut self) -> Self {
        let folder = self.config.output_dir.clone();
        let named = self.named_checkpoint.clone();
        self.config.resume_from_checkpoint = match self.inputs.resume {
            Some(Resume::Latest) => folder,
            Some(Resume::LatestIfAny) => folder.filter(|folder| checkpoints::has_any(folder)).or(named),
            Some(Resume::Named) | None => named,
        };
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

/// Beginning of the names of an adapter's settings.
const LORA: &str = "lora.";
/// Reasons why a key changes nothing.
const ON_COMMAND_LINE: &str = "the command line names other data";
const EMPTY: &str = "is not a setting, and its value is empty";

/// Returns true for a value that says nothing, whatever the name means. False and 0 may say
/// something.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        other => other.is_null(),
    }
}

/// Reads one setting, by the table if it is there.
fn read_one(said: &mut Said, name: &str, value: &Value, given: &Given) -> Read<()> {
    match table::find(name).map(|row| row.becomes) {
        Some(Becomes::Input(..)) if value.is_null() => Ok(()), // not said
        Some(Becomes::Value(..) | Becomes::Renamed(_)) if value.is_null() => match fields::field(name) {
            Some(_) => said.set(name, value), // none
            None => Ok(()),                   // not said
        },
        Some(Becomes::Same) => said.set(name, value),
        Some(Becomes::Renamed(ours)) => said.set(ours, value),
        Some(Becomes::Input(input, ..)) if said.named_elsewhere.contains(&input) && !given.is_flags() => {
            said.ignore(ON_COMMAND_LINE);
            Ok(())
        }
        // A flag names a part of the data that another flag names, or contradicts it.
        Some(Becomes::Input(input, ..)) if said.named_elsewhere.contains(&input) && input != Input::Part => {
            Err(format!("{ON_COMMAND_LINE}; leave one of them out"))
        }
        Some(Becomes::Value(_, read) | Becomes::Input(_, _, read)) => read(said, value),
        Some(Becomes::Refused(_)) if is_off(value) => Ok(()),
        Some(Becomes::Refused(why)) => Err(why.to_string()),
        Some(Becomes::Note(_)) if is_off(value) => Ok(()),
        Some(Becomes::Note(why)) => {
            said.ignore(why);
            Ok(())
        }
        None if name == "lora" => read_lora(said, value, given),
        None if fields::field(name).is_some() => {
            said.asks_for_adapter |= name.starts_with(LORA);
            said.set(name, value)
        }
        None if is_empty(value) => {
            said.ignore(EMPTY);
            Ok(())
        }
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

/// Reads the group `lora`, with PEFT's names. Null trains no adapter.
fn read_lora(said: &mut Said, value: &Value, given: &Given) -> Read<()> {
    if is_off(value) && !value.is_object() {
        said.adapter = Some(false);
        return Ok(());
    }
    said.lora_group = true;
    for (name, value) in &read::object(value)? {
        let setting = format!("{LORA}{name}");
        let is_of_peft = table::find(name).is_some_and(|row| row.peers.contains(&Peer::Peft));
        let read = match fields::field(&setting) {
            Some(_) => said.set(&setting, value),
            None if is_of_peft || is_empty(value) => read_one(said, name, value, given),
            None => {
                let known = fields().iter().filter_map(|field| field.name.strip_prefix(LORA));
                let known: Vec<&str> = known.collect();
                return Err(format!(
                    "unknown field `{name}`; expected some of {}",
                    known.join(", ")
                ));
            }
        };
        read.map_err(|problem| format!("{name}: {problem}"))?;
    }
    Ok(())
}
