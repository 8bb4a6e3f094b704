//! Settings of a training run. Names are those of TRL's `SFTConfig`.

mod by_name;
mod check;

use super::metric::Metric;
use crate::device::Device;
use crate::model::{LoraConfig, Recompute};
use crate::optimizer::{AdamWConfig, Schedule, Warmup};
use crate::tokens::{LossMode, Overlong, TokenizeConfig};
use crate::track::{ReportTo, WandbMode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// A year: a longer time is a mistake.
pub(super) const LONGEST_TIMEOUT: u64 = 365 * 24 * 60 * 60;

/// Settings of a training run. `Default` is the recipe that we recommend; [`TrainConfig::trl`] has
/// TRL's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Tokens to train on. TRL: auto, which is completion for rows with `prompt` and `completion`,
    /// and all for others.
    pub loss: LossMode,
    /// Variables for the chat template besides messages and tools, such as `{"enable_thinking":
    /// true}`; a row may have its own.
    pub chat_template_kwargs: Map<String, Value>,
    /// Passes over the data. TRL: 3.
    pub num_train_epochs: f64,
    /// Optimizer steps, instead of epochs.
    pub max_steps: Option<usize>,
    /// Conversations per batch. They become one tree, or several if it is too large.
    pub per_device_train_batch_size: usize,
    /// Batches per optimizer step, on each rank.
    pub gradient_accumulation_steps: usize,
    /// Maximum number of tokens of a tree. A shared prefix counts once, and the prefix that all its
    /// sequences share does not count. A larger batch becomes several trees, which bounds the
    /// memory.
    pub max_tokens_per_tree: usize,
    /// Peak learning rate. TRL: 2e-5.
    pub learning_rate: f64,
    /// Curve of the learning rate after the warmup; `constant` has none.
    pub lr_scheduler_type: Schedule,
    /// Steps over which the learning rate rises from 0.
    pub warmup_steps: usize,
    /// Share of all steps over which the learning rate rises, instead of `warmup_steps`.
    pub warmup_ratio: Option<f64>,
    /// Curve of the learning rate during the warmup.
    pub warmup_type: Warmup,
    /// Decoupled weight decay, on matrices.
    pub weight_decay: f64,
    /// AdamW's decay of the first moment.
    pub adam_beta1: f64,
    /// AdamW's decay of the second moment.
    pub adam_beta2: f64,
    /// Number that is added to the root of AdamW's second moment.
    pub adam_epsilon: f64,
    /// Maximum norm of the gradients; larger ones are scaled down to it. 0: no limit.
    pub max_grad_norm: f64,
    /// Seed for the order of the data.
    pub seed: u64,
    /// Shuffle the rows before every epoch; if false, they keep the order of the file.
    pub shuffle: bool,
    /// Number of rows with the same system text and tools that `shuffle` keeps together. A batch
    /// with fewer different prefixes is a smaller tree. 1 shuffles all rows one by one, as TRL
    /// does. If a whole batch has the same prefix, the model learns less.
    pub group_by_prefix: usize,
    /// Maximum length of a sequence in tokens; none: the limit of the model. TRL: 1024.
    pub max_length: Option<usize>,
    /// Treatment of sequences that are too long. TRL truncates them silently.
    pub overlong: Overlong,
    /// Round the factors of matrix products to bf16 if the processor can multiply bf16, which is at
    /// least twice as fast. Activations between two products are stored as bf16 too. Weights, the
    /// residual stream, sums, norms, softmax, loss and optimizer stay f32.
    pub bf16: bool,
    /// Round trained weights to bf16 stochastically, as torchao's optimizers do. With rounding to
    /// nearest, as in TRL, weights from a bf16 file ignore the first small updates, and the loss
    /// stays above that of f32. An adapter is always rounded to nearest.
    pub bf16_stochastic_round: bool,
    /// Device that computes the run.
    pub device: Device,
    /// Number of GPUs that a single process trains on, with a thread and a rank for each; 0: all
    /// GPUs. Ranks that `mpirun`, `srun` or `torchrun` started use one GPU each.
    pub devices: usize,
    /// Train a LoRA adapter instead of the weights; none: the weights, or the adapter that the
    /// model has.
    pub lora: Option<LoraConfig>,
    /// Activations that are kept for the backward pass.
    pub recompute: Recompute,
    /// State that the ranks shard: 0 nothing, 1 the optimizer state, 2 gradients too (DeepSpeed's
    /// ZeRO stages).
    pub zero_stage: u8,
    /// Seconds that a rank waits for another before it ends the job.
    pub ddp_timeout: u64,
    /// Steps between evaluations on the validation set, if there is one; none: as `evals_per_epoch`
    /// says.
    pub eval_steps: Option<usize>,
    /// Share of all steps between evaluations, instead of `eval_steps`.
    pub eval_ratio: Option<f64>,
    /// Evaluations in an epoch, where `eval_steps` is none.
    pub evals_per_epoch: usize,
    /// Have the model answer validation rows at each evaluation, and count its right calls. TRL
    /// measures only the loss, which says little about calls.
    pub predict_with_generate: bool,
    /// Number of rows to answer, spread over the validation set; none: all.
    pub max_predict_samples: Option<usize>,
    /// Maximum length of an answer to a validation row in tokens. A longer answer counts as
    /// unfinished and wrong.
    pub generation_max_new_tokens: usize,
    /// Metric that decides which model is the best. Lower is better for `eval_loss` and
    /// `eval_over_calls`, higher for the others. All but `eval_loss` and
    /// `eval_mean_token_accuracy` need `predict_with_generate`.
    pub metric_for_best_model: Metric,
    /// End with the best evaluated model, by `metric_for_best_model`, instead of the last. On a tie
    /// the earlier model wins. Its weights are kept in memory and in every checkpoint.
    pub load_best_model_at_end: bool,
    /// Number of evaluations in a row without a better `metric_for_best_model` after which the run
    /// stops.
    pub early_stopping_patience: Option<usize>,
    /// Folder for checkpoints from which a run can resume.
    pub output_dir: Option<PathBuf>,
    /// Steps between checkpoints; none: as `saves_per_epoch` says.
    pub save_steps: Option<usize>,
    /// Share of all steps between checkpoints, instead of `save_steps`.
    pub save_ratio: Option<f64>,
    /// Checkpoints in an epoch, where `save_steps` is none. If both are none, only an interrupted
    /// run saves a checkpoint.
    pub saves_per_epoch: Option<usize>,
    /// Maximum number of checkpoints in the folder; the oldest is removed first. None: all.
    pub save_total_limit: Option<usize>,
    /// Checkpoint to resume from, or a folder of checkpoints, of which the latest is used. Settings
    /// and data are those of this run, not of the checkpoint; notes list the differences.
    pub resume_from_checkpoint: Option<PathBuf>,
    /// Trackers for the numbers of the run: `"tensorboard"`, `"wandb"`, a list of them, `"all"` or
    /// `"none"`. Not set: Weights & Biases if `WANDB_API_KEY` is set, else none, as in transformers
    /// 5.
    pub report_to: Option<ReportTo>,
    /// Name of the run in the trackers; none: time and host in TensorBoard, a generated name in
    /// Weights & Biases.
    pub run_name: Option<String>,
    /// Project of Weights & Biases; none: `WANDB_PROJECT`, or "huggingface".
    pub wandb_project: Option<String>,
    /// User or team of Weights & Biases; none: `WANDB_ENTITY`, or that of the key.
    pub wandb_entity: Option<String>,
    /// Mode of Weights & Biases; none: `WANDB_MODE`, or `online`.
    pub wandb_mode: Option<WandbMode>,
    /// Id of the run at Weights & Biases; none: `WANDB_RUN_ID`, or a new one.
    pub wandb_run_id: Option<String>,
    /// Folder of TensorBoard's event files; none: `TENSORBOARD_LOGGING_DIR`, or `runs/NAME` in
    /// `output_dir`.
    pub logging_dir: Option<PathBuf>,
    /// Steps between log entries: lines if there is no terminal, `log_history` of
    /// `trainer_state.json`, and points of trackers. The loss is the mean over the steps since the
    /// last entry.
    pub logging_steps: usize,
    /// Share of all steps between log entries, instead of `logging_steps`.
    pub logging_ratio: Option<f64>,
    /// Log the first step too. TRL: no.
    pub logging_first_step: bool,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            loss: LossMode::Assistant,
            num_train_epochs: 2.0,
            learning_rate: 2e-4,
            warmup_steps: 5,
            group_by_prefix: 4,
            max_length: None,
            overlong: Overlong::Error,
            bf16_stochastic_round: true,
            logging_first_step: true,
            ..Self::trl()
        }
    }
}

