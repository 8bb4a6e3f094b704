//! AdamW, learning rate schedule, clipping: from gradients to new weights.
//!
//! [`AdamW::step`] updates the weights in place from gradient sums; the caller passes the factor
//! that turns sums into clipped means. With ZeRO, each rank holds the moments of its shard of every
//! bucket and updates only that shard.

mod schedule;
pub(crate) mod zero;

pub use schedule::{Schedule, Warmup};

use crate::collective::Shard;
use crate::weights::{Parameters, Slot, zero_buckets};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use toolcall_macros::vectorized;

/// Number of elements that one task updates.
const ELEMENTS_PER_TASK: usize = 1 << 16;

/// Settings of AdamW (Loshchilov and Hutter, 2019), which is computed as `torch.optim.AdamW` does:
/// f32 moments, bias correction, decoupled weight decay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdamWConfig {
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Weight decay per unit of learning rate; not applied to norms and biases.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
        }
    }
}

/// The state of AdamW: two moments per weight, and the number of steps. Holds one rank's part of
/// every bucket (ZeRO-1).
#[derive(Clone, Debug)]
pub struct AdamW {
    /// Settings.
    pub config: AdamWConfig,
    /// Part of every bucket that this state holds.
    pub shard: Shard,
    /// First moment: running mean of the gradients, bucket by bucket.
    pub first: Vec<Vec<f32>>,
    /// Second moment: running mean of the squared gradients, bucket by bucket.
    pub second: Vec<Vec<f32>>,
    /// Number of steps taken.
    pub steps: u64,
}

impl AdamW {
    /// Creates fresh state for all of `weights`.
    pub fn new(config: AdamWConfig, weights: &Parameters) -> Self {
        Self::of_shard(config, weights, Shard::WHOLE)
    }

    /// Creates fresh state for one part of every bucket of `weights`.
    pub fn of_shard(config: AdamWConfig, weights: &Parameters, shard: Shard) -> Self {
        let zeros = || {
            zero_buckets(
                weights
                    .buckets
                    .iter()
                    .map(|bucket| shard.range(bucket.len()).len()),
            )
        };
        Self {
            config,
            shard,
            first: zeros(),
            second: zeros(),
            steps: 0,
        }
    }

    /// Returns the memory of the moments in bytes.
    pub fn bytes(&self) -> usize {
        let elements: usize = self.first.iter().chain(&self.second).map(Vec::len).sum();
        elements * size_of::<f32>()
    }

    /// Takes one step for the shard, with the gradients `gradients · scale`. `gradients` are those
    /// of the shard, bucket by bucket, and are set to zero for the next step. `weights` are whole;
    /// only the shard changes.
    pub fn step(
        &mut self,
        weights: &mut Parameters,
        gradients: &mut [impl AsMut<[f32]> + Send],
        scale: f64,
        learning_rate: f64,
    ) {
        self.steps += 1;
        // One task for the whole step: handing over hundreds of tensors to the pool one by one
        // takes longer.
        rayon::scope(|_| self.update(weights, gradients, scale, learning_rate));
    }

    /// Updates the part of each tensor that lies in the shard.
    fn update(
        &mut self,
        weights: &mut Parameters,
        gradients: &mut [impl AsMut<[f32]> + Send],
        scale: f64,
        learning_rate: f64,
    ) {
        let layout = weights.layout.clone();
        for slot in layout.slots() {
            // 1. Numbers of the step, the same for all elements of the tensor.
            let update = Update::of(&self.config, self.steps, learning_rate, is_decayed(slot));
            // 2. This rank's part of the tensor: places in the bucket, and in the rank's shard of
            //    it.
            let bucket = &mut weights.buckets[slot.bucket];
            let own = self.shard.range(bucket.len());
            let range = slot.range().start.max(own.start)..slot.range().end.min(own.end);
            if range.is_empty() {
                continue; // another rank's part
            }
            // 3. Weights, gradients and moments of the part, `[part]` each, updated in chunks in
            //    parallel.
            let w = bucket[range.clone()].par_chunks_mut(ELEMENTS_PER_TASK);
            let part = range.start - own.start..range.end - own.start;
            let [g, m, v] = [
                gradients[slot.bucket].as_mut(),
                &mut self.first[slot.bucket],
                &mut self.second[slot.bucket],
            ]
            .map(|all| all[part.clone()].par_chunks_mut(ELEMENTS_PER_TASK));
            w.zip(g).zip(m.zip(v)).for_each(|((w, g), (m, v))| {
                apply(update, scale as f32, w, g, m, v);
            });
        }
    }
}

