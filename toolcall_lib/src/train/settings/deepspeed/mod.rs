//! Reads DeepSpeed's configuration file as our settings.

mod keys;
mod values;

use super::read::{Read, boolean, is_off, number, whole};
use crate::error::{Error, Result};
use crate::optimizer::{Schedule, Warmup};
use crate::train::TrainConfig;
use keys::{GROUPS, ONLY_THERE, has_to_be_off, is_group, is_known, is_without_meaning};
use serde_json::{Map, Value};
use values::{count, known, leaves, pair};

/// Returns true if this is DeepSpeed's file rather than a file of our settings.
pub(super) fn is_deepspeed(file: &Map<String, Value>) -> bool {
    let is_group = |key: &&str| file.get(*key).is_some_and(Value::is_object);
    GROUPS.iter().any(is_group) || ONLY_THERE.iter().any(|key| file.contains_key(*key))
}

impl TrainConfig {
    /// Returns these settings, changed by a DeepSpeed configuration file, for a run of `ranks`
    /// ranks. `"auto"` and absent keys leave a setting as it is. Returns also notes on keys that
    /// change nothing here.
    ///
    /// # Errors
    /// Keys are unknown or ask for something that is not supported, or batch sizes contradict each
    /// other. The error lists all of them, by name.
    pub fn with_deepspeed(&self, file: &Map<String, Value>, ranks: usize) -> Result<(Self, Vec<String>)> {
        let mut reader = Reader {
            config: self.clone(),
            ..Reader::default()
        };
        let mut problems = Vec::new();
        for (path, value) in leaves("", file) {
            if let Err(problem) = reader.read(&path, value) {
                problems.push(format!("{path}: {problem}"));
            }
        }
        problems.extend(reader.batch_sizes(ranks).err());
        problems.extend(reader.peak_learning_rate().err());
        reader.config.warmup_type = reader.warmup.unwrap_or(reader.config.warmup_type);
        if !problems.is_empty() {
            return Err(Error::invalid("DeepSpeed configuration", problems.join("; ")));
        }
        if !reader.ignored.is_empty() {
            let keys = reader.ignored.join(", ");
            reader
                .notes
                .push(format!("these keys of DeepSpeed have no effect here: {keys}"));
        }
        Ok((reader.config, reader.notes))
    }
}

/// Settings and notes from the keys that were read so far.
#[derive(Default)]
struct Reader {
    config: TrainConfig,
    notes: Vec<String>,
    ignored: Vec<String>,
    batch: Option<usize>,
    micro: Option<usize>,
    accumulation: Option<usize>,
    /// Peak learning rates of the optimizer and of the scheduler.
    peaks: [Option<f64>; 2],
    warmup: Option<Warmup>,
}

impl Reader {
    fn read(&mut self, path: &str, value: &Value) -> Read<()> {
        let config = &mut self.config;
        match path {
            _ if !is_known(path) => return Err("is not a known key".to_string()),
            _ if value == "auto" => {}
            _ if (value.is_null() || value.as_object().is_some_and(Map::is_empty)) && is_group(path) => {}
            // 1. Batch sizes, which are compared once all keys are read.
            "train_batch_size" => self.batch = Some(count(value)?),
            "train_micro_batch_size_per_gpu" => self.micro = Some(count(value)?),
            "gradient_accumulation_steps" => self.accumulation = Some(count(value)?),
            // 2. The optimizer.
            "gradient_clipping" => config.max_grad_norm = number(value)?,
            "optimizer.type" => known(value, &["adam", "adamw"]).map(drop)?,
            "optimizer.params.lr" => self.peaks[0] = Some(number(value)?),
            "optimizer.params.betas" => [config.adam_beta1, config.adam_beta2] = pair(value)?,
            "optimizer.params.eps" => config.adam_epsilon = number(value)?,
            "optimizer.params.weight_decay" => config.weight_decay = number(value)?,
            "optimizer.params.adam_w_mode" | "optimizer.params.bias_correction" if *value != true => {
                return Err(format!("{value} is not supported; expected true"));
            }
            "optimizer.params.adam_w_mode" | "optimizer.params.bias_correction" => {}
            // 3. The learning rate.
            "scheduler.type" => self.schedule(value)?,
            "scheduler.params.warmup_max_lr" => self.peaks[1] = Some(number(value)?),
            "scheduler.params.warmup_num_steps" => {
                (config.warmup_steps, config.warmup_ratio) = (whole(value)? as usize, None);
            }
            "scheduler.params.warmup_type" => {
                let linear = known(value, &["log", "linear"])? == "linear";
                self.warmup = Some(if linear { Warmup::Linear } else { Warmup::Log });
            }
            "scheduler.params.total_num_steps" => {
                config.max_steps = Some(count(value)?);
                let text =
                    "scheduler.params.total_num_steps: is read as `max_steps`, after which the run ends";
                self.notes.push(text.to_string());
            }
            "scheduler.params.cos_min_ratio" if number(value)? > 1e-4 => {
                return Err(format!("{value} is not supported; the learning rate falls to 0"));
            }
            "scheduler.params.cos_min_ratio" => {}
            // 4. Precision, ranks and memory.
            "fp16.enabled" if *value != false => {
                return Err("is not supported; enable bf16 instead, which needs no loss scale".to_string());
            }
            "fp16.enabled" => {}
            "bf16.enabled" => config.bf16 = boolean(value)?,
            "zero_optimization.stage" => match whole(value)? {
                stage @ 0..=2 => config.zero_stage = stage as u8,
                3 => {
                    config.zero_stage = 2;
                    let text = "zero_optimization.stage: 3 shards the weights, too; here each rank holds all of them, \
                                as in stage 2, with the same result";
                    self.notes.push(text.to_string());
                }
                other => return Err(format!("{other} is not supported; expected 0, 1, 2 or 3")),
            },
            _ if path.starts_with("zero_optimization.offload_") => self.offload(path, value)?,
            _ if path.starts_with("activation_checkpointing") => self.notes.push(format!(
                "{path}: the setting `recompute` says what is computed again"
            )),
            // 5. Keys without a setting: refused, or ignored with a note.
            "tensorboard.enabled" | "wandb.enabled" if !is_off(value) => {
                return Err("is DeepSpeed's own log; set `report_to` in a file of settings".to_string());
            }
            _ if has_to_be_off(path) => {
                if !is_off(value) {
                    return Err(format!("{value} is not supported; it has to be off"));
                }
            }
            _ if is_without_meaning(path) => self.ignored.push(path.to_string()),
            _ => return Err("is not a known key".to_string()),
        }
        Ok(())
    }

