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

use super::super::few::Columns;
use super::super::prefetch::{L2, prefetch};
use super::AHEAD;
use super::load::{LANES, mask_of_32};
use super::unpack::{Q4_0, Q4_1, Q8_0, Stored};
use crate::weights::{Form, Part};
use candle_core::quantized::GgmlDType;
use std::arch::x86_64::*;

/// Largest number of rows for which this pays. On Zen 4, five rows are faster in bf16.
pub const FEW: usize = 4;

/// Number of outputs whose weights are prefetched at a time.
const OUTPUTS: usize = 4;

/// Elements of a block.
const BLOCK: usize = 32;

/// Elements of half a block.
const HALF: usize = BLOCK / 2;

/// Blocks of a group. As bytes, their halves fill a register.
const GROUP: usize = 4;

/// Numbers of 32 bits in a register.
const WIDE: usize = 16;

/// Largest absolute value that two signed bytes hold with either sign.
const LARGEST: f32 = (127 * 256 + 127) as f32;

/// A block whose elements are all smaller than this counts as zero, so that the inverse of its
/// scale is finite.
const LEAST: f32 = 1e-30;

/// Returns true if weights of this form are multiplied here.
pub fn takes(form: Form<'_>) -> bool {
    matches!(
        form,
        Form::Ggml(GgmlDType::Q8_0 | GgmlDType::Q4_0 | GgmlDType::Q4_1)
    )
}

/// Elements of a row that meet a group of blocks, rounded to two bytes.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Group {
    /// Upper bytes: the first halves of the blocks, then the second halves.
    high: [[i8; GROUP * HALF]; 2],
    /// Lower bytes, likewise.
    low: [[i8; GROUP * HALF]; 2],
    /// Sums of the elements: of eight in each of the four numbers of a block.
    sums: [i32; WIDE],
    /// Scale of each block, four times.
    scales: [f32; WIDE],
}

impl Group {
    const EMPTY: Self = Self {
        high: [[0; GROUP * HALF]; 2],
        low: [[0; GROUP * HALF]; 2],
        sums: [0; WIDE],
        scales: [0.0; WIDE],
    };
}

/// Rounds the rows of `x`, which is `[rows, input]`, to `[rows, groups]`. An element that is
/// infinite or NaN makes the scale of its block so.
///
/// # Safety
/// [`isa`](crate::cpu::isa) is at least `Avx512Bf16`, which includes VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub unsafe fn round(x: &[f32], input: usize, rows: &mut Vec<Group>) {
    let groups = input.div_ceil(GROUP * BLOCK);
    rows.clear();
    rows.resize(x.len() / input * groups, Group::EMPTY);
    for (x, row) in x.chunks_exact(input).zip(rows.chunks_exact_mut(groups)) {
        for (i, block) in x.as_chunks::<BLOCK>().0.iter().enumerate() {
            // SAFETY: the caller upholds the contract.
            unsafe { round_block(block, &mut row[i / GROUP], i % GROUP) };
        }
    }
    let ones = [_mm512_set1_epi8(1); 2];
    for group in rows {
        // SAFETY: the array has 512 bits.
        unsafe {
            let sums = dot(_mm512_setzero_si512(), ones, group);
            _mm512_storeu_si512(group.sums.as_mut_ptr().cast(), sums);
        }
    }
}