/// Returns true if weight decay applies: to matrices, but not to norms and biases, as in
/// transformers' `Trainer`.
pub fn is_decayed(slot: &Slot) -> bool {
    slot.shape.len() > 1
}

/// The numbers of one step, computed once for all elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    /// Learning rate divided by the bias correction of the first moment.
    pub step_size: f32,
    /// `1 / √(bias correction of the second moment)`.
    pub root_correction: f32,
    /// `1 − learning rate · weight decay`.
    pub keep: f32,
}

impl Update {
    /// Computes the numbers of step `step`; the first step is 1.
    pub fn of(config: &AdamWConfig, step: u64, learning_rate: f64, decays: bool) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        let decay = if decays { config.weight_decay } else { 0.0 };
        Self {
            beta1: config.beta1 as f32,
            beta2: config.beta2 as f32,
            eps: config.eps as f32,
            step_size: (learning_rate / correction(config.beta1)) as f32,
            root_correction: (1.0 / correction(config.beta2).sqrt()) as f32,
            keep: (1.0 - learning_rate * decay) as f32,
        }
    }
}

/// Updates weights `w` and moments `m`, `v` with the gradients `g · scale`, and sets `g` to zero.
#[vectorized]
fn apply(update: Update, scale: f32, w: &mut [f32], g: &mut [f32], m: &mut [f32], v: &mut [f32]) {
    let Update {
        beta1,
        beta2,
        eps,
        step_size,
        root_correction,
        keep,
    } = update;
    for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
        // 1. Unscaled sum to clipped mean.
        let gradient = *g * scale;
        // 2. Moments: m = β₁ m + (1 − β₁) g and v = β₂ v + (1 − β₂) g².
        *m += (gradient - *m) * (1.0 - beta1);
        *v = *v * beta2 + gradient * gradient * (1.0 - beta2);
        // 3. Weight: w = (1 − lr · decay) w − lr · m̂ / (√v̂ + eps), with m̂ and v̂ corrected for
        //    bias.
        let denominator = v.sqrt() * root_correction + eps;
        *w = *w * keep - step_size * *m / denominator;
        // 4. The next step sums from zero.
        *g = 0.0;
    }
}

/// Returns the L2 norm of all elements, summed in f64 in a fixed order.
pub fn norm(parameters: &Parameters) -> f64 {
    sum_of_squares(&parameters.buckets).sqrt()
}

/// Returns the square of the L2 norm of all elements, summed in f64 in a fixed order.
pub fn sum_of_squares(buckets: &[impl AsRef<[f32]>]) -> f64 {
    let per_chunk = |bucket: &_| -> Vec<f64> {
        let bucket: &[f32] = AsRef::as_ref(bucket);
        bucket.par_chunks(ELEMENTS_PER_TASK).map(squares).collect()
    };
    buckets.iter().flat_map(per_chunk).sum()
}

/// Returns the sum of squares, in 8 partial sums so that it vectorizes.
#[vectorized]
fn squares(chunk: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let (whole, rest) = chunk.as_chunks::<8>();
    for values in whole {
        for (lane, &x) in lanes.iter_mut().zip(values) {
            *lane += f64::from(x) * f64::from(x);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
}

/// Returns the factor that scales a gradient of norm `norm` to at most `max_norm`, as
/// `torch.nn.utils.clip_grad_norm_` does; `max_norm` 0 means no limit.
pub fn clip_coefficient(norm: f64, max_norm: f64) -> f64 {
    if max_norm > 0.0 {
        (max_norm / (norm + 1e-6)).min(1.0)
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_only_shrinks() {
        assert_eq!(clip_coefficient(0.5, 1.0), 1.0);
        assert!((clip_coefficient(4.0, 1.0) - 0.25).abs() < 1e-6);
        assert_eq!(clip_coefficient(4.0, 0.0), 1.0);
    }
}