    fn schedule(&mut self, name: &Value) -> Read<()> {
        let known = known(name, &["warmuplr", "warmupdecaylr", "warmupcosinelr"])?;
        self.config.lr_scheduler_type = match known {
            "warmuplr" => Schedule::ConstantWithWarmup,
            "warmupdecaylr" => Schedule::Linear,
            _ => Schedule::Cosine,
        };
        self.warmup.get_or_insert(Warmup::Log); // DeepSpeed's default
        Ok(())
    }

    fn offload(&mut self, path: &str, value: &Value) -> Read<()> {
        match (path.ends_with(".device"), value.as_str()) {
            (true, Some("nvme")) => Err("nvme is not supported; state stays in memory".to_string()),
            (true, Some("cpu")) => {
                let note = format!("{path}: all state is in the memory of the CPU in any case");
                self.notes.push(note);
                Ok(())
            }
            (true, Some("none")) | (false, _) => Ok(()),
            (true, _) => Err(format!("{value} is not a device; expected \"none\" or \"cpu\"")),
        }
    }

    /// Sets the batch sizes by `train_batch_size = micro · accumulation · ranks`. A missing one
    /// follows from the others.
    fn batch_sizes(&mut self, ranks: usize) -> Read<()> {
        let config = &mut self.config;
        let Some(batch) = self.batch else {
            config.per_device_train_batch_size = self.micro.unwrap_or(config.per_device_train_batch_size);
            config.gradient_accumulation_steps =
                self.accumulation.unwrap_or(config.gradient_accumulation_steps);
            return Ok(());
        };
        let per_rank = batch / ranks.max(1);
        let (micro, accumulation) = match (self.micro, self.accumulation) {
            (Some(micro), Some(accumulation)) => (micro, accumulation),
            (Some(micro), None) => (micro, per_rank / micro),
            (None, accumulation) => {
                let accumulation = accumulation.unwrap_or(1);
                (per_rank / accumulation, accumulation)
            }
        };
        let product = micro
            .checked_mul(accumulation)
            .and_then(|product| product.checked_mul(ranks));
        if product != Some(batch) {
            let product = product.map_or("too many".to_string(), |product| product.to_string());
            return Err(format!(
                "train_batch_size: {batch} is not {micro} (train_micro_batch_size_per_gpu) · {accumulation} \
                 (gradient_accumulation_steps) · {ranks} (ranks) = {product}"
            ));
        }
        config.per_device_train_batch_size = micro;
        config.gradient_accumulation_steps = accumulation;
        Ok(())
    }

    fn peak_learning_rate(&mut self) -> Read<()> {
        match self.peaks {
            [Some(optimizer), Some(scheduler)] if optimizer != scheduler => Err(format!(
                "optimizer.params.lr: {optimizer:e} is not {scheduler:e}, scheduler.params.warmup_max_lr"
            )),
            [optimizer, scheduler] => {
                let peak = scheduler.or(optimizer);
                self.config.learning_rate = peak.unwrap_or(self.config.learning_rate);
                Ok(())
            }
        }
    }
}
