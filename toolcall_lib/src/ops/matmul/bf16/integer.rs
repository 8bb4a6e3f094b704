//! Quantized weights times few rows, in integers.
//!
//! To multiply a weight once or twice, making it bf16 takes longer than reading it. So the rows are
//! rounded to 16 bits instead, with one scale for each row, and the products of a block are summed
//! as integers, exactly. The sum is then multiplied by the scale of the block, in f32. Rounding `n`
//! elements adds an error of at most `√n · 2⁻¹⁶` of the row's norm. That is less than bf16's `2⁻⁹`
//! up to `n = 2¹⁴`.
//!
//! The instruction (VNNI) multiplies unsigned bytes with signed ones, and sums four products. The
//! 32 weights of a block become unsigned bytes, and an element of a row two signed ones,
//! `256 · high + low`. Four blocks, one in each 128-bit lane, are multiplied at a time.

use super::super::few::{Columns, for_each_task};
use super::super::prefetch::prefetch;
use super::AHEAD;
use super::load::{LANES, mask_of_32};
use super::unpack::{Q4_0, Q4_1, Q8_0, Stored};
use crate::weights::{Form, Part, Tensor};
use candle_core::quantized::GgmlDType;
use std::arch::x86_64::*;
use std::cell::Cell;

/// Largest number of rows for which this pays.
const FEW: usize = 8;

/// Number of outputs whose weights are prefetched at a time.
const OUTPUTS: usize = 4;

/// Elements of half a block.
const HALF: usize = LANES / 2;

/// Blocks of a group: their halves fill a register.
const GROUP: usize = 4;

/// Largest absolute value that two signed bytes hold with either sign.
const LARGEST: f32 = (127 * 256 + 127) as f32;

/// A row whose elements are all smaller than this counts as zero.
const LEAST: f32 = 1e-30;

/// Elements of a row that meet a group of blocks, in two bytes.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Group {
    /// Upper bytes: the first halves of the blocks, then the second halves.
    high: [[i8; GROUP * HALF]; 2],
    /// Lower bytes, likewise.
    low: [[i8; GROUP * HALF]; 2],
    /// Sum of the eight elements of each 32-bit lane, times [`Blocks::ZERO`].
    sums: [i32; GROUP * 4],
}

impl Group {
    const EMPTY: Self = Self {
        high: [[0; GROUP * HALF]; 2],
        low: [[0; GROUP * HALF]; 2],
        sums: [0; GROUP * 4],
    };
}

thread_local! {
    /// Rounded rows; reused.
    static ROWS: Cell<Vec<Group>> = Cell::default();
}

/// Computes `y = x · wᵀ`: `x` is `[rows, input]`, `w` is `[output, input]`, `y` is
/// `[rows, output]`. Returns false, and does nothing, if there are more than a few rows or `w` is
/// not in a type that is read here.
///
/// # Safety
/// The processor has AVX-512 BF16.
pub unsafe fn linear_few(x: &[f32], w: Tensor<'_>, y: &mut [f32]) -> bool {
    let is = |dtype| {
        let mut parts = w.parts(0..w.rows());
        parts.all(|part| matches!(part.form, Form::Ggml(found) if found == dtype))
    };
    // SAFETY: the caller upholds the contract.
    unsafe {
        match x.len() <= FEW * w.columns() {
            true if is(GgmlDType::Q8_0) => multiply::<Q8_0>(x, w, y),
            true if is(GgmlDType::Q4_0) => multiply::<Q4_0>(x, w, y),
            true if is(GgmlDType::Q4_1) => multiply::<Q4_1>(x, w, y),
            _ => return false,
        }
    }
    true
}

/// Computes [`linear_few`] with weights of type `T`.
unsafe fn multiply<T: Blocks>(x: &[f32], w: Tensor<'_>, y: &mut [f32]) {
    let (input, mut rows) = (w.columns(), ROWS.take());
    let groups = input.div_ceil(GROUP * LANES);
    rows.clear();
    rows.resize(x.len() / input * groups, Group::EMPTY);
    let mut scales = [0.0; FEW];
    let to = scales.iter_mut().zip(rows.chunks_exact_mut(groups));
    for ((scale, row), x) in to.zip(x.chunks_exact(input)) {
        // SAFETY: the processor has the instructions.
        *scale = unsafe { round(x, T::ZERO, row) };
    }
    for_each_task(y, w.rows(), |outputs, y| {
        let mut first = 0;
        for part in w.parts(outputs) {
            let products = Products {
                rows: &rows,
                scales,
                part,
                input,
                y,
                first,
            };
            // SAFETY: the processor has the instructions.
            unsafe { products.compute::<T>() };
            first += part.rows;
        }
    });
    ROWS.set(rows);
}

