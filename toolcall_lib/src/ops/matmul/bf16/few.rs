//! Packed weights times few rows: the weights are read once, as they are stored, unpacked to bf16 some rows at a time in the
//! L1 cache, and multiplied by dot products of pairs.

use super::super::few::{Columns, for_each_task};
use super::unpack::{prefetch, unpack_rows};
use crate::weights::{Part, Tensor};
use candle_core::quantized::GgmlDType;
use half::bf16;
use std::arch::x86_64::*;
use std::array::from_fn;
use std::cell::Cell;

/// Up to so many rows, panels do not pay.
pub const FEW: usize = 8;

/// Outputs whose weights are unpacked at a time.
const OUTPUTS: usize = 4;

/// Elements of a vector.
const LANES: usize = 32;

thread_local! {
    /// Rows of the input, and unpacked weights; they keep their memory.
    static ROWS: Cell<(Vec<bf16>, Vec<bf16>)> = Cell::default();
}

/// `y = x · wᵀ`, both rounded to bf16: `x` is `[rows, input]`, `w` is `[output, input]`, `y` is `[rows, output]`.
///
/// # Safety
/// The processor has AVX-512 BF16.
pub unsafe fn linear_few(x: &[f32], w: Tensor<'_>, y: &mut [f32]) {
    let (input, stride) = (w.columns(), w.columns().next_multiple_of(LANES));
    let (mut rounded, unpacked) = ROWS.take();
    let rows = x.len() / input;
    rounded.resize(rows * stride, bf16::ZERO);
    let x = Part {
        dtype: GgmlDType::F32,
        bytes: bytemuck::cast_slice(x),
        rows,
    };
    // SAFETY: there is room for the rows, each a multiple of 32 long.
    unsafe { unpack_rows(x, input, rounded.as_mut_ptr(), stride) };
    ROWS.set((Vec::new(), unpacked));
    for_each_task(y, w.rows(), |outputs, y| {
        let (kept, mut unpacked) = ROWS.take();
        unpacked.resize(unpacked.len().max(OUTPUTS * stride), bf16::ZERO);
        let mut first = 0;
        for part in w.parts(outputs) {
            let products = Products {
                x: &rounded,
                part,
                input,
                stride,
                y,
                first,
            };
            // SAFETY: the processor can.
            unsafe { products.compute(&mut unpacked) };
            first += part.rows;
        }
        ROWS.set((kept, unpacked));
    });
    let (_, unpacked) = ROWS.take();
    ROWS.set((rounded, unpacked));
}

/// The rows' products with some of the weights.
struct Products<'a> {
    /// `[rows, stride]`, with zeros after the input.
    x: &'a [bf16],
    part: Part<'a>,
    input: usize,
    stride: usize,
    y: Columns,
    /// The column of `y` of the part's first row.
    first: usize,
}

impl Products<'_> {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn compute(&self, unpacked: &mut [bf16]) {
        let bytes = self.part.bytes.len() / self.part.rows;
        // rows that can be read where they are: whole vectors of bf16
        let in_place = self.part.dtype == GgmlDType::BF16 && self.input == self.stride;
        for first in (0..self.part.rows).step_by(OUTPUTS) {
            let rows = OUTPUTS.min(self.part.rows - first);
            let part = Part {
                bytes: &self.part.bytes[first * bytes..(first + rows) * bytes],
                rows,
                ..self.part
            };
            // SAFETY: there is room for so many rows, and each is a multiple of 32 long.
            unsafe {
                let w = if in_place {
                    prefetch(part.bytes);
                    part.bytes.as_ptr().cast()
                } else {
                    unpack_rows(part, self.input, unpacked.as_mut_ptr(), self.stride);
                    unpacked.as_ptr()
                };
                if rows == OUTPUTS {
                    self.outputs::<OUTPUTS>(w, first);
                } else {
                    (0..rows).for_each(|i| self.outputs::<1>(w.add(i * self.stride), first + i));
                }
            }
        }
    }

    /// All rows by `O` outputs, in tiles of 4 rows, so that a number that is loaded is used more than once.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn outputs<const O: usize>(&self, w: *const bf16, output: usize) {
        let rows = self.y.rows;
        let mut row = 0;
        while row < rows {
            let tall = rows - row >= 4;
            // SAFETY: the caller's weights; the rows exist.
            unsafe {
                match tall {
                    true => self.tile::<4, O>(w, row, output),
                    false => self.tile::<1, O>(w, row, output),
                }
            }
            row += if tall { 4 } else { 1 };
        }
    }

    /// `R` rows by `O` outputs.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn tile<const R: usize, const O: usize>(&self, w: *const bf16, row: usize, output: usize) {
        let mut sums = [[_mm512_setzero_ps(); O]; R];
        let x = self.x[row * self.stride..(row + R) * self.stride].as_ptr();
        for at in (0..self.stride).step_by(LANES) {
            // SAFETY: all rows are `stride` elements long.
            unsafe {
                let x: [__m512bh; R] = from_fn(|r| pairs(x.add(r * self.stride + at)));
                let w: [__m512bh; O] = from_fn(|o| pairs(w.add(o * self.stride + at)));
                for r in 0..R {
                    for o in 0..O {
                        sums[r][o] = _mm512_dpbf16_ps(sums[r][o], x[r], w[o]);
                    }
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (o, sum) in sums.into_iter().enumerate() {
                self.y
                    .put(row + r, self.first + output + o, _mm512_reduce_add_ps(sum));
            }
        }
    }
}

/// 16 pairs.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn pairs(at: *const bf16) -> __m512bh {
    // SAFETY: the caller's 32 elements; both types are 512 bits.
    unsafe { std::mem::transmute(_mm512_loadu_si512(at.cast())) }
}
