//! Dropout masks that are computed, not stored.
//!
//! A mask is a function of the seed, the step, the tree, the layer and the projection. So the
//! backward pass, a recomputed block and a resumed run draw the mask of the first forward pass
//! again.

use crate::model::projection::Projection;
use crate::ops::element::Element;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Rows that one task masks.
const ROWS_PER_TASK: usize = 32;

/// Identity of a training pass, which selects its dropout masks. The same pass draws the same
/// masks: in the backward pass, when a block is computed again, and when a run is resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassId {
    /// Seed of the run.
    pub seed: u64,
    /// Optimizer step of the run.
    pub step: u32,
    /// Index of the tree within the step.
    pub tree: u16,
}

/// The dropout mask of one projection's input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mask {
    pub pass: PassId,
    pub layer: usize,
    pub projection: Projection,
    /// Probability of dropping an element.
    pub p: f64,
}

impl Mask {
    /// Returns `1 − p`, the divisor of the elements that are kept.
    pub fn keep(&self) -> f32 {
        (1.0 - self.p) as f32
    }

    /// Returns the threshold `p · 2³²`: an element is dropped if its random word is below it.
    pub fn dropped(&self) -> u32 {
        (self.p * (1u64 << 32) as f64) as u32
    }

    /// Returns the generator of the mask's random words: one word per element, in order.
    pub fn words(&self) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.pass.seed);
        // layer and projection take 14 bits: a config has at most 4096 blocks
        let place = (self.layer << 2 | self.projection as usize) as u64;
        random.set_stream(u64::from(self.pass.step) << 32 | u64::from(self.pass.tree) << 16 | place);
        random
    }

    /// Sets each element of `x` (`[rows, width]`) to zero with probability `p`, and divides the
    /// others by `1 − p`. The gradient takes the same mask.
    pub fn apply<E: Element>(&self, x: &mut [E], width: usize) {
        let (keep, dropped, random) = (self.keep(), self.dropped(), self.words());
        let task_len = ROWS_PER_TASK * width;
        x.par_chunks_mut(task_len).enumerate().for_each(|(task, x)| {
            let mut random = random.clone();
            random.set_word_pos((task * task_len) as u128);
            for x in x {
                *x = E::of(if random.next_u32() < dropped {
                    0.0
                } else {
                    x.value() / keep
                });
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(step: u32, tree: u16, layer: usize, projection: Projection) -> Vec<f32> {
        let pass = PassId { seed: 3, step, tree };
        let mask = Mask {
            pass,
            layer,
            projection,
            p: 0.25,
        };
        let mut x = vec![3.0; 1000 * 64];
        mask.apply(&mut x, 64);
        x
    }

    #[test]
    fn a_mask_drops_its_share_and_keeps_the_mean() {
        let x = mask(0, 0, 0, Projection::Qkv);
        assert!(x.iter().all(|&x| x == 0.0 || x == 4.0));
        let mean = x.iter().sum::<f32>() / x.len() as f32;
        assert!((mean - 3.0).abs() < 0.05, "{mean}");
    }

    #[test]
    fn masks_differ_between_passes_layers_and_projections_and_not_between_calls() {
        assert_eq!(mask(1, 1, 2, Projection::Down), mask(1, 1, 2, Projection::Down));
        for other in [
            mask(2, 1, 2, Projection::Down),
            mask(1, 2, 2, Projection::Down),
            mask(1, 1, 3, Projection::Down),
            mask(1, 1, 2, Projection::GateUp),
        ] {
            assert_ne!(mask(1, 1, 2, Projection::Down), other);
        }
        let x = mask(0, 0, 0, Projection::Qkv);
        let rows: Vec<&[f32]> = x.chunks(64).collect();
        assert!(rows.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
