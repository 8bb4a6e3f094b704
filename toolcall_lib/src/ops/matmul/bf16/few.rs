//! Packed weights times few rows.
//!
//! The weights are read once, as they are stored, become bf16 in registers, and are multiplied by
//! dot products of pairs. Weights that registers would convert more than once, and types that they
//! cannot convert, are unpacked to memory first. [`integer`] multiplies up to four rows with
//! weights in Q8_0, Q4_0 and Q4_1.

use super::super::few::{Columns, for_each_task};
use super::super::prefetch::{L2, prefetch};
use super::AHEAD;
use super::integer;
use super::load::LANES;
use super::operand::Operand;
use super::unpack::{Bf16, F16, Q4_0, Q4_1, Q8_0, unpack_rows};
use crate::weights::avx512::Bf12;
use crate::weights::{Form, Part, Tensor};
use candle_core::quantized::GgmlDType;
use half::bf16;
use std::arch::x86_64::*;
use std::cell::Cell;

/// Largest number of rows for which panels do not pay.
pub const FEW: usize = 16;

/// Number of outputs whose weights are prefetched at a time.
const OUTPUTS: usize = 4;

/// Maximum number of rows that a weight is multiplied with while it is in a register.
const TALL: usize = 8;

/// Largest number of rows for which weights in 12 bits are unpacked in registers: with more, the
/// registers do not suffice.
const IN_REGISTERS: usize = 2;

/// Memory that a thread uses again.
#[derive(Default)]
struct Buffers {
    /// Rows of the input, rounded to bf16.
    bf16s: Vec<bf16>,
    /// The same, rounded to integers.
    integers: Vec<integer::Group>,
    /// Unpacked weights.
    unpacked: Vec<bf16>,
}

thread_local! {
    static BUFFERS: Cell<Buffers> = Cell::default();
}

/// Computes `y = x · wᵀ`: `x` is `[rows, input]`, `w` is `[output, input]`, `y` is
/// `[rows, output]`. Both factors are rounded to bf16, or `x` to integers for parts of `w` that
/// [`integer`] multiplies.
///
/// # Safety
/// The processor has AVX-512 BF16.
pub unsafe fn linear_few(x: &[f32], w: Tensor<'_>, y: &mut [f32]) {
    let (input, stride) = (w.columns(), w.columns().next_multiple_of(LANES));
    let rows = x.len() / input;
    let in_integers = |part: Part<'_>| rows <= integer::FEW && integer::takes(part.form);
    let Buffers {
        mut bf16s,
        mut integers,
        unpacked,
    } = BUFFERS.take();
    // 1. Round the input: to bf16, in rows padded to whole vectors, and to integers.
    // SAFETY: there is room for the rows, each of a multiple of 32 elements; the processor has the
    // instructions.
    unsafe {
        if !w.parts(0..w.rows()).all(in_integers) {
            bf16s.resize(rows * stride, bf16::ZERO);
            let x = Part {
                form: Form::Ggml(GgmlDType::F32),
                bytes: bytemuck::cast_slice(x),
                rows,
            };
            unpack_rows(x, input, bf16s.as_mut_ptr(), stride);
        }
        if w.parts(0..w.rows()).any(in_integers) {
            integer::round(x, input, &mut integers);
        }
    }
    BUFFERS.set(Buffers {
        unpacked,
        ..Buffers::default()
    });
    // 2. Every thread multiplies the rows with the weights of its outputs.
    for_each_task(y, w.rows(), |outputs, y| {
        let mut buffers = BUFFERS.take();
        let unpacked = &mut buffers.unpacked;
        unpacked.resize(unpacked.len().max(OUTPUTS * stride), bf16::ZERO);
        let mut first = 0;
        for part in w.parts(outputs) {
            // SAFETY: the processor has the instructions.
            unsafe {
                if in_integers(part) {
                    integer::multiply(&integers, input, part, y, first);
                } else {
                    let x = &bf16s;
                    Products {
                        x,
                        part,
                        input,
                        stride,
                        y,
                        first,
                    }
                    .compute(unpacked);
                }
            }
            first += part.rows;
        }
        BUFFERS.set(buffers);
    });
    let unpacked = BUFFERS.take().unpacked;
    BUFFERS.set(Buffers {
        bf16s,
        integers,
        unpacked,
    });
}

/// Products of all rows with one part of the weights.
struct Products<'a> {
    /// Input rows, `[rows, stride]`, with zeros after the input.
    x: &'a [bf16],
    part: Part<'a>,
    input: usize,
    stride: usize,
    y: Columns,
    /// Column of `y` that belongs to the part's first weight row.
    first: usize,
}