/// Rounds a block, which becomes block `at` of `group`.
#[target_feature(enable = "avx512f")]
unsafe fn round_block(block: &[f32; BLOCK], group: &mut Group, at: usize) {
    // SAFETY: half a block has as many elements as a register.
    let (first, second) = unsafe {
        (
            _mm512_loadu_ps(block.as_ptr()),
            _mm512_loadu_ps(block[HALF..].as_ptr()),
        )
    };
    // 1. Find the largest absolute value. As integers, floats without a sign are in order, and NaN
    // is larger than infinity.
    let bits = |half: __m512| _mm512_castps_si512(_mm512_abs_ps(half));
    let largest = _mm512_reduce_max_epu32(_mm512_max_epu32(bits(first), bits(second)));
    let largest = f32::from_bits(largest);
    let inverse = match largest >= LEAST && largest.is_finite() {
        true => LARGEST / largest,
        false => 0.0,
    };
    group.scales[4 * at..4 * at + 4].fill(largest / LARGEST);
    // 2. Round each element, and split it into bytes.
    for (i, half) in [first, second].into_iter().enumerate() {
        let rounded = _mm512_cvtps_epi32(_mm512_mul_ps(half, _mm512_set1_ps(inverse)));
        let low = _mm512_srai_epi32::<24>(_mm512_slli_epi32::<24>(rounded));
        let high = _mm512_srai_epi32::<8>(_mm512_sub_epi32(rounded, low));
        for (bytes, to) in [(high, &mut group.high[i]), (low, &mut group.low[i])] {
            let to = &mut to[at * HALF..(at + 1) * HALF];
            // SAFETY: half a block has 16 bytes.
            unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(bytes)) };
        }
    }
}

/// Adds the products of a group of weights, as unsigned bytes, with elements of a row. Each number
/// sums eight products.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn dot(start: __m512i, weights: [__m512i; 2], x: &Group) -> __m512i {
    // SAFETY: the caller's processor has the instructions.
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
pub struct Products<'a> {
    /// Rounded rows, `[rows, groups]`.
    pub rows: &'a [Group],
    pub part: Part<'a>,
    pub input: usize,
    pub y: Columns,
    /// Column of `y` that belongs to the part's first weight row.
    pub first: usize,
}

impl Products<'_> {
    /// Computes the columns of `y`.
    ///
    /// # Safety
    /// [`isa`](crate::cpu::isa) is at least `Avx512Bf16`, and [`takes`] is true for the part.
    pub unsafe fn compute(&self) {
        // SAFETY: the caller upholds the contract.
        unsafe {
            match self.part.form {
                Form::Ggml(GgmlDType::Q8_0) => self.compute_as::<Q8_0>(),
                Form::Ggml(GgmlDType::Q4_0) => self.compute_as::<Q4_0>(),
                _ => self.compute_as::<Q4_1>(),
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn compute_as<T: Blocks>(&self) {
        let bytes = self.input / BLOCK * T::BYTES;
        for first in (0..self.part.rows).step_by(OUTPUTS) {
            let outputs = OUTPUTS.min(self.part.rows - first);
            let w = &self.part.bytes[first * bytes..(first + outputs) * bytes];
            prefetch::<L2>(w, AHEAD);
            // SAFETY: the caller upholds the contract; `w` holds the weights of the outputs.
            unsafe {
                match self.y.rows {
                    1 => self.outputs::<T, 1, 4>(w, first, outputs),
                    2 => self.outputs::<T, 2, 4>(w, first, outputs),
                    3 => self.outputs::<T, 3, 2>(w, first, outputs),
                    _ => self.outputs::<T, 4, 2>(w, first, outputs),
                }
            }
        }
    }

    /// Multiplies `R` rows with `outputs` outputs, `O` at a time.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn outputs<T: Blocks, const R: usize, const O: usize>(
        &self,
        w: &[u8],
        output: usize,
        outputs: usize,
    ) {
        let bytes = self.input / BLOCK * T::BYTES;
        let wide = outputs / O * O;
        // SAFETY: the caller upholds the contract.
        unsafe {
            for o in (0..wide).step_by(O) {
                self.tile::<T, R, O>(w[o * bytes..].as_ptr(), output + o);
            }
            for o in wide..outputs {
                self.tile::<T, R, 1>(w[o * bytes..].as_ptr(), output + o);
            }
        }
    }

    /// Multiplies `R` rows with `O` outputs, whose weights are at `w`. Sums stay in registers.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn tile<T: Blocks, const R: usize, const O: usize>(&self, w: *const u8, output: usize) {
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
                self.add_group::<T, R, O>(&mut sums, w, group, load);
            }
            if rest > 0 {
                self.add_group::<T, R, O>(&mut sums, w, whole, load_rest);
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (o, sum) in sums.into_iter().enumerate() {
                let sum = _mm512_reduce_add_ps(sum);
                self.y.put(r, self.first + output + o, sum);
            }
        }
    }

    /// Adds the products with a group of each output. `load` loads 64 bytes of it, from an offset
    /// on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn add_group<T: Blocks, const R: usize, const O: usize>(
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

