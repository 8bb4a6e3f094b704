//! Groups of four quantized blocks become unsigned bytes and scales in registers.

use super::super::load::LANES;
use super::super::unpack::{Q4_0, Q4_1, Q8_0, Stored};
use super::GROUP;
use std::arch::x86_64::*;

/// A type of GGML whose blocks are a scale in f16, perhaps a minimum, and 32 integers.
pub trait Blocks: Stored {
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
