//! Loads: parts of a matrix as registers of pairs of bf16.

use super::super::Matrix;
use crate::ops::element::{Element, HASH};
use std::arch::x86_64::*;

/// Two bf16 that follow each other in the inner dimension.
pub type Pair = u32;

/// Number of pairs of a cache line, which is also a register.
pub const LINE: usize = 16;

/// Number of bf16 of a register.
pub const LANES: usize = 2 * LINE;

/// Reads a block from 16 columns of contiguous elements: a line for each column, with its 16 pairs
/// from `row` on. Prefetches the elements two lines ahead.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn read_along<E: Element>(m: Matrix<'_, E>, column: usize, row: usize) -> [__m512i; LINE] {
    let rows = m.rows.saturating_sub(row);
    let mut block = [_mm512_setzero_si512(); LINE];
    for (i, line) in block.iter_mut().enumerate() {
        if column + i < m.columns {
            let at = m.data.as_ptr().wrapping_add((column + i) * m.column_stride + row);
            for next in (4 * LINE..6 * LINE).step_by(64 / size_of::<E>()) {
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(next).cast());
            }
            // SAFETY: at least `rows` elements follow.
            *line = unsafe { load_pairs(at, rows) };
        }
    }
    block
}

/// Reads a block from contiguous rows: a line for each pair from `row` on, with the pairs of 16
/// columns.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn read_across<E: Element>(m: Matrix<'_, E>, column: usize, row: usize) -> [__m512i; LINE] {
    let lanes = mask(m.columns.saturating_sub(column));
    let load = |row: usize| {
        let lanes = if row < m.rows { lanes } else { 0 };
        let at = m.data.as_ptr().wrapping_add(row * m.row_stride + column);
        _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(2 * LINE * m.row_stride).cast());
        // SAFETY: the row has these lanes.
        unsafe { load_halves(at, lanes) }
    };
    let mut block = [_mm512_setzero_si512(); LINE];
    for (i, line) in block.iter_mut().enumerate() {
        // the first row in the lower halves of the lanes, the second in the upper halves
        let (first, second) = (load(row + 2 * i), load(row + 2 * i + 1));
        *line = _mm512_or_si512(first, _mm512_slli_epi32::<16>(second));
    }
    block
}

/// Loads 16 pairs. Elements after the first `count` are 0.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn load_pairs<E: Element>(at: *const E, count: usize) -> __m512i {
    // SAFETY: masked lanes are not touched; both types have 512 bits.
    unsafe {
        if E::IS_BF16 {
            return _mm512_maskz_loadu_epi16(mask_of_32(count), at.cast());
        }
        let (low, high) = (mask(count), mask(count.saturating_sub(LINE)));
        let low = _mm512_maskz_loadu_ps(low, at.cast());
        let high = _mm512_maskz_loadu_ps(high, at.wrapping_add(LINE).cast());
        if E::IS_STOCHASTIC {
            return _mm512_permutex2var_epi16(add_hash(low), upper_halves(), add_hash(high));
        }
        std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
    }
}

/// Loads the selected ones of 16 elements, each into the lower half of a lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn load_halves<E: Element>(at: *const E, lanes: __mmask16) -> __m512i {
    // SAFETY: masked lanes are not touched; both types have 256 bits.
    let halves = unsafe {
        if E::IS_BF16 {
            _mm256_maskz_loadu_epi16(lanes, at.cast())
        } else {
            let exact = _mm512_maskz_loadu_ps(lanes, at.cast());
            if E::IS_STOCHASTIC {
                return _mm512_srli_epi32::<16>(add_hash(exact));
            }
            std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(exact))
        }
    };
    _mm512_cvtepu16_epi32(halves)
}

/// Adds the hash to each lane, so that the upper halves are rounded as
/// [`Stochastic`](crate::ops::element::Stochastic) says.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_hash(exact: __m512) -> __m512i {
    let bits = _mm512_castps_si512(exact);
    let hash = _mm512_mullo_epi32(bits, _mm512_set1_epi32(HASH.cast_signed()));
    _mm512_add_epi32(bits, _mm512_srli_epi32::<16>(hash))
}

/// Returns the permutation that picks the upper half of each lane of two registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn upper_halves() -> __m512i {
    let first_pair = _mm512_set1_epi32(0x0003_0001);
    let lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    _mm512_add_epi32(
        first_pair,
        _mm512_mullo_epi32(lane, _mm512_set1_epi32(0x0004_0004)),
    )
}

/// Transposes 16 x 16 pairs in four steps: pairs of rows, pairs of pairs, then lanes of 128 bits
/// twice.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
    let (mut a, mut b) = (rows, rows);
    for i in (0..16).step_by(2) {
        a[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for i in (0..16).step_by(4) {
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    for i in 0..4 {
        a[i] = _mm512_shuffle_i32x4::<0x88>(b[i], b[4 + i]);
        a[4 + i] = _mm512_shuffle_i32x4::<0x88>(b[8 + i], b[12 + i]);
        a[8 + i] = _mm512_shuffle_i32x4::<0xdd>(b[i], b[4 + i]);
        a[12 + i] = _mm512_shuffle_i32x4::<0xdd>(b[8 + i], b[12 + i]);
    }
    for i in 0..4 {
        b[i] = _mm512_shuffle_i32x4::<0x88>(a[i], a[4 + i]);
        b[4 + i] = _mm512_shuffle_i32x4::<0x88>(a[8 + i], a[12 + i]);
        b[8 + i] = _mm512_shuffle_i32x4::<0xdd>(a[i], a[4 + i]);
        b[12 + i] = _mm512_shuffle_i32x4::<0xdd>(a[8 + i], a[12 + i]);
    }
    b
}

/// Returns a mask of the first `lanes` of 16 lanes.
#[inline]
pub fn mask(lanes: usize) -> __mmask16 {
    ((1u32 << lanes.min(LINE)) - 1) as __mmask16
}

/// Returns a mask of the first `lanes` of 32 lanes.
#[inline]
pub fn mask_of_32(lanes: usize) -> __mmask32 {
    ((1u64 << lanes.min(2 * LINE)) - 1) as __mmask32
}

/// Reinterprets a vector as 16 pairs.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn as_pairs(x: __m512i) -> __m512bh {
    // SAFETY: both types have 512 bits.
    unsafe { std::mem::transmute(x) }
}
