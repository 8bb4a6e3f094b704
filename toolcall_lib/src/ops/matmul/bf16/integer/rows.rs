//! Rows that are rounded to integers, and their products with groups of weights.

use super::{BLOCK, GROUP};
use std::arch::x86_64::*;

/// Elements of half a block.
const HALF: usize = BLOCK / 2;

/// Numbers of 32 bits in a register.
const WIDE: usize = 16;

/// Largest absolute value that two signed bytes hold with either sign.
const LARGEST: f32 = (127 * 256 + 127) as f32;

/// A block whose elements are all smaller than this counts as zero, so that the inverse of its
/// scale is finite.
const LEAST: f32 = 1e-30;

/// Elements of a row that meet a group of blocks, rounded to two bytes.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Group {
    /// Upper bytes: the first halves of the blocks, then the second halves.
    pub high: [[i8; GROUP * HALF]; 2],
    /// Lower bytes, likewise.
    pub low: [[i8; GROUP * HALF]; 2],
    /// Sums of the elements: of eight in each of the four numbers of a block.
    pub sums: [i32; WIDE],
    /// Scale of each block, four times.
    pub scales: [f32; WIDE],
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
pub unsafe fn dot(start: __m512i, weights: [__m512i; 2], x: &Group) -> __m512i {
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
