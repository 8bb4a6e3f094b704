//! Packed weights times few rows on a processor with AVX2 and nothing above it.
//!
//! The weights are read once, become f32 in registers and are multiplied there. Each sum is formed
//! in the order of `few`, which computes other numbers of rows, so that a reply does not depend on
//! the other replies of its batch.

use super::few::{Columns, Tiles, for_each_task, for_each_tile};
use super::prefetch::{L1, prefetch};
use crate::cpu::{Isa, isa};
use crate::weights::avx2::{BLOCK, Stored, with_stored};
use crate::weights::{Form, Part, Tensor};
use candle_core::quantized::GgmlDType;
use pulp::Simd;
use pulp::x86::V3;
use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::ops::Range;

/// Most rows for which this pays: each unpacks the weights again.
const FEW: usize = 4;

/// Distance in bytes between the weights that are multiplied and those that are prefetched.
const AHEAD: usize = 4096;

/// Computes `y = x · wᵀ`: `x` is `[rows, input]`, `w` is `[output, input]`, `y` is
/// `[rows, output]`. Returns false, and does nothing, where `few` has to: with other instructions,
/// more rows, or types that have no conversion here.
pub fn linear_few(x: &[f32], w: Tensor<'_>, y: &mut [f32]) -> bool {
    let simd = V3::try_new().filter(|_| isa() == Isa::Avx2);
    simd.is_some_and(|simd| linear_few_with(simd, x, w, y))
}

/// Computes [`linear_few`] with any limit of the instructions.
fn linear_few_with(simd: V3, x: &[f32], w: Tensor<'_>, y: &mut [f32]) -> bool {
    let (input, output) = (w.columns(), w.rows());
    let takes =
        |part: Part<'_>| stored_as(part).is_some_and(|dtype| with_stored!(dtype, T => T::BYTES).is_some());
    if x.len() > FEW * input || !input.is_multiple_of(BLOCK) || !w.parts(0..output).all(takes) {
        return false;
    }
    for_each_task(y, output, |outputs, y| multiply(simd, x, w, outputs, y));
    true
}

/// Computes some outputs of all rows.
fn multiply(simd: V3, x: &[f32], w: Tensor<'_>, outputs: Range<usize>, y: Columns) {
    let mut first = 0;
    for part in w.parts(outputs) {
        let input = w.columns();
        let multiply = |dtype| {
            with_stored!(dtype, T => {
                let stored = PhantomData::<T>;
                let products = Products { simd, x, input, y, first, stored };
                // SAFETY: the processor has AVX2, FMA and F16C, as `V3` says.
                unsafe { for_each_tile(&products, part, y.rows, |w| prefetch::<L1>(w, AHEAD)) };
            })
        };
        stored_as(part).and_then(multiply); // all parts have one of the types
        first += part.rows;
    }
}

/// Returns the type of GGML of a part; matrices in 12 bits are made for other processors.
fn stored_as(part: Part<'_>) -> Option<GgmlDType> {
    match part.form {
        Form::Ggml(dtype) => Some(dtype),
        Form::Bf12 { .. } => None,
    }
}

/// Products of all rows with one part of the weights, which has the type `T`.
struct Products<'a, T> {
    simd: V3,
    /// Input rows, `[rows, input]`.
    x: &'a [f32],
    input: usize,
    y: Columns,
    /// Column of `y` that belongs to the part's first weight row.
    first: usize,
    stored: PhantomData<T>,
}

impl<T: Stored> Tiles for Products<'_, T> {
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn tile<const R: usize, const O: usize>(&self, w: *const u8, output: usize) {
        let mut sums = [[_mm256_setzero_ps(); O]; R];
        let x = self.x[..R * self.input].as_ptr();
        let blocks = self.input / BLOCK;
        for block in 0..blocks {
            for o in 0..O {
                // SAFETY: all rows of weights and of `x` are `blocks` blocks long.
                unsafe {
                    let w = T::load(w.add((o * blocks + block) * T::BYTES));
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = x.add(r * self.input + block * BLOCK);
                        for (i, w) in w.into_iter().enumerate() {
                            sums[o] = _mm256_fmadd_ps(_mm256_loadu_ps(x.add(8 * i)), w, sums[o]);
                        }
                    }
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (o, sum) in sums.into_iter().enumerate() {
                let sum = self.simd.reduce_sum_f32s(pulp::cast(sum));
                self.y.put(r, self.first + output + o, sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::few::multiply_on;
    use super::*;
    use crate::ops::testing::random;
    use crate::weights::packed_for_test;
    use candle_core::quantized::GgmlDType;

    /// Compares products of weights that become f32 in registers with those of weights that are
    /// unpacked to memory, to the last bit: a reply must not depend on the number of rows.
    #[test]
    fn sums_do_not_depend_on_where_weights_are_unpacked() {
        let Some(simd) = V3::try_new() else {
            return; // an x86-64 without AVX2
        };
        for (dtype, input) in [
            (GgmlDType::BF16, 96),
            (GgmlDType::F16, 64),
            (GgmlDType::Q8_0, 160),
            (GgmlDType::Q4_0, 32),
            (GgmlDType::Q4_1, 96),
        ] {
            let packed = packed_for_test(&random(11 * input, 1), dtype, input);
            let (w, mut unpacked) = (packed.tensor(), vec![0.0; 11 * input]);
            w.unpack(0..11, &mut unpacked);
            for rows in 1..=4 {
                let x = random(rows * input, 2);
                let (mut got, mut want) = (vec![0.0; rows * 11], vec![0.0; rows * 11]);
                assert!(linear_few_with(simd, &x, w, &mut got));
                multiply_on(pulp::Arch::V3(simd), &x, &unpacked, &mut want, input);
                assert_eq!(got, want, "{dtype:?}, {rows} rows");
            }
        }
        let packed = packed_for_test(&random(64, 1), GgmlDType::BF16, 32);
        let more = random(5 * 32, 2);
        assert!(!linear_few_with(simd, &more, packed.tensor(), &mut [0.0; 10]));
    }
}