/// A type of GGML whose blocks are a scale in f16, perhaps a minimum, and 32 integers.
trait Blocks: Stored {
    /// Unsigned byte that stands for a weight of 0, before the minimum is added.
    const ZERO: i32;
    /// True if blocks have a minimum, which is added to each weight.
    const HAS_MINIMUM: bool = false;

    /// Loads a group: the weights, as unsigned bytes, of the first and second halves of its blocks,
    /// and the scale and the minimum of each block, four times. `read` loads 64 bytes from an
    /// offset on.
    ///
    /// # Safety
    /// The processor has AVX-512 F and BW.
    unsafe fn load_group(read: impl Fn(usize) -> __m512i) -> ([__m512i; 2], __m512, __m512);
}

// A group is permuted as words of 16 bits. Indices of the second of two registers begin with 32.

impl Blocks for Q8_0 {
    const ZERO: i32 = 128;

    /// A block has 17 words: the scale, then 16 words of weights. The registers begin with words 0
    /// (`a`), 28 (`b`), 2 (`c`) and 36 (`d`) of the group.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load_group(read: impl Fn(usize) -> __m512i) -> ([__m512i; 2], __m512, __m512) {
        const SCALES: [i16; LANES] = each_four_times([0, 17, 32 + 6, 32 + 23]);
        const FIRST: [i16; LANES] = eight_from_each([1, 18, 32 + 7, 32 + 24]);
        const SECOND: [i16; LANES] = eight_from_each([7, 24, 32 + 7, 32 + 24]);
        let (a, b, c, d) = (read(0), read(56), read(4), read(72));
        let first = _mm512_permutex2var_epi16(a, indices(&FIRST), b);
        let second = _mm512_permutex2var_epi16(c, indices(&SECOND), d);
        let scales = _mm512_permutex2var_epi16(a, indices(&SCALES), b);
        let sign = _mm512_set1_epi8(i8::MIN);
        (
            [_mm512_xor_si512(first, sign), _mm512_xor_si512(second, sign)],
            _mm512_cvtph_ps(_mm512_castsi512_si256(scales)),
            _mm512_setzero_ps(),
        )
    }
}

impl Blocks for Q4_0 {
    const ZERO: i32 = 8;

    /// A block has 9 words: the scale, then 8 words of weights. The registers begin with words 0
    /// (`a`) and 4 (`b`) of the group.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load_group(read: impl Fn(usize) -> __m512i) -> ([__m512i; 2], __m512, __m512) {
        const SCALES: [i16; LANES] = each_four_times([0, 9, 18, 27]);
        const WEIGHTS: [i16; LANES] = eight_from_each([1, 10, 32 + 15, 32 + 24]);
        let (a, b) = (read(0), read(8));
        let bytes = _mm512_permutex2var_epi16(a, indices(&WEIGHTS), b);
        let scales = _mm512_permutexvar_epi16(indices(&SCALES), a);
        (
            split(bytes),
            _mm512_cvtph_ps(_mm512_castsi512_si256(scales)),
            _mm512_setzero_ps(),
        )
    }
}

impl Blocks for Q4_1 {
    const ZERO: i32 = 0;
    const HAS_MINIMUM: bool = true;

