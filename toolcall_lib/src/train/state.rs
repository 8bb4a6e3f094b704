//! The state that a run needs to go on from a checkpoint.

use super::config::TrainConfig;
use super::identity::Identity;
use super::report::best;
use super::state_file::{OwnState, read};
use super::step::StepReport;
use crate::checkpoint::{draft_model, read_adapter_settings, trained_file};
use crate::collective::{Collective, Shard};
use crate::error::{Error, Result};
use crate::files::names::{BEST, MOMENTS};
use crate::files::{Draft, Output};
use crate::machine::now;
use crate::model::{Decoder, Model};
use crate::optimizer::AdamW;
use crate::weights::{Dtype, Layout, Parameters, Slot, safetensors};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::path::Path;

/// State of a training run.
#[derive(Clone, Debug)]
pub struct TrainerState {
    /// Every step so far.
    pub steps: Vec<StepReport>,
    /// AdamW's moments. A rank may have a part of them.
    pub optimizer: AdamW,
    /// The best step so far and its weights, where the run keeps them.
    pub(super) best: Option<Best>,
}

/// A step that was evaluated, with the trained weights as they were after it.
#[derive(Clone, Debug)]
pub(super) struct Best {
    pub step: usize,
    pub weights: Parameters,
}

impl TrainerState {
    /// Returns the state before the first step.
    pub(super) fn new(decoder: &Decoder, config: &TrainConfig, shard: Shard) -> Result<Self> {
        Ok(Self {
            steps: Vec::new(),
            best: None,
            optimizer: AdamW::of_shard(config.adamw(), decoder.trainable()?, shard),
        })
    }

    /// Writes a model folder that holds this state too, whole: any number of ranks can go on from
    /// it. `known` is the part of the state that transformers knows. All ranks call this; the first
    /// has the `output` and writes.
    ///
    /// # Errors
    /// Another rank has ended. If the folder cannot be written, that error is returned as a value:
    /// the run can go on.
    pub(super) fn save(
        &self,
        model: &Model,
        (known, run): (Map<String, Value>, &Identity),
        (output, name): (Option<&Output>, &str),
        ranks: &dyn Collective,
    ) -> Result<Option<Error>> {
        let layout = &model.decoder.trainable()?.layout;
        let mut whole = Whole::new(&self.optimizer, layout, ranks);
        let written = output.map_or(Ok(()), |output| {
            output.save_folder(name, |draft| {
                self.draft_tensors(model, draft, &mut whole)?;
                self.draft_file(known, run, draft)
            })
        });
        whole.gather_rest()?;
        Ok(written.err())
    }

    fn draft_tensors(&self, model: &Model, draft: &mut Draft, whole: &mut Whole<'_>) -> Result<()> {
        draft_model(model, draft, Dtype::F32)?;
        let layout = &model.decoder.trainable()?.layout;
        for name in MOMENTS {
            let place = draft.place(name);
            draft.write_with(name, |out| {
                safetensors::write_buckets(out, &place, layout, Dtype::F32, |_| whole.next_bucket())
            })?;
        }
        if let Some(best) = &self.best {
            let place = draft.place(BEST);
            draft.write_with(BEST, |out| {
                let layout = &best.weights.layout;
                safetensors::write_buckets(out, &place, layout, Dtype::F32, |bucket| {
                    Ok(Cow::Borrowed(best.weights.buckets[bucket].as_slice()))
                })
            })?;
        }
        Ok(())
    }

    fn draft_file(&self, known: Map<String, Value>, run: &Identity, draft: &mut Draft) -> Result<()> {
        let own = OwnState {
            saved_at: now(),
            run: run.clone(),
            steps: self.steps.clone(),
            best_step: self.best.as_ref().map(|best| best.step),
        };
        own.draft(known, draft)
    }

    /// Reads a folder of [`TrainerState::save`]. It takes only the part of the moments that `shard`
    /// names. Trained weights go into `decoder`, and the settings of the optimizer are those of
    /// `config`. Returns the identity of the run that wrote the folder, too.
    pub(super) fn load(
        folder: &Path,
        decoder: &mut Decoder,
        config: &TrainConfig,
        shard: Shard,
    ) -> Result<(Self, Identity)> {
        // 1. The state file. The folder must hold what this decoder trains.
        let file = read(folder)?;
        check_kind(folder, decoder)?;
        let weights = trained_file(decoder);
        let trained = decoder.trainable_mut()?;
        let layout = trained.layout.clone();
        // 2. A reader of tensors that refuses damaged ones.
        let read = |name: &str| {
            let place = folder.join(name);
            let read = safetensors::read_file(&place, layout.clone())?;
            let problem = read.not_finite().or_else(|| negative(name, &read));
            match problem {
                None => Ok(read),
                Some(problem) => Err(Error::invalid(place.display(), format!("is damaged: {problem}"))),
            }
        };
        // 3. Moments: this rank's part of each bucket.
        let [first, second] = MOMENTS.map(|name| {
            let buckets = read(name)?.buckets.into_iter();
            Ok(buckets.map(|bucket| part(bucket, shard)).collect())
        });
        let optimizer = AdamW {
            config: config.adamw(),
            shard,
            first: first?,
            second: second?,
            steps: file.steps.len() as u64,
        };
        // 4. Trained weights, and those of the best step if they may be wanted. The decoder changes
        // when all could be read.
        let latest = read(weights)?;
        let kept = file.best_step.filter(|_| config.load_best_model_at_end);
        let best = kept.map(|step| read(BEST).map(|weights| Best { step, weights }));
        let state = Self {
            steps: file.steps,
            optimizer,
            best: best.transpose()?,
        };
        *trained = latest;
        Ok((state, file.run))
    }

