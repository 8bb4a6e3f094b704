//! `trainer_state.json` of a checkpoint: the fields of transformers' `TrainerState`, and the state
//! that a run needs to go on.

use super::identity::Identity;
use super::step::StepReport;
use crate::error::{Error, Result};
use crate::files::Draft;
use crate::files::names::TRAINER_STATE;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// The part of the file that is read; the rest follows from it.
#[derive(Deserialize)]
struct StateFile {
    stateful_callbacks: Callbacks,
}

/// Part of the file in which transformers keeps the state of other programs.
#[derive(Deserialize)]
struct Callbacks {
    toolcall: OwnState,
}

/// State that a run needs to go on, besides weights and moments.
#[derive(Serialize, Deserialize)]
pub(super) struct OwnState {
    /// Seconds since 1970.
    pub saved_at: f64,
    pub run: Identity,
    pub steps: Vec<StepReport>,
    /// Step whose weights the checkpoint has as the best.
    #[serde(default)]
    pub best_step: Option<usize>,
}

impl OwnState {
    /// Adds the file to a checkpoint; `known` is the part of the state that transformers knows.
    pub fn draft(&self, mut known: Map<String, Value>, draft: &mut Draft) -> Result<()> {
        let own = serde_json::to_value(self).map_err(Error::library("writing a checkpoint"))?;
        known.insert("stateful_callbacks".to_string(), json!({ "toolcall": own }));
        draft.write_json(TRAINER_STATE, &known)
    }
}

pub(super) fn read(folder: &Path) -> Result<OwnState> {
    let path = folder.join(TRAINER_STATE);
    let text = fs::read(&path).map_err(Error::io(&path))?;
    let wrong = |problem: String| Error::invalid(path.display(), problem);
    let file: StateFile = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
    let own = file.stateful_callbacks.toolcall;
    let mut numbered = own.steps.iter().zip(1..);
    match numbered.find(|(report, step)| report.step != *step) {
        None => Ok(own),
        Some((report, step)) => Err(wrong(format!(
            "found step {}, expected step {step}; resume from another checkpoint",
            report.step
        ))),
    }
}

/// Returns the time at which a checkpoint was saved, in milliseconds since 1970. If it cannot be
/// read, it returns the time at which the file was written.
pub(super) fn saved_at(folder: &Path) -> u128 {
    let written = || {
        fs::metadata(folder.join(TRAINER_STATE))
            .and_then(|file| file.modified())
            .ok()
    };
    match read(folder) {
        Ok(file) => (file.saved_at * 1e3) as u128,
        Err(_) => written()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .map_or(0, |time| time.as_millis()),
    }
}