/// Rounds the row `x`, whose sums are multiplied by `zero`. Returns the scale. An element that is
/// infinite or NaN makes it so.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn round(x: &[f32], zero: i32, row: &mut [Group]) -> f32 {
    let halves = x.as_chunks::<HALF>().0;
    // SAFETY: a half has as many elements as a register.
    let load = |half: &[f32; HALF]| unsafe { _mm512_loadu_ps(half.as_ptr()) };
    // 1. Find the largest absolute value. As integers, floats without a sign are in order, and NaN
    // is larger than infinity.
    let mut largest = _mm512_setzero_si512();
    for half in halves {
        largest = _mm512_max_epu32(largest, _mm512_castps_si512(_mm512_abs_ps(load(half))));
    }
    let largest = f32::from_bits(_mm512_reduce_max_epu32(largest));
    let inverse = match largest >= LEAST && largest.is_finite() {
        true => LARGEST / largest,
        false => 0.0,
    };
    // 2. Round each element, and split it into bytes.
    for (i, half) in halves.iter().enumerate() {
        let scaled = _mm512_mul_ps(load(half), _mm512_set1_ps(inverse));
        let rounded = _mm512_cvtps_epi32(scaled);
        let low = _mm512_srai_epi32::<24>(_mm512_slli_epi32::<24>(rounded));
        let high = _mm512_srai_epi32::<8>(_mm512_sub_epi32(rounded, low));
        let (block, half) = (i / 2, i % 2);
        let (group, at) = (&mut row[block / GROUP], block % GROUP * HALF);
        for (bytes, to) in [(high, &mut group.high), (low, &mut group.low)] {
            let to = &mut to[half][at..at + HALF];
            // SAFETY: half a block has 16 bytes.
            unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(bytes)) };
        }
    }
    // 3. Sum the elements.
    let (ones, zero) = ([_mm512_set1_epi8(1); 2], _mm512_set1_epi32(zero));
    for group in row {
        // SAFETY: the arrays have 512 bits each.
        unsafe {
            let sums = dot(_mm512_setzero_si512(), ones, group);
            let sums = _mm512_mullo_epi32(sums, zero);
            _mm512_storeu_si512(group.sums.as_mut_ptr().cast(), sums);
        }
    }
    largest / LARGEST
}

/// Adds the products of a group of weights, as bytes without a sign, with elements of a row. Each
/// lane sums eight products.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn dot(start: __m512i, weights: [__m512i; 2], x: &Group) -> __m512i {
    // SAFETY: the arrays have 512 bits each.
    unsafe {
        let high = add_products(_mm512_setzero_si512(), weights, &x.high);
        let low = add_products(start, weights, &x.low);
        _mm512_add_epi32(_mm512_slli_epi32::<8>(high), low)
    }
}

/// Adds the products of unsigned and signed bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn add_products(sums: __m512i, weights: [__m512i; 2], x: &[[i8; GROUP * HALF]; 2]) -> __m512i {
    // SAFETY: the arrays have 512 bits each.
    unsafe {
        let first = _mm512_loadu_si512(x[0].as_ptr().cast());
        let second = _mm512_loadu_si512(x[1].as_ptr().cast());
        _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sums, weights[0], first), weights[1], second)
    }
}

/// Products of all rows with one part of the weights.
struct Products<'a> {
    /// Rounded rows, `[rows, groups]`.
    rows: &'a [Group],
    /// Scale of each row.
    scales: [f32; FEW],
    part: Part<'a>,
    input: usize,
    y: Columns,
    /// Column of `y` that belongs to the part's first weight row.
    first: usize,
}