impl TrainConfig {
    /// Returns the settings that TRL's `SFTConfig()` has, and with them the workflow that this
    /// project replaces: loss on all tokens (after the prompt, for rows with `prompt` and
    /// `completion`), learning rate 2e-5 falling linearly, batches of 8, 3 epochs.
    pub fn trl() -> Self {
        let AdamWConfig {
            beta1,
            beta2,
            eps,
            weight_decay,
        } = AdamWConfig::default();
        Self {
            loss: LossMode::Auto,
            chat_template_kwargs: Map::new(),
            num_train_epochs: 3.0,
            max_steps: None,
            per_device_train_batch_size: 8,
            gradient_accumulation_steps: 1,
            max_tokens_per_tree: 4096,
            learning_rate: 2e-5,
            lr_scheduler_type: Schedule::Linear,
            warmup_steps: 0,
            warmup_ratio: None,
            warmup_type: Warmup::Linear,
            weight_decay,
            adam_beta1: beta1,
            adam_beta2: beta2,
            adam_epsilon: eps,
            max_grad_norm: 1.0,
            seed: 42,
            shuffle: true,
            group_by_prefix: 1,
            max_length: Some(1024),
            overlong: Overlong::Truncate,
            bf16: true,
            bf16_stochastic_round: false,
            device: Device::Auto,
            devices: 1,
            lora: None,
            recompute: Recompute::Norms,
            zero_stage: 2,
            ddp_timeout: 1800,
            eval_steps: None,
            eval_ratio: None,
            evals_per_epoch: 1,
            predict_with_generate: true,
            max_predict_samples: Some(100),
            generation_max_new_tokens: 256,
            metric_for_best_model: Metric::EvalLoss,
            load_best_model_at_end: false,
            early_stopping_patience: None,
            output_dir: None,
            save_steps: None,
            save_ratio: None,
            saves_per_epoch: None,
            save_total_limit: None,
            resume_from_checkpoint: None,
            report_to: None,
            run_name: None,
            wandb_project: None,
            wandb_entity: None,
            wandb_mode: None,
            wandb_run_id: None,
            logging_dir: None,
            logging_steps: 10,
            logging_ratio: None,
            logging_first_step: false,
        }
    }