    /// A block has 10 words: the scale, the minimum, then 8 words of weights. The registers begin
    /// with words 0 (`a`) and 8 (`b`) of the group.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load_group(read: impl Fn(usize) -> __m512i) -> ([__m512i; 2], __m512, __m512) {
        const SCALES: [i16; LANES] = each_four_times([0, 10, 20, 30]);
        const MINIMA: [i16; LANES] = each_four_times([1, 11, 21, 31]);
        const WEIGHTS: [i16; LANES] = eight_from_each([2, 12, 22, 32 + 24]);
        let (a, b) = (read(0), read(16));
        let bytes = _mm512_permutex2var_epi16(a, indices(&WEIGHTS), b);
        let scales = _mm512_permutexvar_epi16(indices(&SCALES), a);
        let minima = _mm512_permutexvar_epi16(indices(&MINIMA), a);
        (
            split(bytes),
            _mm512_cvtph_ps(_mm512_castsi512_si256(scales)),
            _mm512_cvtph_ps(_mm512_castsi512_si256(minima)),
        )
    }
}

/// Splits bytes into their lower and upper four bits, which are the first and second halves of the
/// blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn split(bytes: __m512i) -> [__m512i; 2] {
    let low = _mm512_set1_epi8(15);
    [
        _mm512_and_si512(bytes, low),
        _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), low),
    ]
}

/// Returns each of four indices four times.
const fn each_four_times(words: [i16; GROUP]) -> [i16; LANES] {
    let (mut indices, mut i) = ([0; LANES], 0);
    while i < 4 * GROUP {
        indices[i] = words[i / 4];
        i += 1;
    }
    indices
}

/// Returns eight indices from each of four on.
const fn eight_from_each(words: [i16; GROUP]) -> [i16; LANES] {
    let (mut indices, mut i) = ([0; LANES], 0);
    while i < 8 * GROUP {
        indices[i] = words[i / 8] + (i % 8) as i16;
        i += 1;
    }
    indices
}

/// Loads the indices of a permutation.
#[inline]
#[target_feature(enable = "avx512f")]
fn indices(indices: &[i16; LANES]) -> __m512i {
    // SAFETY: both have 512 bits.
    unsafe { _mm512_loadu_si512(indices.as_ptr().cast()) }
}

#[cfg(test)]
mod tests {
    use super::super::few::linear_few;
    use super::super::instructions;
    use super::*;
    use crate::ops::testing::random;
    use crate::weights::{Packed, Tensor, packed_for_test};
    use half::f16;

    const TYPES: [GgmlDType; 3] = [GgmlDType::Q8_0, GgmlDType::Q4_0, GgmlDType::Q4_1];

    /// Returns `x · wᵀ` as it is computed here and in f64, and the product of the norms; none on
    /// processors without the instructions.
    fn products(x: &[f32], w: Tensor<'_>) -> Option<(Vec<f32>, Vec<f64>, Vec<f64>)> {
        instructions()?;
        let (input, output) = (w.columns(), w.rows());
        let mut weights = vec![0.0; output * input];
        w.unpack(0..output, &mut weights);
        let mut got = vec![0.0; x.len() / input * output];
        // SAFETY: the processor has the instructions.
        unsafe { linear_few(x, w, &mut got) };
        let pairs = x
            .chunks_exact(input)
            .flat_map(|x| weights.chunks_exact(input).map(move |w| (x, w)));
        let dot = |x: &[f32], w: &[f32]| -> f64 {
            x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum()
        };
        let (want, norms) = pairs
            .map(|(x, w)| (dot(x, w), (dot(x, x) * dot(w, w)).sqrt()))
            .unzip();
        Some((got, want, norms))
    }

    /// Asserts that products are as exact as the module says.
    fn check(label: &str, x: &[f32], w: Tensor<'_>) {
        let Some((got, want, norms)) = products(x, w) else {
            return;
        };
        for ((got, want), norm) in got.iter().zip(want).zip(norms) {
            let error = (f64::from(*got) - want).abs();
            assert!(error <= norm * 2f64.powi(-13), "{label}: {got}, not {want}");
        }
    }

