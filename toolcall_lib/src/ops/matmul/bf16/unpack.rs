//! Packed weights as rows of bf16.

use super::pack::mask;
use crate::weights::{Part, Tensor, unpack as unpack_f32};
use candle_core::quantized::GgmlDType;
use half::bf16;
use std::arch::x86_64::*;
use std::ops::Range;

/// Bytes between what is unpacked and what is prefetched.
const AHEAD: usize = 4096;

/// Unpacks these rows to `to`, `stride` elements apart; between the end of a row and the next are zeros.
///
/// # Safety
/// The processor has AVX-512 BF16, and there is room for the rows and a multiple of 32 elements each.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn unpack(w: Tensor<'_>, rows: Range<usize>, to: *mut bf16, stride: usize) {
    let mut to = to;
    for part in w.parts(rows) {
        // SAFETY: the caller's.
        unsafe {
            unpack_rows(part, w.columns(), to, stride);
            to = to.add(part.rows * stride);
        }
    }
}

/// The rows of one part.
///
/// # Safety
/// As [`unpack`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn unpack_rows(part: Part<'_>, columns: usize, to: *mut bf16, stride: usize) {
    let bytes = part.bytes.len() / part.rows;
    for (i, row) in part.bytes.chunks_exact(bytes).enumerate() {
        // SAFETY: the caller's.
        unsafe {
            let to = to.add(i * stride);
            prefetch(row);
            match part.dtype {
                GgmlDType::BF16 => to.cast::<u8>().copy_from_nonoverlapping(row.as_ptr(), row.len()),
                GgmlDType::F32 => f32(row.as_ptr().cast(), columns, to),
                GgmlDType::Q8_0 => q8_0(row, to),
                GgmlDType::Q4_0 => q4::<18>(row, to),
                GgmlDType::Q4_1 => q4::<20>(row, to),
                _ => any(part.dtype, row, columns, to),
            }
            to.add(columns).write_bytes(0, stride - columns);
        }
    }
}

/// Asks for the bytes that come some rows later: the next block is wanted sooner than the processor guesses.
#[inline]
pub fn prefetch(row: &[u8]) {
    for line in row.chunks(64) {
        let at = line.as_ptr().wrapping_add(AHEAD);
        // SAFETY: a prefetch of memory that does not exist does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn f32(row: *const f32, columns: usize, to: *mut bf16) {
    for first in (0..columns).step_by(32) {
        let lanes = |at: usize| mask(columns.saturating_sub(at));
        // SAFETY: masked lanes are not touched; there is room for a multiple of 32 elements.
        unsafe {
            let half = |at: usize| _mm512_maskz_loadu_ps(lanes(at), row.wrapping_add(at));
            store(to.add(first), half(first), half(first + 16));
        }
    }
}

/// A scale and 32 signed bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn q8_0(row: &[u8], to: *mut bf16) {
    for (i, block) in row.as_chunks::<34>().0.iter().enumerate() {
        let at = block.as_ptr();
        // SAFETY: the block has 2 + 32 bytes, and the row has room for it.
        unsafe {
            let d = broadcast(at);
            let half = |bytes: *const u8| {
                let q = _mm512_cvtepi8_epi32(_mm_loadu_si128(bytes.cast()));
                _mm512_mul_ps(_mm512_cvtepi32_ps(q), d)
            };
            store(to.add(32 * i), half(at.add(2)), half(at.add(18)));
        }
    }
}

/// Half bytes: with 18 bytes a block, a scale and numbers from -8 on; with 20, a scale, the least value, and numbers from 0 on.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn q4<const BLOCK: usize>(row: &[u8], to: *mut bf16) {
    let numbers = _mm512_setr_ps(
        0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
    );
    let shifts = _mm512_inserti64x4::<1>(_mm512_setzero_si512(), _mm256_set1_epi16(4));
    for (i, block) in row.as_chunks::<BLOCK>().0.iter().enumerate() {
        let at = block.as_ptr();
        // SAFETY: the block has 16 bytes after scale and least value, and the row has room for it.
        unsafe {
            let d = broadcast(at);
            let values = match BLOCK {
                18 => _mm512_mul_ps(_mm512_sub_ps(numbers, _mm512_set1_ps(8.0)), d),
                _ => _mm512_fmadd_ps(numbers, d, broadcast(at.add(2))),
            };
            // The 16 values, twice: the index is 5 bits, of which the highest is that of the other half byte.
            let table = to_bf16(values, values);
            let bytes = _mm256_broadcastsi128_si256(_mm_loadu_si128(at.add(BLOCK - 16).cast()));
            let indices = _mm512_srlv_epi16(_mm512_cvtepu8_epi16(bytes), shifts);
            let values = _mm512_permutexvar_epi16(indices, table);
            _mm512_storeu_si512(to.add(32 * i).cast(), values);
        }
    }
}

/// By way of f32.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn any(dtype: GgmlDType, row: &[u8], columns: usize, to: *mut bf16) {
    crate::ops::with_scratch(columns, |values| {
        unpack_f32(dtype, row, values);
        for (i, value) in values.iter().enumerate() {
            // SAFETY: the row has room for it.
            unsafe { to.add(i).write(bf16::from_f32(*value)) };
        }
    });
}

/// An f16 as f32 in all lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn broadcast(at: *const u8) -> __m512 {
    // SAFETY: the caller's two bytes.
    let scale = unsafe { at.cast::<i16>().read_unaligned() };
    _mm512_cvtph_ps(_mm256_set1_epi16(scale))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn to_bf16(low: __m512, high: __m512) -> __m512i {
    // SAFETY: both types are 512 bits.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(high, low)) }
}

/// 32 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn store(to: *mut bf16, low: __m512, high: __m512) {
    // SAFETY: the caller has room for them.
    unsafe { _mm512_storeu_si512(to.cast(), to_bf16(low, high)) };
}
