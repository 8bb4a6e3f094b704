//! What a run needs to go on where it stood.

use super::StepReport;
use crate::checkpoint::{read_adapter_settings, save_with, trained_file, write_json};
use crate::error::{Error, Result};
use crate::model::{Decoder, Model};
use crate::optimizer::{AdamW, AdamWConfig};
use crate::weights::{Dtype, safetensors};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

const STATE: &str = "trainer_state.json";
const MOMENTS: [&str; 2] = [
    "optimizer/exp_avg/model.safetensors",
    "optimizer/exp_avg_sq/model.safetensors",
];

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
        save_with(model, folder, Dtype::F32, |new| {
            for (name, moments) in MOMENTS
                .iter()
                .zip([&self.optimizer.first, &self.optimizer.second])
            {
                let file = new.join(name);
                let part = file.parent().unwrap_or(new);
                fs::create_dir_all(part).map_err(Error::io(part))?;
                safetensors::save(moments, &file, Dtype::F32)?;
            }
            let file = StateFile {
                optimizer: self.optimizer.config,
                steps: self.steps.clone(),
            };
            write_json(&new.join(STATE), &file)
        })
    }

    /// Reads what [`TrainerState::save`] wrote; what is trained goes into `decoder`.
    pub fn load(folder: &Path, decoder: &mut Decoder) -> Result<Self> {
        let path = folder.join(STATE);
        let text = fs::read(&path).map_err(Error::io(&path))?;
        let file: StateFile = serde_json::from_slice(&text).map_err(|e| Error::invalid(path.display(), e))?;
        check_kind(folder, decoder)?;
        let weights = trained_file(decoder);
        let trained = decoder.trainable_mut()?;
        let layout = trained.layout.clone();
        let read = |file: &str| safetensors::read_file(&folder.join(file), layout.clone());
        let [first, second] = MOMENTS.map(read);
        let optimizer = AdamW {
            config: file.optimizer,
            first: first?,
            second: second?,
            steps: file.steps.len() as u64,
        };
        *trained = read(weights)?;
        Ok(Self {
            steps: file.steps,
            optimizer,
        })
    }
}

/// Refuses a checkpoint of a run that trained something else.
fn check_kind(folder: &Path, decoder: &Decoder) -> Result<()> {
    let there = folder.join(trained_file(decoder)).is_file();
    let same = match &decoder.adapter {
        Some(adapter) => there && read_adapter_settings(folder)? == adapter.config,
        None => there,
    };
    if same {
        return Ok(());
    }
    let problem = "is not a checkpoint of a run with these `lora` settings; resume with those of that run";
    Err(Error::invalid(folder.display(), problem))
}
