//! A weight matrix times few rows, as in generation.
//!
//! Each weight is read from memory once, and no panels are made: for few rows that would cost more
//! than the product. Threads divide the outputs among each other; each computes its columns for all
//! rows.

use crate::cpu::arch;
use crate::ops::with_scratch;
#[cfg(target_arch = "x86_64")]
use crate::weights::Part;
use crate::weights::Tensor;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::array::from_fn;
use std::ops::Range;

/// Largest number of rows for which panels do not pay.
pub const FEW: usize = 48;

/// Number of outputs that one task computes for all rows.
const OUTPUTS_PER_TASK: usize = 64;

/// Number of outputs whose weights are unpacked at a time, so that they stay in the L1 cache.
const UNPACKED: usize = 4;

/// Computes `y = x · wᵀ`: `x` is `[rows, input]`, `w` is `[output, input]`, `y` is
/// `[rows, output]`. Packed weights are unpacked to f32, a few outputs at a time.
pub fn linear_few(x: &[f32], w: Tensor<'_>, y: &mut [f32]) {
    let input = w.columns();
    let arch = arch();
    for_each_task(y, w.rows(), |outputs, y| {
        if let Some(w) = w.as_f32() {
            let w = &w[outputs.start * input..outputs.end * input];
            return arch.dispatch(Products { x, w, y, input });
        }
        with_scratch(UNPACKED * input, |scratch| {
            for first in (0..outputs.len()).step_by(UNPACKED) {
                let part = first..outputs.len().min(first + UNPACKED);
                let scratch = &mut scratch[..part.len() * input];
                w.unpack(outputs.start + part.start..outputs.start + part.end, scratch);
                let (w, y) = (&*scratch, y.part(part));
                arch.dispatch(Products { x, w, y, input });
            }
        });
    });
}

/// Computes `y = x · wᵀ` on this thread for a single row `x`; `w` is `[y.len(), x.len()]`.
pub fn multiply_row(x: &[f32], w: &[f32], y: &mut [f32]) {
    assert_eq!(w.len(), x.len() * y.len(), "a weight for each input and output");
    let y = Columns::new(y, y.len());
    arch().dispatch(Products {
        x,
        w,
        y,
        input: x.len(),
    });
}

/// Computes `y = x · wᵀ` on this thread with the vectors of `arch`: `w` is `[output, input]`.
#[cfg(test)]
pub(super) fn multiply_on(arch: pulp::Arch, x: &[f32], w: &[f32], y: &mut [f32], input: usize) {
    let y = Columns::new(y, w.len() / input);
    arch.dispatch(Products { x, w, y, input });
}

/// Divides the columns of `y` (`[rows, output]`) among all threads. Calls `task` with a range of
/// columns and the place to write them.
pub(super) fn for_each_task(y: &mut [f32], output: usize, task: impl Fn(Range<usize>, Columns) + Sync) {
    let all = Columns::new(y, output);
    let tasks = 0..output.div_ceil(OUTPUTS_PER_TASK);
    tasks.into_par_iter().for_each(|i| {
        let first = i * OUTPUTS_PER_TASK;
        let outputs = first..output.min(first + OUTPUTS_PER_TASK);
        task(outputs.clone(), all.part(outputs));
    });
}

/// Columns of the output that one task writes.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    start: *mut f32,
    stride: usize,
    /// Number of rows of the output.
    pub rows: usize,
    /// Number of columns.
    count: usize,
}

// SAFETY: each task writes its own columns.
unsafe impl Sync for Columns {}

impl Columns {
    /// Covers all of `y`, `[rows, output]`.
    fn new(y: &mut [f32], output: usize) -> Self {
        Self {
            start: y.as_mut_ptr(),
            stride: output,
            rows: y.len() / output,
            count: output,
        }
    }

    /// Selects some of the columns.
    fn part(&self, columns: Range<usize>) -> Self {
        Self {
            start: self.start.wrapping_add(columns.start),
            count: columns.len(),
            ..*self
        }
    }

    /// Writes one element.
    #[inline(always)]
    pub fn put(&self, row: usize, column: usize, sum: f32) {
        assert!(row < self.rows && column < self.count);
        // SAFETY: the columns belong to this task, and the assertion keeps the place within them.
        unsafe {
            *self.start.add(row * self.stride + column) = sum;
        }
    }
}

/// Kernel that multiplies packed weights as they are stored, with sums in registers.
#[cfg(target_arch = "x86_64")]
pub(super) trait Tiles {
    /// Multiplies `R` rows with `O` outputs from `output` on, whose weights are at `w`.
    ///
    /// # Safety
    /// The processor has the instructions of the kernel, and `w` has `O` rows.
    unsafe fn tile<const R: usize, const O: usize>(&self, w: *const u8, output: usize);
}