impl Products<'_> {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn compute<T: Blocks>(&self) {
        let bytes = self.input / LANES * T::BYTES;
        for first in (0..self.part.rows).step_by(OUTPUTS) {
            let outputs = OUTPUTS.min(self.part.rows - first);
            let w = &self.part.bytes[first * bytes..(first + outputs) * bytes];
            prefetch(w, AHEAD);
            for row in (0..self.y.rows).step_by(4) {
                let at = (row, first);
                // SAFETY: the caller upholds the contract; `w` holds the weights of the outputs.
                unsafe {
                    match self.y.rows - row {
                        1 => self.outputs::<T, 1, 4>(w, at, outputs),
                        2 => self.outputs::<T, 2, 4>(w, at, outputs),
                        3 => self.outputs::<T, 3, 2>(w, at, outputs),
                        _ => self.outputs::<T, 4, 2>(w, at, outputs),
                    }
                }
            }
        }
    }

    /// Multiplies `R` rows with `outputs` outputs, `O` at a time.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn outputs<T: Blocks, const R: usize, const O: usize>(
        &self,
        w: &[u8],
        (row, output): (usize, usize),
        outputs: usize,
    ) {
        let bytes = self.input / LANES * T::BYTES;
        let wide = outputs / O * O;
        // SAFETY: the caller upholds the contract.
        unsafe {
            for o in (0..wide).step_by(O) {
                self.tile::<T, R, O>(w[o * bytes..].as_ptr(), row, output + o);
            }
            for o in wide..outputs {
                self.tile::<T, R, 1>(w[o * bytes..].as_ptr(), row, output + o);
            }
        }
    }

    /// Multiplies `R` rows with `O` outputs, whose weights are at `w`. Sums stay in registers.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn tile<T: Blocks, const R: usize, const O: usize>(
        &self,
        w: *const u8,
        row: usize,
        output: usize,
    ) {
        let mut totals = [[_mm512_setzero_ps(); O]; R];
        let blocks = self.input / LANES;
        let (whole, rest) = (blocks / GROUP, blocks % GROUP * T::BYTES);
        // SAFETY: `offset` is within the group.
        let load = |at: *const u8, offset: usize| unsafe { _mm512_loadu_si512(at.add(offset).cast()) };
        let load_rest = |at: *const u8, offset: usize| {
            let words = mask_of_32(rest.saturating_sub(offset) / 2);
            // SAFETY: the weights have `rest` bytes there; others are not touched, and become 0.
            unsafe { _mm512_maskz_loadu_epi16(words, at.wrapping_add(offset).cast()) }
        };
        // SAFETY: the weights of each output have the groups.
        unsafe {
            for group in 0..whole {
                self.add_group::<T, R, O>(&mut totals, w, row, group, load);
            }
            if rest > 0 {
                self.add_group::<T, R, O>(&mut totals, w, row, whole, load_rest);
            }
        }
        for (r, totals) in totals.into_iter().enumerate() {
            for (o, total) in totals.into_iter().enumerate() {
                let sum = self.scales[row + r] * _mm512_reduce_add_ps(total);
                self.y.put(row + r, self.first + output + o, sum);
            }
        }
    }

    /// Adds the products with a group of each output. `load` loads 64 bytes of it, from an offset
    /// on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn add_group<T: Blocks, const R: usize, const O: usize>(
        &self,
        totals: &mut [[__m512; O]; R],
        w: *const u8,
        row: usize,
        group: usize,
        load: impl Fn(*const u8, usize) -> __m512i,
    ) {
        let (bytes, groups) = (self.input / LANES * T::BYTES, self.rows.len() / self.y.rows);
        let w = w.wrapping_add(group * GROUP * T::BYTES);
        let zero = _mm512_setzero_si512();
        let mut weights = [([zero; 2], _mm512_setzero_ps(), _mm512_setzero_ps()); O];
        for (o, weights) in weights.iter_mut().enumerate() {
            let at = w.wrapping_add(o * bytes);
            // SAFETY: the processor has the instructions.
            *weights = unsafe { T::load_group(|offset| load(at, offset)) };
        }
        for (r, totals) in totals.iter_mut().enumerate() {
            let x = &self.rows[(row + r) * groups + group];
            // SAFETY: the array has 512 bits.
            let sums = unsafe { _mm512_loadu_si512(x.sums.as_ptr().cast()) };
            for (total, (weights, scales, minima)) in totals.iter_mut().zip(weights) {
                let start = if T::HAS_MINIMUM { zero } else { sums };
                // SAFETY: the processor has the instructions.
                let dot = unsafe { dot(start, weights, x) };
                *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scales, *total);
                if T::HAS_MINIMUM {
                    *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), minima, *total);
                }
            }
        }
    }
}

/// A type of GGML whose blocks are a scale in f16, perhaps a minimum, and 32 integers.
trait Blocks: Stored {
    /// Factor of the sums of a row's elements: minus the unsigned byte that stands for a weight of
    /// 0; in types with a minimum, which is added to each weight, 1.
    const ZERO: i32;
    /// True if blocks have a minimum.
    const HAS_MINIMUM: bool = false;