    /// Groups of four blocks and rests of one to three, for all numbers of rows and of outputs.
    #[test]
    fn products_are_those_of_the_unpacked_weights() {
        for dtype in TYPES {
            for (blocks, output) in [(1, 9), (2, 4), (3, 1), (4, 70), (5, 7), (18, 6), (8, 2)] {
                let input = blocks * BLOCK;
                let packed = packed_for_test(&random(output * input, 1), dtype, input);
                for rows in 1..=FEW {
                    let mut x = random(rows * input, 2);
                    x[input / 2] = 4000.0; // an element much larger than the others
                    check(&format!("{dtype:?} {blocks} {rows}"), &x, packed.tensor());
                }
            }
        }
    }

    /// The parts of a tensor may have any types and begin within a task of 64 outputs.
    #[test]
    fn parts_are_multiplied_each_as_it_is_stored() {
        let of = |dtype, rows: usize| packed_for_test(&random(rows * 96, rows as u64), dtype, 96);
        let [first, second, third] = [
            of(GgmlDType::Q8_0, 30),
            of(GgmlDType::Q8_0, 61),
            of(GgmlDType::Q4_1, 5),
        ];
        check(
            "one kind of kernel",
            &random(3 * 96, 2),
            Tensor::packed(&[first, second, third], 96),
        );
        let parts = [
            of(GgmlDType::Q5_0, 30),
            of(GgmlDType::Q4_0, 61),
            of(GgmlDType::BF16, 5),
        ];
        let w = Tensor::packed(&parts, 96);
        let Some((got, want, _)) = products(&random(3 * 96, 2), w) else {
            return;
        };
        for (got, want) in got.iter().zip(want) {
            assert!((f64::from(*got) - want).abs() < 0.3, "{got}, not {want}");
        }
    }

    /// Returns weights whose integers are all `byte`, with a scale of 1 and a minimum of 0.
    fn blocks_of(byte: u8, dtype: GgmlDType, rows: usize, input: usize) -> Packed {
        let mut packed = packed_for_test(&vec![0.0; rows * input], dtype, input);
        for block in packed.bytes_mut().chunks_exact_mut(dtype.type_size()) {
            block.fill(byte);
            block[..2].copy_from_slice(&f16::ONE.to_le_bytes());
            if dtype == GgmlDType::Q4_1 {
                block[2..4].fill(0);
            }
        }
        packed
    }

    /// The largest and the smallest bytes meet the largest elements of either sign, and elements of
    /// any size.
    #[test]
    fn no_sum_overflows() {
        for dtype in TYPES {
            for byte in [0x00, 0x7f, 0x80, 0xff] {
                let packed = blocks_of(byte, dtype, 3, 4 * BLOCK);
                for size in [f32::MAX / 1e5, 1.0, -1.0, 1e-20, 1e-29] {
                    let x = vec![size; 2 * 4 * BLOCK];
                    check(&format!("{dtype:?} {byte} {size}"), &x, packed.tensor());
                }
            }
        }
    }

    #[test]
    fn blocks_that_are_almost_zero_are_zero() {
        for size in [0.0, 1e-31, -1e-45] {
            let packed = blocks_of(0x7f, GgmlDType::Q8_0, 3, 64);
            let Some((got, ..)) = products(&[size; 64], packed.tensor()) else {
                return;
            };
            assert_eq!(got, [0.0; 3], "{size}");
        }
    }

    /// An element that is infinite or NaN makes all outputs of its row NaN, and of no other row.
    #[test]
    fn elements_that_are_not_finite_are_not_lost() {
        for dtype in TYPES {
            for element in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let packed = packed_for_test(&random(5 * 64, 1), dtype, 64);
                let mut x = random(2 * 64, 2);
                x[17] = element;
                let Some((got, ..)) = products(&x, packed.tensor()) else {
                    return;
                };
                let (first, second) = got.split_at(5);
                assert!(first.iter().all(|y| y.is_nan()), "{dtype:?}: {first:?}");
                assert!(second.iter().all(|y| y.is_finite()), "{dtype:?}: {second:?}");
            }
        }
    }
}