impl Products<'_> {
    /// Selects the conversion for the type of the weights.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn compute(&self, unpacked: &mut [bf16]) {
        // Rows of bf16 and f16 can be read in place if they are whole vectors of 32. Weights that
        // would be converted several times are unpacked to memory once.
        let whole = self.input == self.stride;
        // SAFETY: the caller upholds the contract.
        unsafe {
            match self.part.form {
                Form::Bf12 { exponents, .. } if self.y.rows <= IN_REGISTERS => {
                    self.in_place(Bf12::new(exponents));
                }
                Form::Bf12 { .. } => self.by_way_of(unpacked),
                Form::Ggml(GgmlDType::BF16) if whole => self.in_place(Bf16),
                Form::Ggml(_) if self.y.rows > TALL => self.by_way_of(unpacked),
                Form::Ggml(GgmlDType::F16) if whole => self.in_place(F16),
                Form::Ggml(GgmlDType::Q8_0) => self.in_place(Q8_0),
                Form::Ggml(GgmlDType::Q4_0) => self.in_place(Q4_0),
                Form::Ggml(GgmlDType::Q4_1) => self.in_place(Q4_1),
                Form::Ggml(_) => self.by_way_of(unpacked),
            }
        }
    }

    /// Multiplies weights that become bf16 in registers.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn in_place<W: Operand>(&self, weights: W) {
        let bytes = W::row_bytes(self.stride / LANES);
        for first in (0..self.part.rows).step_by(OUTPUTS) {
            let rows = OUTPUTS.min(self.part.rows - first);
            let w = &self.part.bytes[first * bytes..(first + rows) * bytes];
            prefetch::<L2>(w, AHEAD);
            // SAFETY: `w` holds the weights of `rows` outputs.
            unsafe { self.rows(weights, w.as_ptr(), first, rows) };
        }
    }

    /// Multiplies weights that are unpacked to memory first.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn by_way_of(&self, unpacked: &mut [bf16]) {
        for first in (0..self.part.rows).step_by(OUTPUTS) {
            let rows = OUTPUTS.min(self.part.rows - first);
            let part = self.part.cut(first..first + rows);
            // SAFETY: there is room for `rows` rows, each of a multiple of 32 elements.
            unsafe {
                unpack_rows(part, self.input, unpacked.as_mut_ptr(), self.stride);
                self.rows(Bf16, unpacked.as_ptr().cast(), first, rows);
            }
        }
    }

    /// Multiplies all rows with `outputs` outputs, whose weights are at `w`. Each weight is loaded
    /// once for as many rows as there are registers for.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn rows<W: Operand>(&self, weights: W, w: *const u8, output: usize, outputs: usize) {
        for row in (0..self.y.rows).step_by(TALL) {
            let at = (row, output);
            // SAFETY: `w` is the caller's; the rows and outputs exist.
            unsafe {
                match self.y.rows - row {
                    1 => self.outputs::<W, 1, 4>(weights, w, at, outputs),
                    2 => self.outputs::<W, 2, 4>(weights, w, at, outputs),
                    3 => self.outputs::<W, 3, 4>(weights, w, at, outputs),
                    4 => self.outputs::<W, 4, 4>(weights, w, at, outputs),
                    5 => self.outputs::<W, 5, 2>(weights, w, at, outputs),
                    6 => self.outputs::<W, 6, 2>(weights, w, at, outputs),
                    7 => self.outputs::<W, 7, 2>(weights, w, at, outputs),
                    _ => self.outputs::<W, TALL, 2>(weights, w, at, outputs),
                }
            }
        }
    }

    /// Multiplies `R` rows with `outputs` outputs, `O` at a time.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn outputs<W: Operand, const R: usize, const O: usize>(
        &self,
        weights: W,
        w: *const u8,
        (row, output): (usize, usize),
        outputs: usize,
    ) {
        let bytes = W::row_bytes(self.stride / LANES);
        let wide = outputs / O * O;
        // SAFETY: the caller upholds the contract.
        unsafe {
            for o in (0..wide).step_by(O) {
                self.tile::<W, R, O>(weights, w.add(o * bytes), row, output + o);
            }
            for o in wide..outputs {
                self.tile::<W, R, 1>(weights, w.add(o * bytes), row, output + o);
            }
        }
    }

    /// Multiplies `R` rows with `O` outputs. Sums stay in registers.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn tile<W: Operand, const R: usize, const O: usize>(
        &self,
        weights: W,
        w: *const u8,
        row: usize,
        output: usize,
    ) {
        let mut sums = [[_mm512_setzero_ps(); O]; R];
        let x = &self.x[row * self.stride..(row + R) * self.stride];
        // SAFETY: all rows are `stride` elements long.
        unsafe { weights.add_products(&mut sums, x.as_ptr(), w, self.stride) };
        for (r, sums) in sums.into_iter().enumerate() {
            for (o, sum) in sums.into_iter().enumerate() {
                let rest = weights.others(output + o).iter().map(|other| {
                    let x = x[r * self.stride + other.column as usize];
                    x.to_f32() * other.value.to_f32()
                });
                let sum = _mm512_reduce_add_ps(sum) + rest.sum::<f32>();
                self.y.put(row + r, self.first + output + o, sum);
            }
        }
    }
}
