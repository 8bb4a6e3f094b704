//! Matrix products on processors with AVX-512 BF16: operands are rounded to bf16 while they are packed, products are
//! summed in f32, and the output is f32. Nothing is stored as bf16, so a training run keeps one copy of its weights.
//!
//! The blocking is the usual one (Goto and van de Geijn, 2008): panels of `ROWS` rows of the left matrix and of `COLUMNS`
//! columns of the right one, cut along the inner dimension so that a panel of the right matrix stays in the L1 cache and a
//! block of left panels in the L2 cache. `vdpbf16ps` multiplies pairs of the inner dimension, so panels hold pairs.

use super::{Matrix, Output};
use rayon::prelude::*;
use std::arch::x86_64::*;
use std::cell::Cell;

/// Rows of a tile of the output.
const ROWS: usize = 14;
/// Columns of a tile: two vectors of f32.
const COLUMNS: usize = 32;
/// Longest cut of the inner dimension, in pairs.
const MOST_PAIRS: usize = 320;
/// Most left panels of a block.
const MOST_PANELS: usize = 16;
/// Columns whose packed panels exist at a time.
const MOST_COLUMNS: usize = 4096;

/// A pair of bf16 that stand one behind the other in the inner dimension.
type Pair = u32;

/// Whether the processor has what [`matmul`] needs.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx512bf16")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
}

thread_local! {
    /// Packed panels; they keep their memory between products.
    static PACKED: Cell<(Vec<Pair>, Vec<Pair>)> = Cell::default();
}

/// The output: rows begin `stride` elements apart.
#[derive(Clone, Copy)]
struct Out {
    start: *mut f32,
    stride: usize,
    rows: usize,
    columns: usize,
    scale: f32,
}

impl Out {
    /// The element at (`row`, `column`).
    unsafe fn at(&self, row: usize, column: usize) -> *mut f32 {
        // SAFETY: the caller stays within the output.
        unsafe { self.start.add(row * self.stride + column) }
    }
}

// SAFETY: tasks write to rows of their own.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

/// `out = scale · a · b` or `out += scale · a · b`; the rows of `out` begin `stride` elements apart.
///
/// # Safety
/// [`is_available`], `out` has room for all rows, and the inner dimension is not 0.
pub unsafe fn matmul(
    out: *mut f32,
    stride: usize,
    mode: Output,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    parallel: bool,
) {
    let (rows, columns, pairs) = (a.rows, b.columns, a.columns.div_ceil(2));
    let out = Out {
        start: out,
        stride,
        rows,
        columns,
        scale,
    };
    let (mut left, mut right) = PACKED.take();
    pack::<ROWS>(a.t(), pairs, &mut left, parallel);
    // as many blocks of the same size for every thread, or one of them waits
    let panels = rows.div_ceil(ROWS);
    let threads = if parallel { rayon::current_num_threads() } else { 1 };
    let blocks = panels.div_ceil(MOST_PANELS).next_multiple_of(threads).min(panels);
    for first in (0..columns).step_by(MOST_COLUMNS) {
        let b = b.columns(first, MOST_COLUMNS.min(columns - first));
        pack::<COLUMNS>(b, pairs, &mut right, parallel);
        let work = |i: usize| {
            let (start, end) = (i * panels / blocks, (i + 1) * panels / blocks);
            let block = Out {
                // SAFETY: the block lies within the output.
                start: unsafe { out.at(start * ROWS, first) },
                rows: rows.min(end * ROWS) - start * ROWS,
                columns: b.columns,
                ..out
            };
            // SAFETY: as above, and all panels are packed.
            unsafe { multiply_block(&left[start * ROWS * pairs..], &right, pairs, block, mode) };
        };
        if parallel {
            (0..blocks).into_par_iter().for_each(work);
        } else {
            (0..blocks).for_each(work);
        }
    }
    PACKED.set((left, right));
}

/// Panels of `WIDTH` columns of `m`, each `[pairs, WIDTH]`; what is missing at the ends is 0.
fn pack<const WIDTH: usize>(m: Matrix<'_>, pairs: usize, packed: &mut Vec<Pair>, parallel: bool) {
    let panel = pairs * WIDTH;
    let len = m.columns.div_ceil(WIDTH) * panel;
    if packed.len() < len {
        packed.resize(len, 0);
    }
    let work = |(i, packed): (usize, &mut [Pair])| {
        let columns = WIDTH.min(m.columns - i * WIDTH);
        let m = m.columns(i * WIDTH, columns);
        // SAFETY: `matmul` is only called where the features are available.
        unsafe {
            if m.column_stride == 1 {
                pack_across::<WIDTH>(m, packed);
            } else {
                pack_along::<WIDTH>(m, packed);
            }
        }
    };
    if parallel {
        packed[..len].par_chunks_mut(panel).enumerate().for_each(work);
    } else {
        packed[..len].chunks_mut(panel).enumerate().for_each(work);
    }
}

