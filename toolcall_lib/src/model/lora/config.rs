//! Settings of an adapter, with the names of PEFT's `LoraConfig`.

use super::targets::{TargetModules, choices};
use crate::error::{Error, Result, short};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limit of the rank; no weight of this model family has a higher one.
const HIGHEST_RANK: usize = 1 << 16;

/// Settings of LoRA (Hu et al., 2021). Each targeted weight `W` acts as `W + scale · B · A`, where
/// only `A` (`[r, in]`) and `B` (`[out, r]`) are trained.
///
/// Names and defaults are those of PEFT's `LoraConfig`, except that all linear layers are targeted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank `r` of the update.
    pub r: usize,
    /// Numerator of the scale.
    pub lora_alpha: f64,
    /// Probability of dropping an element of the adapter's input in training. Projections with the
    /// same input (q, k and v; gate and up) share the mask, and so do sequences that share a token
    /// of the packed tree.
    pub lora_dropout: f64,
    /// The layers to adapt. In JSON: a list of names, a regular expression, or `"all-linear"`.
    pub target_modules: TargetModules,
    /// Uses the scale `lora_alpha / √r` instead of `lora_alpha / r` (rsLoRA; Kalajdzievski, 2023).
    pub use_rslora: bool,
    /// Number of layers at the end of the model that are adapted, as mlx-lm's `num_layers`; none:
    /// all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_layers: Option<usize>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            target_modules: TargetModules::all(),
            use_rslora: false,
            last_layers: None,
        }
    }
}

impl LoraConfig {
    /// Returns the factor of `B · A`: `lora_alpha / r`, or `lora_alpha / √r` with `use_rslora`.
    pub fn scale(&self) -> f32 {
        let r = self.r as f64;
        (self.lora_alpha / if self.use_rslora { r.sqrt() } else { r }) as f32
    }

    /// Returns these settings for a model with this many layers: the names of the last of them, if
    /// only some are to be adapted, as PEFT reads them.
    ///
    /// # Errors
    /// The model has fewer layers, or nothing in the last ones is selected.
    pub(crate) fn of_layers(self, layers: usize) -> Result<Self> {
        let wrong = |problem: String| Error::invalid("lora.last_layers", problem);
        let target_modules = match self.last_layers {
            None => return Ok(self),
            Some(last) if last == layers => self.target_modules,
            Some(last) if last == 0 || last > layers => {
                let problem =
                    format!("{last} is not a number of layers that the model has; expected 1 to {layers}");
                return Err(wrong(problem));
            }
            Some(last) => match self.target_modules.names(layers - last..layers)? {
                names if names.is_empty() => {
                    let problem = format!("`lora.target_modules` selects nothing in the last {last} layers");
                    return Err(wrong(problem));
                }
                names => TargetModules::Names(names),
            },
        };
        Ok(Self {
            target_modules,
            last_layers: None,
            ..self
        })
    }

    /// Checks that the settings make an adapter.
    ///
    /// # Errors
    /// A rank outside 1 to 65,536, an alpha that is not positive, a dropout outside `[0, 1)`, or no
    /// target modules.
    pub fn check(&self) -> Result<()> {
        let wrong = |field: &str, problem: String| Err(Error::invalid(format!("lora.{field}"), problem));
        if !(1..=HIGHEST_RANK).contains(&self.r) {
            let problem = format!("{} is not a rank; expected 1 to {HIGHEST_RANK}", self.r);
            return wrong("r", problem);
        }
        if !(self.lora_alpha.is_finite() && self.lora_alpha > 0.0) {
            let problem = format!("{} is not a positive number", short(self.lora_alpha));
            return wrong("lora_alpha", problem);
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            let problem = format!("{} is not in [0, 1)", short(self.lora_dropout));
            return wrong("lora_dropout", problem);
        }
        if self.target_modules == TargetModules::Modules(Vec::new()) {
            return wrong("target_modules", format!("is empty; expected {}", choices()));
        }
        Ok(())
    }
}
