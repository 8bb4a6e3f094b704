//! Quantized weights times few rows, in integers.
//!
//! Converting a weight to bf16 takes longer than reading it. With few rows that does not pay. So
//! each block of 32 elements of a row is rounded to 16 bits instead, with its own scale. Products
//! with a block of weights are summed as integers, then multiplied by both scales and summed in
//! f32. Rounding adds an error of less than 2⁻¹³ of the norm of each block; bf16 adds up to 2⁻⁸.
//!
//! The instruction (VNNI) multiplies unsigned bytes with signed ones, and sums four products. The
//! weights of a block become unsigned bytes, and an element of a row two signed ones,
//! `256 · high + low`. A group of four blocks is multiplied at a time, one in each quarter of a
//! register.

mod blocks;
mod rows;
#[cfg(test)]
mod tests;

use super::super::few::{Columns, Tiles, for_each_tile};
use super::super::prefetch::{L2, prefetch};
use super::AHEAD;
use super::load::mask_of_32;
use super::unpack::{Q4_0, Q4_1, Q8_0};
use crate::weights::{Form, Part};
use blocks::Blocks;
use candle_core::quantized::GgmlDType;
use rows::dot;
use std::arch::x86_64::*;
use std::marker::PhantomData;

pub use rows::{Group, round};

/// Largest number of rows for which this pays. On Zen 4, eight rows are faster in bf16.
pub const FEW: usize = 4;

/// Elements of a block.
const BLOCK: usize = 32;

/// Blocks of a group. Their halves, as bytes, fill a register.
const GROUP: usize = 4;

/// Returns true if weights of this form are multiplied here.
pub fn takes(form: Form<'_>) -> bool {
    matches!(
        form,
        Form::Ggml(GgmlDType::Q8_0 | GgmlDType::Q4_0 | GgmlDType::Q4_1)
    )
}

/// Computes the products of all rows with a part of the weights: `rows` is `[rows, groups]`, of
/// `input` elements each. The part's first weight row is column `first` of `y`.
///
/// # Safety
/// [`isa`](crate::cpu::isa) is at least `Avx512Bf16`, which includes VNNI, and [`takes`] is true
/// for the part.
pub unsafe fn multiply(rows: &[Group], input: usize, part: Part<'_>, y: Columns, first: usize) {
    // SAFETY: the caller upholds the contract.
    unsafe {
        match part.form {
            Form::Ggml(GgmlDType::Q8_0) => multiply_as::<Q8_0>(rows, input, part, y, first),
            Form::Ggml(GgmlDType::Q4_0) => multiply_as::<Q4_0>(rows, input, part, y, first),
            _ => multiply_as::<Q4_1>(rows, input, part, y, first),
        }
    }
}

/// Computes [`multiply`] with weights of type `T`.
unsafe fn multiply_as<T: Blocks>(rows: &[Group], input: usize, part: Part<'_>, y: Columns, first: usize) {
    let stored = PhantomData::<T>;
    let products = Products {
        rows,
        input,
        y,
        first,
        stored,
    };
    // SAFETY: the caller upholds the contract.
    unsafe { for_each_tile(&products, part, y.rows, |w| prefetch::<L2>(w, AHEAD)) };
}

/// Products of all rows with one part of the weights, which has the type `T`.
struct Products<'a, T> {
    /// Rounded rows, `[rows, groups]`.
    rows: &'a [Group],
    input: usize,
    y: Columns,
    /// Column of `y` that belongs to the part's first weight row.
    first: usize,
    stored: PhantomData<T>,
}

impl<T: Blocks> Tiles for Products<'_, T> {
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn tile<const R: usize, const O: usize>(&self, w: *const u8, output: usize) {
        let mut sums = [[_mm512_setzero_ps(); O]; R];
        let blocks = self.input / BLOCK;
        let (whole, rest) = (blocks / GROUP, blocks % GROUP * T::BYTES);
        // SAFETY: the 64 bytes from `offset` on are within the group.
        let load = |at: *const u8, offset: usize| unsafe { _mm512_loadu_si512(at.add(offset).cast()) };
        let load_rest = |at: *const u8, offset: usize| {
            let words = mask_of_32(rest.saturating_sub(offset) / 2);
            // SAFETY: the weights have `rest` bytes there; others are not touched, and become 0.
            unsafe { _mm512_maskz_loadu_epi16(words, at.wrapping_add(offset).cast()) }
        };
        // SAFETY: the weights of each output have the groups.
        unsafe {
            for group in 0..whole {
                self.add_group::<R, O>(&mut sums, w, group, load);
            }
            if rest > 0 {
                self.add_group::<R, O>(&mut sums, w, whole, load_rest);
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (o, sum) in sums.into_iter().enumerate() {
                let sum = _mm512_reduce_add_ps(sum);
                self.y.put(r, self.first + output + o, sum);
            }
        }
    }
}

impl<T: Blocks> Products<'_, T> {
    /// Adds the products with a group of each output. `load` loads 64 bytes of it, from an offset
    /// on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn add_group<const R: usize, const O: usize>(
        &self,
        sums: &mut [[__m512; O]; R],
        w: *const u8,
        group: usize,
        load: impl Fn(*const u8, usize) -> __m512i,
    ) {
        let blocks = self.input / BLOCK;
        let w = w.wrapping_add(group * GROUP * T::BYTES);
        // 1. Load the weights of each output once for all rows.
        let mut weights = [(
            [_mm512_setzero_si512(); 2],
            _mm512_setzero_ps(),
            _mm512_setzero_ps(),
        ); O];
        for (o, weights) in weights.iter_mut().enumerate() {
            let at = w.wrapping_add(o * blocks * T::BYTES);
            // SAFETY: the processor has the instructions.
            *weights = unsafe { T::load_group(|offset| load(at, offset)) };
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let x = &self.rows[r * blocks.div_ceil(GROUP) + group];
            // SAFETY: the arrays have 512 bits each.
            let (elements, x_scales) = unsafe {
                (
                    _mm512_loadu_si512(x.sums.as_ptr().cast()),
                    _mm512_loadu_ps(x.scales.as_ptr()),
                )
            };
            // 2. Begin with minus the products of the byte that stands for 0.
            let start = _mm512_mullo_epi32(elements, _mm512_set1_epi32(-T::ZERO));
            let elements = _mm512_mul_ps(_mm512_cvtepi32_ps(elements), x_scales);
            for (sum, (weights, scales, minima)) in sums.iter_mut().zip(weights) {
                // SAFETY: the processor has the instructions.
                let dot = _mm512_cvtepi32_ps(unsafe { dot(start, weights, x) });
                *sum = _mm512_fmadd_ps(dot, _mm512_mul_ps(scales, x_scales), *sum);
                if T::HAS_MINIMUM {
                    *sum = _mm512_fmadd_ps(elements, minima, *sum);
                }
            }
        }
    }
}