/// One panel of a matrix whose rows are contiguous.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_across<const WIDTH: usize>(m: Matrix<'_>, packed: &mut [Pair]) {
    for (pair, packed) in packed.chunks_exact_mut(WIDTH).enumerate() {
        for start in (0..WIDTH).step_by(16) {
            let lanes = (m.columns.saturating_sub(start)).min(16);
            let kept = mask(lanes);
            let load = |row: usize| {
                if row < m.rows {
                    let at = row * m.row_stride + start;
                    // SAFETY: masked lanes are not touched.
                    unsafe { _mm512_maskz_loadu_ps(kept, m.data.as_ptr().wrapping_add(at)) }
                } else {
                    _mm512_setzero_ps()
                }
            };
            let low = _mm512_cvtepu16_epi32(bits(_mm512_cvtneps_pbh(load(2 * pair))));
            let high = _mm512_cvtepu16_epi32(bits(_mm512_cvtneps_pbh(load(2 * pair + 1))));
            let both = _mm512_or_si512(low, _mm512_slli_epi32::<16>(high));
            let room = mask((WIDTH - start).min(16));
            unsafe { _mm512_mask_storeu_epi32(packed.as_mut_ptr().wrapping_add(start).cast(), room, both) };
        }
    }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn bits(x: __m256bh) -> __m256i {
    // SAFETY: both are 256 bits.
    unsafe { std::mem::transmute(x) }
}

/// One panel of a matrix whose columns are contiguous: 16 pairs of 16 columns at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack_along<const WIDTH: usize>(m: Matrix<'_>, packed: &mut [Pair]) {
    let pairs = packed.len() / WIDTH;
    for column in (0..WIDTH).step_by(16) {
        let width = mask((WIDTH - column).min(16));
        for pair in (0..pairs).step_by(16) {
            let first = 2 * pair;
            let low = mask(m.rows.saturating_sub(first).min(16));
            let high = mask(m.rows.saturating_sub(first + 16).min(16));
            let mut block = [_mm512_setzero_si512(); 16];
            for (i, block) in block.iter_mut().enumerate() {
                if column + i < m.columns {
                    let at = m
                        .data
                        .as_ptr()
                        .wrapping_add((column + i) * m.column_stride + first);
                    // SAFETY: masked lanes are not touched; both types are 512 bits.
                    unsafe {
                        let (low, high) = (
                            _mm512_maskz_loadu_ps(low, at),
                            _mm512_maskz_loadu_ps(high, at.wrapping_add(16)),
                        );
                        *block = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                    }
                }
            }
            let block = transpose(block);
            for (i, pairs) in block.into_iter().enumerate().take(pairs - pair) {
                let at = packed.as_mut_ptr().wrapping_add((pair + i) * WIDTH + column);
                // SAFETY: masked lanes are not touched.
                unsafe { _mm512_mask_storeu_epi32(at.cast(), width, pairs) };
            }
        }
    }
}

/// 16 rows of 16 numbers to 16 columns: pairs of rows, then of pairs, then lanes of 128 bits.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
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

/// A block of left panels with all right panels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn multiply_block(left: &[Pair], right: &[Pair], pairs: usize, out: Out, mode: Output) {
    let cuts = pairs.div_ceil(MOST_PAIRS).max(1);
    let cut = pairs.div_ceil(cuts);
    for first in (0..pairs).step_by(cut) {
        let count = cut.min(pairs - first);
        let add = mode == Output::Add || first > 0;
        for column in (0..out.columns).step_by(COLUMNS) {
            let right = unsafe { right.as_ptr().add(column * pairs + first * COLUMNS) };
            for row in (0..out.rows).step_by(ROWS) {
                let left = unsafe { left.as_ptr().add(row * pairs + first * ROWS) };
                let tile = Out {
                    start: unsafe { out.at(row, column) },
                    rows: ROWS.min(out.rows - row),
                    columns: COLUMNS.min(out.columns - column),
                    ..out
                };
                unsafe { multiply_tile(left, right, count, tile, add) };
            }
        }
    }
}

/// A left and a right panel: one tile of the output, which stays in registers. Loops with constant bounds and indices only:
/// anything else makes the compiler keep the tile in memory.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn multiply_tile(left: *const Pair, right: *const Pair, pairs: usize, out: Out, add: bool) {
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
    let scale = _mm512_set1_ps(out.scale);
    let masks = [mask(out.columns.min(16)), mask(out.columns.saturating_sub(16))];
    for row in 0..ROWS {
        if row < out.rows {
            // SAFETY: masked lanes are not touched.
            unsafe {
                let at = out.at(row, 0);
                store(at, masks[0], first[row], scale, add);
                store(at.wrapping_add(16), masks[1], second[row], scale, add);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store(at: *mut f32, mask: __mmask16, sum: __m512, scale: __m512, add: bool) {
    // SAFETY: masked lanes are not touched.
    unsafe {
        let before = if add {
            _mm512_maskz_loadu_ps(mask, at)
        } else {
            _mm512_setzero_ps()
        };
        _mm512_mask_storeu_ps(at, mask, _mm512_fmadd_ps(sum, scale, before));
    }
}

/// The first `lanes` of 16.
fn mask(lanes: usize) -> __mmask16 {
    ((1u32 << lanes) - 1) as __mmask16
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn as_pairs(x: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits.
    unsafe { std::mem::transmute(x) }
}