    /// Loads a group: the weights, as bytes without a sign, of the first and second halves of its
    /// blocks, and in each lane the scale and the minimum of its block. `read` loads 64 bytes from
    /// an offset on.
    ///
    /// # Safety
    /// The processor has AVX-512.
    unsafe fn load_group(read: impl Fn(usize) -> __m512i) -> ([__m512i; 2], __m512, __m512);
}

impl Blocks for Q8_0 {
    const ZERO: i32 = -128;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load_group(read: impl Fn(usize) -> __m512i) -> ([__m512i; 2], __m512, __m512) {
        // Places of the four scales, and of the halves of the blocks, in words of two pieces that
        // were read; those of the second piece begin with 32.
        const SCALES: [i16; LANES] = every_fourth([0, 17, 32 + 6, 32 + 23]);
        const FIRST: [i16; LANES] = every_eighth([1, 18, 32 + 7, 32 + 24]);
        const SECOND: [i16; LANES] = every_eighth([7, 24, 32 + 7, 32 + 24]);
        let sign = _mm512_set1_epi8(i8::MIN);
        let (a, b, c, d) = (read(0), read(56), read(4), read(72));
        let first = _mm512_permutex2var_epi16(a, words(&FIRST), b);
        let second = _mm512_permutex2var_epi16(c, words(&SECOND), d);
        let scales = _mm512_permutex2var_epi16(a, words(&SCALES), b);
        (
            [_mm512_xor_si512(first, sign), _mm512_xor_si512(second, sign)],
            _mm512_cvtph_ps(_mm512_castsi512_si256(scales)),
            _mm512_setzero_ps(),
        )
    }
}

impl Blocks for Q4_0 {
    const ZERO: i32 = -8;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load_group(read: impl Fn(usize) -> __m512i) -> ([__m512i; 2], __m512, __m512) {
        const SCALES: [i16; LANES] = every_fourth([0, 9, 18, 27]);
        const HALVES: [i16; LANES] = every_eighth([1, 10, 32 + 15, 32 + 24]);
        let (a, b) = (read(0), read(8));
        let bytes = _mm512_permutex2var_epi16(a, words(&HALVES), b);
        let scales = _mm512_permutexvar_epi16(words(&SCALES), a);
        (
            half_bytes(bytes),
            _mm512_cvtph_ps(_mm512_castsi512_si256(scales)),
            _mm512_setzero_ps(),
        )
    }
}

impl Blocks for Q4_1 {
    const ZERO: i32 = 1;
    const HAS_MINIMUM: bool = true;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load_group(read: impl Fn(usize) -> __m512i) -> ([__m512i; 2], __m512, __m512) {
        const SCALES: [i16; LANES] = every_fourth([0, 10, 20, 30]);
        const MINIMA: [i16; LANES] = every_fourth([1, 11, 21, 31]);
        const HALVES: [i16; LANES] = every_eighth([2, 12, 22, 32 + 24]);
        let (a, b) = (read(0), read(16));
        let bytes = _mm512_permutex2var_epi16(a, words(&HALVES), b);
        let scales = _mm512_permutexvar_epi16(words(&SCALES), a);
        let minima = _mm512_permutexvar_epi16(words(&MINIMA), a);
        (
            half_bytes(bytes),
            _mm512_cvtph_ps(_mm512_castsi512_si256(scales)),
            _mm512_cvtph_ps(_mm512_castsi512_si256(minima)),
        )
    }
}

/// Returns the low and the high halves of bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn half_bytes(bytes: __m512i) -> [__m512i; 2] {
    let low = _mm512_set1_epi8(15);
    [
        _mm512_and_si512(bytes, low),
        _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), low),
    ]
}

/// Returns each of four words four times, one for each 32-bit lane of its block.
const fn every_fourth(first: [i16; GROUP]) -> [i16; LANES] {
    let (mut indices, mut i) = ([0; LANES], 0);
    while i < LANES / 2 {
        indices[i] = first[i / 4];
        i += 1;
    }
    indices
}

/// Returns eight words from each of four on.
const fn every_eighth(first: [i16; GROUP]) -> [i16; LANES] {
    let (mut indices, mut i) = ([0; LANES], 0);
    while i < LANES {
        indices[i] = first[i / 8] + (i % 8) as i16;
        i += 1;
    }
    indices
}

/// Loads the indices of a permutation.
#[inline]
#[target_feature(enable = "avx512f")]
fn words(indices: &[i16; LANES]) -> __m512i {
    // SAFETY: both have 512 bits.
    unsafe { _mm512_loadu_si512(indices.as_ptr().cast()) }
}

#[cfg(test)]
mod tests {
    use super::super::instructions;
    use super::*;
    use crate::ops::testing::random;
    use crate::weights::packed_for_test;