    /// Adapts these settings to the number of rows. From [`MANY_ROWS`](Self::MANY_ROWS) on, each
    /// row is read once, in steps of 16 of which 8 share their tools, at a learning rate of 3e-4.
    /// From 8,000 rows on there is time for smaller steps: of 12 of which 6 share their tools, at
    /// 2e-4. An adapter has ten times these rates. Fewer rows change nothing.
    ///
    /// ```
    /// use toolcall_lib::TrainConfig;
    ///
    /// let config: TrainConfig = TrainConfig {
    ///     seed: 7,
    ///     ..TrainConfig::default().for_rows(4000)
    /// };
    /// assert_eq!(config.per_device_train_batch_size, 16);
    /// ```
    pub fn for_rows(self, rows: usize) -> Self {
        if rows < Self::MANY_ROWS {
            return self;
        }
        let (batch, group, learning_rate) = match rows {
            ..8000 => (16, 8, 3e-4),
            _ => (12, 6, 2e-4),
        };
        let for_adapter = if self.lora.is_some() { 10.0 } else { 1.0 };
        Self {
            num_train_epochs: 1.0,
            per_device_train_batch_size: batch,
            group_by_prefix: group,
            learning_rate: learning_rate * for_adapter,
            warmup_steps: 15,
            ..self
        }
    }

