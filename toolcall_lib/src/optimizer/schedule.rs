//! Learning rate schedules: the warmup, and the curve after it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Curve of the learning rate after the warmup. Names are those of transformers'
/// `lr_scheduler_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Falls in a straight line to 0.
    #[default]
    Linear,
    /// Falls to 0 along half a cosine.
    Cosine,
    /// Is at its peak from the first step on, without a warmup.
    Constant,
    /// Stays at its peak.
    ConstantWithWarmup,
}

impl Schedule {
    /// Returns the share of the peak learning rate at optimizer step `step` (the first is 0) of
    /// `total`. It rises from 0 over `warmup` steps.
    pub fn factor(self, step: usize, warmup: usize, total: usize) -> f64 {
        if step < warmup && self.has_warmup() {
            return Warmup::Linear.factor(step, warmup);
        }
        // Progress after the warmup: from 0 at its end to 1 after `total` steps.
        let progress = step.saturating_sub(warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
        match self {
            Self::Linear => (1.0 - progress).max(0.0),
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos()),
            Self::Constant | Self::ConstantWithWarmup => 1.0,
        }
    }

    /// Returns true if the learning rate rises from 0 before the curve begins.
    pub fn has_warmup(self) -> bool {
        self != Self::Constant
    }
}

/// Curve of the learning rate during the warmup. Names are those of DeepSpeed's `warmup_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Warmup {
    /// Rises in a straight line.
    #[default]
    Linear,
    /// Rises as the logarithm of the step: fast, then ever more slowly. The curve is DeepSpeed's,
    /// one step earlier, because DeepSpeed's first two steps are at 0.
    Log,
}

impl Warmup {
    /// Returns the share of the peak learning rate at step `step` (the first is 0) of `steps`
    /// warmup steps.
    pub fn factor(self, step: usize, steps: usize) -> f64 {
        match self {
            Self::Linear => step as f64 / steps as f64,
            Self::Log => ((step + 1) as f64).ln() / (steps.max(2) as f64).ln(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_those_of_transformers() {
        let at = |s: Schedule| -> Vec<f64> { [0, 1, 2, 6, 10].map(|i| s.factor(i, 2, 10)).to_vec() };
        assert_eq!(at(Schedule::Linear), [0.0, 0.5, 1.0, 0.5, 0.0]);
        assert_eq!(at(Schedule::Constant), [1.0; 5]);
        assert_eq!(at(Schedule::ConstantWithWarmup), [0.0, 0.5, 1.0, 1.0, 1.0]);
        let cosine = at(Schedule::Cosine);
        assert!((cosine[3] - 0.5).abs() < 1e-12 && cosine[4].abs() < 1e-12);
    }

    #[test]
    fn a_logarithmic_warmup_is_that_of_deepspeed() {
        let at = |step| Warmup::Log.factor(step, 100);
        assert_eq!(at(0), 0.0);
        assert!((at(9) - 0.5).abs() < 1e-12, "half of ln 100 is ln 10");
        assert_eq!(at(99), 1.0);
    }
}