/// Computes all outputs of `part` for up to four rows, in tiles that fill the registers. Calls
/// `prefetch` with the weights of some outputs at a time.
///
/// # Safety
/// The processor has the instructions of the kernel.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn for_each_tile(
    kernel: &impl Tiles,
    part: Part<'_>,
    rows: usize,
    prefetch: impl Fn(&[u8]),
) {
    const OUTPUTS: usize = 4;
    for first in (0..part.rows).step_by(OUTPUTS) {
        let some = part.cut(first..part.rows.min(first + OUTPUTS));
        prefetch(some.bytes);
        // SAFETY: the caller upholds the contract.
        unsafe {
            match rows {
                1 => tiles::<1, 4>(kernel, some, first),
                2 => tiles::<2, 4>(kernel, some, first),
                3 => tiles::<3, 2>(kernel, some, first),
                _ => tiles::<4, 2>(kernel, some, first),
            }
        }
    }
}

/// Multiplies `R` rows with the outputs of `part`, `O` at a time; `first` is the first of them.
///
/// # Safety
/// See [`for_each_tile`].
#[cfg(target_arch = "x86_64")]
unsafe fn tiles<const R: usize, const O: usize>(kernel: &impl Tiles, part: Part<'_>, first: usize) {
    let row_bytes = part.bytes.len() / part.rows;
    let whole = part.rows / O * O;
    // SAFETY: the caller upholds the contract, and the part has the rows.
    unsafe {
        for o in (0..whole).step_by(O) {
            kernel.tile::<R, O>(part.bytes[o * row_bytes..].as_ptr(), first + o);
        }
        for o in whole..part.rows {
            kernel.tile::<R, 1>(part.bytes[o * row_bytes..].as_ptr(), first + o);
        }
    }
}

/// Products of all rows with some of the weights: `x` is `[rows, input]`, `w` is
/// `[outputs, input]`.
struct Products<'a> {
    x: &'a [f32],
    w: &'a [f32],
    y: Columns,
    input: usize,
}

impl WithSimd for Products<'_> {
    type Output = ();

    /// Covers the output with tiles of 4 rows by 4 outputs, so that each loaded number is used 4
    /// times, or of 4 by 2 where 16 sums and their factors do not fit into the registers.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (rows, outputs) = (self.y.rows, self.w.len() / self.input);
        let widest = if S::REGISTER_COUNT < 32 { 2 } else { 4 };
        let mut row = 0;
        while row < rows {
            let tall = rows - row >= 4;
            let mut output = 0;
            while output < outputs {
                let left = outputs - output;
                output += match tall {
                    true if left >= 4 && widest == 4 => self.tile::<S, 4, 4>(simd, row, output),
                    true if left >= 2 => self.tile::<S, 4, 2>(simd, row, output),
                    true => self.tile::<S, 4, 1>(simd, row, output),
                    false if left >= 4 => self.tile::<S, 1, 4>(simd, row, output),
                    false => self.tile::<S, 1, 1>(simd, row, output),
                };
            }
            row += if tall { 4 } else { 1 };
        }
    }
}

impl Products<'_> {
    /// Computes `R` rows by `O` outputs, and returns `O`. Sums stay in registers.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const O: usize>(&self, simd: S, row: usize, output: usize) -> usize {
        let x: [_; R] = from_fn(|r| S::as_simd_f32s(&self.x[(row + r) * self.input..][..self.input]));
        let w: [_; O] = from_fn(|o| S::as_simd_f32s(&self.w[(output + o) * self.input..][..self.input]));
        let mut sums = [[simd.splat_f32s(0.0); O]; R];
        for at in 0..x[0].0.len() {
            // All rows have the same number of vectors, which their slices show, so the loop checks
            // no bounds.
            let x: [S::f32s; R] = from_fn(|r| x[r].0[at]);
            let w: [S::f32s; O] = from_fn(|o| w[o].0[at]);
            for r in 0..R {
                for o in 0..O {
                    sums[r][o] = simd.mul_add_f32s(x[r], w[o], sums[r][o]);
                }
            }
        }
        // elements after the last whole vector, and the sum over lanes
        for r in 0..R {
            for o in 0..O {
                let tail: f32 = x[r].1.iter().zip(w[o].1).map(|(x, w)| x * w).sum();
                let sum = simd.reduce_sum_f32s(sums[r][o]) + tail;
                self.y.put(row + r, output + o, sum);
            }
        }
        O
    }
}