    /// Number of rows from which [`for_rows`](Self::for_rows) changes the settings: an epoch has at
    /// least 90 steps.
    pub const MANY_ROWS: usize = 1440;

    /// Returns the recommended settings for a LoRA adapter: rank and dropout of TRL's command line,
    /// and a learning rate that is ten times that of full fine-tuning.
    pub fn lora() -> Self {
        Self {
            learning_rate: 2e-3,
            lora: Some(LoraConfig {
                r: 16,
                lora_alpha: 32.0,
                lora_dropout: 0.05,
                ..LoraConfig::default()
            }),
            ..Self::default()
        }
    }

    /// Returns AdamW's part of the settings.
    pub fn adamw(&self) -> AdamWConfig {
        AdamWConfig {
            beta1: self.adam_beta1,
            beta2: self.adam_beta2,
            eps: self.adam_epsilon,
            weight_decay: self.weight_decay,
        }
    }

    /// Returns the learning rate of optimizer step `step` (the first is 0) of `total`.
    pub fn learning_rate_at(&self, step: usize, total: usize) -> f64 {
        let warmup = self.warmup_steps_of(total);
        let factor = if step < warmup {
            self.warmup_type.factor(step, warmup)
        } else {
            self.lr_scheduler_type.factor(step, warmup, total)
        };
        self.learning_rate * factor
    }

    /// Returns the number of steps between evaluations, if an epoch has `steps_per_epoch` of the
    /// `total`.
    pub(super) fn eval_every(&self, steps_per_epoch: usize, total: usize) -> usize {
        let per_epoch = steps_per_epoch.div_ceil(self.evals_per_epoch);
        let steps = self.eval_ratio.map(|ratio| share_of(ratio, total));
        steps.or(self.eval_steps).unwrap_or(per_epoch)
    }

    /// Returns the number of steps between checkpoints, if any are wanted.
    pub(super) fn save_every(&self, steps_per_epoch: usize, total: usize) -> Option<usize> {
        let per_epoch = self.saves_per_epoch.map(|count| steps_per_epoch.div_ceil(count));
        let steps = self.save_ratio.map(|ratio| share_of(ratio, total));
        steps.or(self.save_steps).or(per_epoch)
    }

    /// Returns the number of steps between entries of the log, in a run of `total` steps.
    pub fn log_every(&self, total: usize) -> usize {
        let steps = self.logging_ratio.map(|ratio| share_of(ratio, total));
        steps.unwrap_or(self.logging_steps)
    }

    /// Returns the steps of warmup in a run of `total` steps, none for a schedule without one. A
    /// share of the steps is rounded up.
    pub fn warmup_steps_of(&self, total: usize) -> usize {
        if !self.lr_scheduler_type.has_warmup() {
            return 0;
        }
        let share = |ratio: f64| (ratio * total as f64).ceil() as usize;
        self.warmup_ratio.map_or(self.warmup_steps, share)
    }

    /// Returns the settings for turning conversations into tokens; `longest` is the model's own
    /// limit.
    pub fn tokenize(&self, longest: usize) -> TokenizeConfig {
        let max_length = Some(self.max_length.map_or(longest, |length| length.min(longest)));
        TokenizeConfig {
            mode: self.loss,
            max_length,
            overlong: self.overlong,
        }
    }
}

/// Returns the steps that are this share of all, rounded up as in transformers; at least one.
fn share_of(ratio: f64, total: usize) -> usize {
    ((ratio * total as f64).ceil() as usize).max(1)
}
