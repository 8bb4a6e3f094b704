//! What a run needs to go on where it stood.

use super::{StepReport, TrainConfig};
use crate::checkpoint::{read_adapter_settings, save_with, trained_file, write_json};
use crate::collective::{Collective, Shard};
use crate::error::{Error, Result};
use crate::model::{Decoder, Model};
use crate::optimizer::{AdamW, AdamWConfig};
use crate::weights::{Dtype, Layout, Parameters, safetensors};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs;
use std::path::Path;

const STATE: &str = "trainer_state.json";
const BEST: &str = "best/model.safetensors";
const MOMENTS: [&str; 2] = [
    "optimizer/exp_avg/model.safetensors",
    "optimizer/exp_avg_sq/model.safetensors",
];

/// Where a training run stands.
#[derive(Clone, Debug)]
pub struct TrainerState {
    /// Every step so far.
    pub steps: Vec<StepReport>,
    /// AdamW's moments, of which a rank may have a part.
    pub optimizer: AdamW,
    /// The best step so far and its weights, where the run keeps them.
    pub(super) best: Option<Best>,
}

/// A step that was evaluated, and what was trained as it was after it.
#[derive(Clone, Debug)]
pub(super) struct Best {
    pub step: usize,
    pub weights: Parameters,
}

/// The part of [`TrainerState`] that is not large.
#[derive(Serialize, Deserialize)]
struct StateFile {
    optimizer: AdamWConfig,
    steps: Vec<StepReport>,
    /// The step whose weights stand in [`BEST`].
    #[serde(default)]
    best_step: Option<usize>,
}

impl TrainerState {
    /// Where a run begins: before the first step, or at the checkpoint that `config` names.
    pub(super) fn begin(decoder: &mut Decoder, config: &TrainConfig, shard: Shard) -> Result<Self> {
        match &config.resume_from_checkpoint {
            Some(folder) => {
                let mut state = Self::load(folder, decoder, shard)?;
                state.best = state.best.filter(|_| config.load_best_model_at_end);
                Ok(state)
            }
            None => Ok(Self {
                steps: Vec::new(),
                best: None,
                optimizer: AdamW::of_shard(config.adamw(), decoder.trainable()?, shard),
            }),
        }
    }

    /// Writes a model folder that holds this state too, whole: any number of ranks can go on from it. All ranks call this, the
    /// first writes.
    pub fn save(&self, model: &Model, folder: &Path, ranks: &dyn Collective) -> Result<()> {
        let layout = &model.decoder.trainable()?.layout;
        let all_moments = [&self.optimizer.first, &self.optimizer.second];
        if ranks.rank() > 0 {
            return all_moments
                .into_iter()
                .try_for_each(|moments| self.give(moments, layout, ranks));
        }
        save_with(model, folder, Dtype::F32, |new| {
            for (name, moments) in MOMENTS.iter().zip(all_moments) {
                let file = new.join(name);
                create_parent(&file)?;
                let sizes = layout.bucket_sizes();
                safetensors::save_buckets(layout, &file, Dtype::F32, |bucket| {
                    self.whole(&moments[bucket], sizes[bucket], ranks)
                })?;
            }
            if let Some(best) = &self.best {
                let file = new.join(BEST);
                create_parent(&file)?;
                safetensors::save(&best.weights, &file, Dtype::F32)?;
            }
            let file = StateFile {
                optimizer: self.optimizer.config,
                steps: self.steps.clone(),
                best_step: self.best.as_ref().map(|best| best.step),
            };
            write_json(&new.join(STATE), &file)
        })
    }

    /// The other end of what the first rank does for each bucket.
    fn give(&self, moments: &[Vec<f32>], layout: &Layout, ranks: &dyn Collective) -> Result<()> {
        let buckets = moments.iter().zip(layout.bucket_sizes());
        buckets
            .into_iter()
            .try_for_each(|(part, len)| self.whole(part, len, ranks).map(drop))
    }

    /// A bucket of `len` of the moments, of which this rank has `part`.
    fn whole<'a>(&self, part: &'a [f32], len: usize, ranks: &dyn Collective) -> Result<Cow<'a, [f32]>> {
        if self.optimizer.shard == Shard::WHOLE {
            return Ok(Cow::Borrowed(part));
        }
        let mut bucket = vec![0.0; len];
        bucket[self.optimizer.shard.range(len)].copy_from_slice(part);
        ranks.start_all_gather(bucket)?.wait().map(Cow::Owned)
    }

    /// Reads what [`TrainerState::save`] wrote, of the moments only the part of `shard`; what is trained goes into `decoder`.
    pub fn load(folder: &Path, decoder: &mut Decoder, shard: Shard) -> Result<Self> {
        let path = folder.join(STATE);
        let text = fs::read(&path).map_err(Error::io(&path))?;
        let file: StateFile = serde_json::from_slice(&text).map_err(|e| Error::invalid(path.display(), e))?;
        check_kind(folder, decoder)?;
        let weights = trained_file(decoder);
        let trained = decoder.trainable_mut()?;
        let layout = trained.layout.clone();
        let read = |file: &str| safetensors::read_file(&folder.join(file), layout.clone());
        let [first, second] = MOMENTS.map(|file| {
            let buckets = read(file)?.buckets.into_iter();
            Ok(buckets.map(|bucket| part(bucket, shard)).collect())
        });
        let optimizer = AdamW {
            config: file.optimizer,
            shard,
            first: first?,
            second: second?,
            steps: file.steps.len() as u64,
        };
        *trained = read(weights)?;
        let best = file.best_step.map(|step| {
            let weights = read(BEST)?;
            Ok(Best { step, weights })
        });
        Ok(Self {
            steps: file.steps,
            best: best.transpose()?,
            optimizer,
        })
    }
}

fn create_parent(file: &Path) -> Result<()> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).map_err(Error::io(folder))
}

/// The elements of `shard`, in memory for no more than them.
fn part(mut bucket: Vec<f32>, shard: Shard) -> Vec<f32> {
    let range = shard.range(bucket.len());
    bucket.truncate(range.end);
    bucket.drain(..range.start);
    bucket.shrink_to_fit();
    bucket
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
