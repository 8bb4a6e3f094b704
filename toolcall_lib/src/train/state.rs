//! What a run needs to go on where it stood.

use super::StepReport;
use crate::checkpoint::{save_with, write_json};
use crate::error::{Error, Result};
use crate::model::{Decoder, Model};
use crate::optimizer::{AdamW, AdamWConfig};
use crate::weights::safetensors;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

const STATE: &str = "trainer_state.json";
const MOMENTS: [&str; 2] = ["optimizer/exp_avg", "optimizer/exp_avg_sq"];

/// Where a training run stands.
#[derive(Clone, Debug)]
pub struct TrainerState {
    /// Every step so far.
    pub steps: Vec<StepReport>,
    /// AdamW's moments.
    pub optimizer: AdamW,
}

/// The part of [`TrainerState`] that is not large.
#[derive(Serialize, Deserialize)]
struct StateFile {
    optimizer: AdamWConfig,
    steps: Vec<StepReport>,
}

impl TrainerState {
    /// Writes a model folder that holds this state too.
    pub fn save(&self, model: &Model, folder: &Path) -> Result<()> {
        save_with(model, folder, |new| {
            for (name, moments) in MOMENTS
                .iter()
                .zip([&self.optimizer.first, &self.optimizer.second])
            {
                let part = new.join(name);
                fs::create_dir_all(&part).map_err(Error::io(&part))?;
                safetensors::save(moments, &part.join("model.safetensors"))?;
            }
            let file = StateFile {
                optimizer: self.optimizer.config,
                steps: self.steps.clone(),
            };
            write_json(&new.join(STATE), &file)
        })
    }

    /// Reads what [`TrainerState::save`] wrote; the weights go into `decoder`.
    pub fn load(folder: &Path, decoder: &mut Decoder) -> Result<Self> {
        let path = folder.join(STATE);
        let text = fs::read(&path).map_err(Error::io(&path))?;
        let file: StateFile = serde_json::from_slice(&text).map_err(|e| Error::invalid(path.display(), e))?;
        let read = |part: &Path| safetensors::read(part, &decoder.config);
        let [first, second] = MOMENTS.map(|name| read(&folder.join(name)));
        let optimizer = AdamW {
            config: file.optimizer,
            first: first?,
            second: second?,
            steps: file.steps.len() as u64,
        };
        decoder.parameters = read(folder)?;
        Ok(Self {
            steps: file.steps,
            optimizer,
        })
    }
}
