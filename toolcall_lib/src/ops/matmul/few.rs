//! A weight matrix times few rows, as in generation: each weight is read once and nothing is packed, which for few rows costs
//! more than the product itself.

use super::Output;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::array::from_fn;

/// Up to so many rows packing does not pay.
pub(super) const FEW: usize = 48;

/// Outputs that one task computes for all rows.
const OUTPUTS_PER_TASK: usize = 64;

/// `y = x · wᵀ` (or `+=`): `x` is `[rows, input]`, `w` is `[output, input]`, `y` is `[rows, output]`.
pub(super) fn linear_few(x: &[f32], w: &[f32], y: &mut [f32], input: usize, mode: Output) {
    let output = w.len() / input;
    let mut tasks: Vec<Vec<&mut [f32]>> = Vec::new();
    for row in y.chunks_exact_mut(output) {
        let parts = row.chunks_mut(OUTPUTS_PER_TASK);
        tasks.resize_with(parts.len(), Vec::new);
        tasks
            .iter_mut()
            .zip(parts)
            .for_each(|(task, part)| task.push(part));
    }
    let arch = Arch::new();
    tasks
        .into_par_iter()
        .zip(w.par_chunks(OUTPUTS_PER_TASK * input))
        .for_each(|(y, w)| arch.dispatch(Products { x, w, y, input, mode }));
}

/// The rows' products with some of the weights.
struct Products<'a> {
    x: &'a [f32],
    w: &'a [f32],
    y: Vec<&'a mut [f32]>,
    input: usize,
    mode: Output,
}

impl WithSimd for Products<'_> {
    type Output = ();

    /// Tiles of 4 rows by 4 outputs, so that a number that is loaded is used 4 times.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (rows, outputs) = (self.y.len(), self.w.len() / self.input);
        let mut row = 0;
        while row < rows {
            let tall = rows - row >= 4;
            let mut output = 0;
            while output < outputs {
                let wide = outputs - output >= 4;
                match (tall, wide) {
                    (true, true) => self.tile::<S, 4, 4>(simd, row, output),
                    (true, false) => self.tile::<S, 4, 1>(simd, row, output),
                    (false, true) => self.tile::<S, 1, 4>(simd, row, output),
                    (false, false) => self.tile::<S, 1, 1>(simd, row, output),
                }
                output += if wide { 4 } else { 1 };
            }
            row += if tall { 4 } else { 1 };
        }
    }
}

impl Products<'_> {
    /// `R` rows by `O` outputs.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const O: usize>(&mut self, simd: S, row: usize, output: usize) {
        let x: [_; R] = from_fn(|r| S::as_simd_f32s(&self.x[(row + r) * self.input..][..self.input]));
        let w: [_; O] = from_fn(|o| S::as_simd_f32s(&self.w[(output + o) * self.input..][..self.input]));
        let mut sums = [[simd.splat_f32s(0.0); O]; R];
        for at in 0..x[0].0.len() {
            // every row has as many parts: with that said, no bound is checked in the loop
            let x: [S::f32s; R] = from_fn(|r| x[r].0[at]);
            let w: [S::f32s; O] = from_fn(|o| w[o].0[at]);
            for r in 0..R {
                for o in 0..O {
                    sums[r][o] = simd.mul_add_f32s(x[r], w[o], sums[r][o]);
                }
            }
        }
        for r in 0..R {
            for o in 0..O {
                let tail: f32 = x[r].1.iter().zip(w[o].1).map(|(x, w)| x * w).sum();
                let sum = simd.reduce_sum_f32s(sums[r][o]) + tail;
                let y = &mut self.y[row + r][output + o];
                *y = if self.mode == Output::Add { *y + sum } else { sum };
            }
        }
    }
}