    const TYPES: [GgmlDType; 3] = [GgmlDType::Q8_0, GgmlDType::Q4_0, GgmlDType::Q4_1];

    /// Returns `x · wᵀ` of packed weights in integers, and in f64; none without the instructions.
    fn products(x: &[f32], weights: &[f32], dtype: GgmlDType, input: usize) -> Option<(Vec<f32>, Vec<f64>)> {
        instructions()?;
        let output = weights.len() / input;
        let packed = packed_for_test(weights, dtype, input);
        let (w, mut unpacked) = (packed.tensor(), vec![0.0; weights.len()]);
        w.unpack(0..output, &mut unpacked);
        let mut got = vec![0.0; x.len() / input * output];
        // SAFETY: the processor has the instructions.
        assert!(unsafe { linear_few(x, w, &mut got) }, "{dtype:?}");
        let dot = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
        let rows = x.chunks_exact(input);
        let want = rows.flat_map(|x| unpacked.chunks_exact(input).map(move |w| dot(x, w)));
        Some((got, want.collect()))
    }

    /// Groups of four blocks and rests of one to three, for all numbers of rows and of outputs, are
    /// as exact as the module says.
    #[test]
    fn products_are_those_of_the_unpacked_weights() {
        for dtype in TYPES {
            for (blocks, output) in [(1, 9), (2, 4), (3, 1), (4, 70), (5, 7), (18, 6), (8, 2)] {
                let input = blocks * LANES;
                let weights = random(output * input, 1);
                for rows in 1..=FEW {
                    let mut x = random(rows * input, 2);
                    x[input / 2] = 40.0; // an element much larger than the others
                    let Some((got, want)) = products(&x, &weights, dtype, input) else {
                        return;
                    };
                    let root = (input as f32).sqrt() / 65536.0;
                    for (i, (got, want)) in got.iter().zip(want).enumerate() {
                        let x = &x[i / output * input..][..input];
                        let w = &weights[i % output * input..][..input];
                        // the weights were rounded when they were packed
                        let allowed = 1.1 * root * norm(x) * norm(w);
                        let error = (f64::from(*got) - want).abs() as f32;
                        assert!(error < allowed, "{dtype:?} {blocks} {rows}: {got} {want}");
                    }
                }
            }
        }
    }

    fn norm(values: &[f32]) -> f32 {
        values.iter().map(|x| x * x).sum::<f32>().sqrt()
    }

    /// The largest sums fit, and so does a row of any size, from zero to the largest f32.
    #[test]
    fn extreme_elements_do_not_overflow() {
        for dtype in TYPES {
            for (sign, size) in [(1.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (1.0, 1e-20), (1.0, 1e36)] {
                let (weights, x) = (vec![-1.0; 4 * 96], vec![sign * size; 96]);
                let Some((got, want)) = products(&x, &weights, dtype, 96) else {
                    return;
                };
                for (got, want) in got.iter().zip(want) {
                    let error = (f64::from(*got) - want).abs();
                    assert!(error <= want.abs() * 1e-4, "{dtype:?} {size}: {got} {want}");
                }
            }
        }
    }

    /// An element that is infinite or NaN makes all outputs of its row so, and of no other row.
    #[test]
    fn elements_that_are_not_finite_are_not_lost() {
        for (dtype, element) in TYPES
            .into_iter()
            .zip([f32::NAN, f32::INFINITY, f32::NEG_INFINITY])
        {
            let (weights, mut x) = (random(5 * 64, 1), random(2 * 64, 2));
            x[17] = element;
            let Some((got, _)) = products(&x, &weights, dtype, 64) else {
                return;
            };
            let (first, second) = got.split_at(5);
            assert!(first.iter().all(|y| !y.is_finite()), "{dtype:?}: {first:?}");
            assert!(second.iter().all(|y| y.is_finite()), "{dtype:?}: {second:?}");
        }
    }

    #[test]
    fn other_types_and_many_rows_are_left_to_others() {
        if instructions().is_none() {
            return;
        }
        for (dtype, rows) in [
            (GgmlDType::BF16, 1),
            (GgmlDType::Q5_0, 1),
            (GgmlDType::Q8_0, FEW + 1),
        ] {
            let packed = packed_for_test(&random(64, 1), dtype, 32);
            // SAFETY: the processor has the instructions.
            let taken =
                unsafe { linear_few(&vec![0.0; rows * 32], packed.tensor(), &mut vec![0.0; rows * 2]) };
            assert!(!taken, "{dtype:?} {rows}");
        }
    }
}