    /// Keeps the weights of a checkpoint, which `decoder` has, as the best if they are and the run
    /// wants the best. Returns a note if the best step so far is one whose weights are gone: then
    /// only later ones can be the best.
    pub(super) fn begin_best(&mut self, decoder: &Decoder, config: &TrainConfig) -> Result<Option<String>> {
        let metric = config.metric_for_best_model;
        let best = best(&self.steps, metric).filter(|_| config.load_best_model_at_end);
        let held = self.best.as_ref().map(|best| best.step);
        let Some(step) = best.map(|best| best.step).filter(|&step| held != Some(step)) else {
            return Ok(None);
        };
        if step == self.steps.len() {
            let weights = decoder.trainable()?.clone();
            self.best = Some(Best { step, weights });
            return Ok(None);
        }
        let from = held.map_or(String::new(), |held| format!("step {held} and "));
        Ok(Some(format!(
            "load_best_model_at_end: step {step} has the best {metric} so far, but the checkpoint does \
            not have its weights; the best of {from}the steps from here on is loaded"
        )))
    }

    /// Names the first moment of this rank's part that is not finite, if there is one.
    pub(super) fn not_finite(&self, layout: &Layout) -> Option<String> {
        let (optimizer, sizes) = (&self.optimizer, layout.bucket_sizes());
        let moments = [("exp_avg", &optimizer.first), ("exp_avg_sq", &optimizer.second)];
        moments.into_iter().find_map(|(name, moments)| {
            let mut slots = layout.slots().iter();
            let problem = slots.find_map(|slot| {
                let own = optimizer.shard.range(sizes[slot.bucket]);
                let start = slot.range().start.max(own.start);
                let end = slot.range().end.min(own.end).max(start);
                let values = moments[slot.bucket].get(start - own.start..end - own.start)?;
                slot.not_finite(start - slot.offset, values)
            })?;
            Some(format!("the optimizer's {name} of {problem}"))
        })
    }
}

/// Names a second moment with negative elements. A squared gradient is never negative.
fn negative(name: &str, moments: &Parameters) -> Option<String> {
    let negative = |slot: &&Slot| {
        let values = &moments.buckets[slot.bucket][slot.range()];
        name == MOMENTS[1] && values.iter().any(|&value| value < 0.0)
    };
    let slot = moments.layout.slots().iter().find(negative)?;
    Some(format!("{} has negative elements", slot.name))
}

/// The moments of all ranks, bucket by bucket: first all of `exp_avg`, then all of `exp_avg_sq`.
struct Whole<'a> {
    parts: Vec<(&'a [f32], usize)>,
    shard: Shard,
    ranks: &'a dyn Collective,
    next: usize,
}

impl<'a> Whole<'a> {
    fn new(optimizer: &'a AdamW, layout: &Layout, ranks: &'a dyn Collective) -> Self {
        let sizes = layout.bucket_sizes();
        let parts = [&optimizer.first, &optimizer.second]
            .into_iter()
            .flat_map(|moments| moments.iter().map(Vec::as_slice).zip(sizes.iter().copied()));
        Self {
            parts: parts.collect(),
            shard: optimizer.shard,
            ranks,
            next: 0,
        }
    }

    /// Returns the next bucket. All ranks take part.
    fn next_bucket(&mut self) -> Result<Cow<'a, [f32]>> {
        let (part, len) = self.parts[self.next];
        self.next += 1;
        if self.shard == Shard::WHOLE {
            return Ok(Cow::Borrowed(part));
        }
        let mut bucket = vec![0.0; len];
        bucket[self.shard.range(len)].copy_from_slice(part);
        self.ranks.start_all_gather(bucket)?.wait().map(Cow::Owned)
    }

    /// Takes part in gathering the buckets that are left. On ranks that do not write, these are all
    /// buckets; on the first, those that it could not write.
    fn gather_rest(&mut self) -> Result<()> {
        while self.next < self.parts.len() {
            self.next_bucket()?;
        }
        Ok(())
    }
}

/// Returns the elements of `shard`, in no more memory than they need.
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
    let problem =
        "was saved by a run with other `lora` settings; resume with the `lora` settings of that run";
    Err(Error::invalid(folder.display(), problem))
}
