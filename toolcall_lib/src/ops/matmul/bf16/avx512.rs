//! The AVX-512 BF16 kernel: tiles of 14 x 32 sums in registers, pairs multiplied by `vdpbf16ps`.

use super::COLUMNS;
use super::kernel::{Kernel, Out};
use super::load::{Pair, as_pairs, mask, mask_of_32};
use super::pack::Across;
use crate::ops::element::Element;
use std::arch::x86_64::*;

/// Rows of a tile. With two vectors of columns, this is the number of sums that registers have room
/// for.
const ROWS: usize = 14;

/// The kernel for AVX-512 BF16.
pub struct Avx512;

impl Kernel for Avx512 {
    const ROWS: usize = ROWS;
    const PAIRS: usize = 1;
    const MOST_PAIRS: usize = 1536; // a right panel streams from the L2 cache
    type Left = Across;

    unsafe fn multiply<O: Element>(
        left: *const Pair,
        right: *const Pair,
        pairs: usize,
        out: Out<O>,
        add: bool,
    ) {
        for row in (0..out.rows).step_by(ROWS) {
            // SAFETY: the caller upholds the contract.
            unsafe {
                multiply_tile(
                    left.add(row * pairs),
                    right,
                    pairs,
                    out.part(row, ROWS, 0, COLUMNS),
                    add,
                )
            };
        }
    }
}

/// Multiplies a left and a right panel into one tile of the output, which stays in registers. Loops
/// have constant bounds and indices only: with anything else the compiler keeps the tile in memory.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn multiply_tile<O: Element>(
    left: *const Pair,
    right: *const Pair,
    pairs: usize,
    out: Out<O>,
    add: bool,
) {
    let (mut first, mut second) = ([_mm512_setzero_ps(); ROWS], [_mm512_setzero_ps(); ROWS]);
    let (mut a, mut b) = (left, right);
    for _ in 0..pairs {
        // SAFETY: panels hold `pairs` pairs of each row and column.
        unsafe {
            let b_first = as_pairs(_mm512_loadu_si512(b.cast()));
            let b_second = as_pairs(_mm512_loadu_si512(b.add(16).cast()));
            for row in 0..ROWS {
                let a = as_pairs(_mm512_set1_epi32(*a.add(row) as i32));
                first[row] = _mm512_dpbf16_ps(first[row], a, b_first);
                second[row] = _mm512_dpbf16_ps(second[row], a, b_second);
            }
            a = a.add(ROWS);
            b = b.add(COLUMNS);
        }
    }
    for row in 0..ROWS {
        if row < out.rows {
            // SAFETY: the row is one of the output.
            unsafe { store_row(out, row, [first[row], second[row]], add) };
        }
    }
}

/// Writes or adds one row of a tile: two vectors of 16 sums, of which the first `out.columns` are
/// stored.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn store_row<O: Element>(out: Out<O>, row: usize, sums: [__m512; 2], add: bool) {
    let scale = _mm512_set1_ps(out.scale);
    // SAFETY: masked lanes are not touched; all register types have 512 bits.
    unsafe {
        let at = out.at(row, 0);
        // bf16: widen the 32 previous values, add, and round both vectors into one register
        if O::IS_BF16 {
            let lanes = mask_of_32(out.columns);
            let before = if add {
                _mm512_maskz_loadu_epi16(lanes, at.cast())
            } else {
                _mm512_setzero_si512()
            };
            let [low, high] = [
                _mm512_castsi512_si256(before),
                _mm512_extracti64x4_epi64::<1>(before),
            ]
            .map(|half| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half))));
            let low = _mm512_fmadd_ps(sums[0], scale, low);
            let high = _mm512_fmadd_ps(sums[1], scale, high);
            let rounded: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(high, low));
            return _mm512_mask_storeu_epi16(at.cast(), lanes, rounded);
        }
        // f32: one vector at a time
        for (i, sum) in sums.into_iter().enumerate() {
            let lanes = mask(out.columns.saturating_sub(16 * i));
            let at = at.cast::<f32>().wrapping_add(16 * i);
            let before = if add {
                _mm512_maskz_loadu_ps(lanes, at)
            } else {
                _mm512_setzero_ps()
            };
            _mm512_mask_storeu_ps(at, lanes, _mm512_fmadd_ps(sum, scale, before));
        }
    }
}
