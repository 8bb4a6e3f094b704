//! Packed weights times few rows: the weights are read once, as they are stored, become bf16 in registers, and are multiplied by
//! dot products of pairs.

use super::super::few::{Columns, for_each_task};
use super::unpack::{Bf16, F16, LANES, Q4_0, Q4_1, Q8_0, Stored, prefetch, unpack_rows};
use crate::weights::{Part, Tensor};
use candle_core::quantized::GgmlDType;
use half::bf16;
use std::arch::x86_64::*;
use std::array::from_fn;
use std::cell::Cell;

/// Up to so many rows, panels do not pay.
pub const FEW: usize = 16;

/// Outputs whose weights are asked for at a time.
const OUTPUTS: usize = 4;

/// Rows that a weight is multiplied with while it is in a register.
const TALL: usize = 8;

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
        let whole = self.input == self.stride; // rows are read where they are: vectors of 32
        // SAFETY: the caller's.
        unsafe {
            match self.part.dtype {
                GgmlDType::BF16 if whole => self.in_place::<Bf16>(),
                GgmlDType::F16 if whole => self.in_place::<F16>(),
                GgmlDType::Q8_0 => self.in_place::<Q8_0>(),
                GgmlDType::Q4_0 => self.in_place::<Q4_0>(),
                GgmlDType::Q4_1 => self.in_place::<Q4_1>(),
                _ => self.by_way_of(unpacked),
            }
        }
    }

    /// Weights that become bf16 in registers.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn in_place<T: Stored>(&self) {
        let bytes = self.stride / LANES * T::BYTES;
        for first in (0..self.part.rows).step_by(OUTPUTS) {
            let rows = OUTPUTS.min(self.part.rows - first);
            let w = &self.part.bytes[first * bytes..(first + rows) * bytes];
            prefetch(w);
            // SAFETY: the weights of so many outputs.
            unsafe { self.rows::<T>(w.as_ptr(), first, rows) };
        }
    }

    /// Weights that are unpacked to memory first.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn by_way_of(&self, unpacked: &mut [bf16]) {
        let bytes = self.part.bytes.len() / self.part.rows;
        for first in (0..self.part.rows).step_by(OUTPUTS) {
            let rows = OUTPUTS.min(self.part.rows - first);
            let part = Part {
                bytes: &self.part.bytes[first * bytes..(first + rows) * bytes],
                rows,
                ..self.part
            };
            // SAFETY: there is room for so many rows, and each is a multiple of 32 long.
            unsafe {
                unpack_rows(part, self.input, unpacked.as_mut_ptr(), self.stride);
                self.rows::<Bf16>(unpacked.as_ptr().cast(), first, rows);
            }
        }
    }

    /// All rows by `outputs` outputs, whose weights stand at `w`: loaded once for as many rows as there are registers for.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn rows<T: Stored>(&self, w: *const u8, output: usize, outputs: usize) {
        for row in (0..self.y.rows).step_by(TALL) {
            let at = (row, output);
            // SAFETY: the caller's weights; the rows and outputs exist.
            unsafe {
                match self.y.rows - row {
                    1 => self.outputs::<T, 1, 4>(w, at, outputs),
                    2 => self.outputs::<T, 2, 4>(w, at, outputs),
                    3 => self.outputs::<T, 3, 4>(w, at, outputs),
                    4 => self.outputs::<T, 4, 4>(w, at, outputs),
                    5 => self.outputs::<T, 5, 2>(w, at, outputs),
                    6 => self.outputs::<T, 6, 2>(w, at, outputs),
                    7 => self.outputs::<T, 7, 2>(w, at, outputs),
                    _ => self.outputs::<T, TALL, 2>(w, at, outputs),
                }
            }
        }
    }

    /// `R` rows by `outputs` outputs, `O` at a time.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn outputs<T: Stored, const R: usize, const O: usize>(
        &self,
        w: *const u8,
        (row, output): (usize, usize),
        outputs: usize,
    ) {
        let bytes = self.stride / LANES * T::BYTES;
        let wide = outputs / O * O;
        // SAFETY: the caller's.
        unsafe {
            for o in (0..wide).step_by(O) {
                self.tile::<T, R, O>(w.add(o * bytes), row, output + o);
            }
            for o in wide..outputs {
                self.tile::<T, R, 1>(w.add(o * bytes), row, output + o);
            }
        }
    }

    /// `R` rows by `O` outputs.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn tile<T: Stored, const R: usize, const O: usize>(
        &self,
        w: *const u8,
        row: usize,
        output: usize,
    ) {
        let mut sums = [[_mm512_setzero_ps(); O]; R];
        let x = self.x[row * self.stride..(row + R) * self.stride].as_ptr();
        let vectors = self.stride / LANES;
        for i in 0..vectors {
            // SAFETY: all rows are `vectors` vectors long.
            unsafe {
                let w: [__m512bh; O] = from_fn(|o| pairs(T::load(w.add((o * vectors + i) * T::BYTES))));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = pairs(_mm512_loadu_si512(x.add(r * self.stride + i * LANES).cast()));
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm512_dpbf16_ps(*sum, x, w);
                    }
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (o, sum) in sums.into_iter().enumerate() {
                let sum = _mm512_reduce_add_ps(sum);
                self.y.put(row + r, self.first + output + o, sum);
            }
        }
    }
}

/// A vector as 16 pairs.
#[inline]
#[target_feature(enable = "avx512f")]
fn pairs(x: __m512i) -> __m512bh {
    // SAFETY: both types are 512 bits.
    unsafe { std::mem::transmute(x) }
}
