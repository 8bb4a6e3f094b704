//! Settings whose effect is only known with the last of them.

use super::inputs::{Evaluated, Inputs};
use super::read::is_off;
use crate::train::TrainConfig;
use crate::weights::Dtype;
use indexmap::IndexMap;
use serde_json::Value;

/// Settings of this and of earlier layers whose effect later ones can change.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Open {
    /// Settings of the adapter by their names within `lora`, each with the key that gave it.
    /// Without an adapter they wait for a later setting that asks for one.
    pub lora: IndexMap<String, (String, Value)>,
    /// Type in which TRL loads the weights; it counts where an adapter is trained.
    pub loaded_as: Option<Dtype>,
    /// Settings that pack the weights, each with its type. The last one counts.
    packed_as: IndexMap<&'static str, Dtype>,
    /// The key by which `eval_strategy` is `no`.
    pub no_evaluation: Option<String>,
    /// Steps between evaluations and between checkpoints where a strategy is `steps` and gives no
    /// number.
    pub usual_steps: [Option<u64>; 2],
    /// True if a warmup is asked for.
    pub warmup: bool,
    /// The key by which a batch is packed in another tool, and holds more than its number of
    /// conversations.
    pub packed: Option<String>,
    /// True if steps are counted as mlx-lm counts them.
    pub is_of_mlx: bool,
    /// True if mlx-lm's Adam is said to correct its moments, as here.
    pub bias_correction: bool,
}

impl Open {
    /// Packs the weights as `setting` says; `None` takes back what it said before.
    pub fn pack(&mut self, setting: &'static str, dtype: Option<Dtype>) {
        self.packed_as.shift_remove(setting);
        if let Some(dtype) = dtype {
            self.packed_as.insert(setting, dtype);
        }
    }

    /// Returns the type in which the weights are held, if the settings name one. `adapter: qlora`
    /// packs them only under an adapter.
    pub fn dtype(&self, config: &TrainConfig) -> Option<Dtype> {
        let has_adapter = config.lora.is_some();
        let mut packed = self.packed_as.iter().rev();
        let packed = packed.find(|(setting, _)| has_adapter || **setting != "adapter");
        packed
            .map(|(_, dtype)| *dtype)
            .or(self.loaded_as.filter(|_| has_adapter))
    }

    /// Notes a warmup that this value asks for.
    pub fn ask_for_warmup(&mut self, value: Option<&Value>) {
        self.warmup |= value.is_some_and(|value| !is_off(value));
    }

    /// Returns notes on what means another thing in its tool, or has no effect, in a run with these
    /// settings.
    pub fn notes(&self, config: &TrainConfig, inputs: &Inputs, has_validation: bool) -> Vec<String> {
        [
            self.note_on_evaluation(inputs, has_validation),
            self.note_on_steps("eval", self.usual_steps[0], config.eval_steps),
            self.note_on_steps("save", self.usual_steps[1], config.save_steps),
            self.note_on_warmup(config),
            self.note_on_batch(config),
            self.note_on_moments(),
            self.note_on_adapter(config),
            self.note_on_dtype(config),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn note_on_evaluation(&self, inputs: &Inputs, has_validation: bool) -> Option<String> {
        let key = self.no_evaluation.as_ref()?;
        let is_measured = has_validation && inputs.evaluated == Some(Evaluated::No);
        is_measured.then(|| {
            format!(
                "{key}: the validation set is measured all the same, at the end of an epoch; \
                 `dataset_test_split` is not"
            )
        })
    }

    fn note_on_steps(&self, what: &str, usual: Option<u64>, steps: Option<usize>) -> Option<String> {
        let usual = usual.filter(|usual| steps.is_some_and(|steps| steps as u64 == *usual))?;
        Some(format!(
            "{what}_strategy: `steps` without `{what}_steps` is every {usual} steps, as in transformers"
        ))
    }

    fn note_on_warmup(&self, config: &TrainConfig) -> Option<String> {
        let is_set = config.warmup_steps > 0 || config.warmup_ratio.is_some_and(|ratio| ratio > 0.0);
        let has_none = self.warmup && is_set && !config.lr_scheduler_type.has_warmup();
        let text = "a `constant` learning rate has no warmup; `constant_with_warmup` has one";
        has_none.then(|| text.to_string())
    }

    fn note_on_batch(&self, config: &TrainConfig) -> Option<String> {
        let key = self.packed.as_ref()?;
        let batch = config.per_device_train_batch_size;
        let batches = config.gradient_accumulation_steps;
        Some(format!(
            "{key}: a batch there counts packed sequences; here it counts conversations, and a step has {} \
             ({batch} · {batches}) on each rank",
            batch.saturating_mul(batches)
        ))
    }

    fn note_on_moments(&self) -> Option<String> {
        let differs = self.is_of_mlx && !self.bias_correction;
        let text = "mlx-lm's Adam does not correct its moments where `bias_correction` is not true; here they \
                    are corrected, so the first steps are smaller";
        differs.then(|| text.to_string())
    }

    fn note_on_adapter(&self, config: &TrainConfig) -> Option<String> {
        if config.lora.is_some() || self.lora.is_empty() {
            return None;
        }
        let keys: Vec<&str> = self.lora.values().map(|(key, _)| key.as_str()).collect();
        Some(format!(
            "no adapter is trained by {} alone; `use_peft: true`, `adapter: lora` or `finetuning_type: lora` \
             asks for one",
            keys.join(", ")
        ))
    }

    fn note_on_dtype(&self, config: &TrainConfig) -> Option<String> {
        let is_rounded = self.loaded_as.is_some_and(|dtype| dtype != Dtype::F32);
        let text =
            "dtype: weights that are trained are held as f32; `bf16` says in what products are computed";
        (is_rounded && config.lora.is_none() && self.dtype(config).is_none()).then(|| text.to_string())
    }
}
