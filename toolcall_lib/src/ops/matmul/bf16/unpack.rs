//! Unpacking: rows of packed weights as rows of bf16.
//!
//! A type implements [`Stored`] to say how 32 of its elements become a vector of bf16. Types
//! without an implementation are unpacked by way of f32.

use super::super::prefetch::{L2, prefetch};
use super::AHEAD;
use super::load::LANES;
use crate::weights::avx512::Bf12;
use crate::weights::{Form, Part, Tensor, unpack as unpack_f32};
use candle_core::quantized::GgmlDType;
use half::bf16;
use std::arch::x86_64::*;
use std::ops::Range;

/// Unpacks `rows` of `w` to `to`, where rows begin `stride` elements apart. Fills the gaps between
/// rows with zeros.
///
/// # Safety
/// The processor has AVX-512 BF16, and there is room for the rows and for a multiple of 32 elements
/// in each.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn unpack(w: Tensor<'_>, rows: Range<usize>, to: *mut bf16, stride: usize) {
    let mut to = to;
    for part in w.parts(rows) {
        // SAFETY: the caller upholds the contract.
        unsafe {
            unpack_rows(part, w.columns(), to, stride);
            to = to.add(part.rows * stride);
        }
    }
}

/// Unpacks the rows of one part.
///
/// # Safety
/// See [`unpack`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub unsafe fn unpack_rows(part: Part<'_>, columns: usize, to: *mut bf16, stride: usize) {
    let rows = part.bytes.chunks_exact(part.bytes.len() / part.rows);
    // SAFETY: the caller upholds the contract.
    unsafe {
        match part.form {
            Form::Bf12 { exponents, .. } => {
                let bf12 = Bf12::new(exponents);
                for (i, row) in rows.enumerate() {
                    let to = to.add(i * stride);
                    prefetch::<L2>(row, AHEAD);
                    bf12.unpack(row.as_ptr(), columns / LANES, to);
                    for other in exponents.others(i) {
                        to.add(other.column as usize).write(other.value);
                    }
                    to.add(columns).write_bytes(0, stride - columns);
                }
            }
            Form::Ggml(dtype) => {
                for (i, row) in rows.enumerate() {
                    let to = to.add(i * stride);
                    prefetch::<L2>(row, AHEAD);
                    match dtype {
                        GgmlDType::BF16 => unpack_row::<Bf16>(row, to),
                        GgmlDType::F16 => unpack_row::<F16>(row, to),
                        GgmlDType::F32 => unpack_row::<F32>(row, to),
                        GgmlDType::Q8_0 => unpack_row::<Q8_0>(row, to),
                        GgmlDType::Q4_0 => unpack_row::<Q4_0>(row, to),
                        GgmlDType::Q4_1 => unpack_row::<Q4_1>(row, to),
                        _ => any(dtype, row, columns, to),
                    }
                    to.add(columns).write_bytes(0, stride - columns);
                }
            }
        }
    }
}

/// Unpacks one row, vector by vector; the last vector may be short.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn unpack_row<T: Stored>(row: &[u8], to: *mut bf16) {
    let whole = row.len() / T::BYTES;
    // SAFETY: the row holds `whole` vectors and a rest, and there is room for a multiple of 32
    // elements.
    unsafe {
        for i in 0..whole {
            _mm512_storeu_si512(to.add(LANES * i).cast(), T::load(row.as_ptr().add(i * T::BYTES)));
        }
        let rest = &row[whole * T::BYTES..];
        if !rest.is_empty() {
            let mut block = [0u8; 4 * LANES]; // as large as 32 elements of the widest type
            block[..rest.len()].copy_from_slice(rest);
            _mm512_storeu_si512(to.add(LANES * whole).cast(), T::load(block.as_ptr()));
        }
    }
}

/// A storage type of weights that can be read as vectors of 32 bf16.
pub trait Stored: Copy {
    /// Size of 32 elements in bytes.
    const BYTES: usize;

    /// Loads 32 elements as bf16.
    ///
    /// # Safety
    /// The processor has AVX-512 BF16, and the bytes can be read.
    unsafe fn load(at: *const u8) -> __m512i;
}

/// bf16, loaded as it is.
#[derive(Clone, Copy)]
pub struct Bf16;

impl Stored for Bf16 {
    const BYTES: usize = 64;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn load(at: *const u8) -> __m512i {
        // SAFETY: the caller upholds the contract.
        unsafe { _mm512_loadu_si512(at.cast()) }
    }
}

/// Half precision (f16). Its last three mantissa bits are rounded away.
#[derive(Clone, Copy)]
pub struct F16;

impl Stored for F16 {
    const BYTES: usize = 64;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn load(at: *const u8) -> __m512i {
        // SAFETY: the caller upholds the contract.
        let half = |at: *const u8| unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())) };
        to_bf16(half(at), half(at.wrapping_add(32)))
    }
}

/// Single precision (f32), rounded to the nearest bf16.
#[derive(Clone, Copy)]
pub struct F32;

impl Stored for F32 {
    const BYTES: usize = 128;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn load(at: *const u8) -> __m512i {
        // SAFETY: the caller upholds the contract.
        let half = |at: *const u8| unsafe { _mm512_loadu_ps(at.cast()) };
        to_bf16(half(at), half(at.wrapping_add(64)))
    }
}

/// GGML's Q8_0: an f16 scale and 32 signed bytes.
#[derive(Clone, Copy)]
pub struct Q8_0;

impl Stored for Q8_0 {
    const BYTES: usize = 34;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn load(at: *const u8) -> __m512i {
        // SAFETY: the caller upholds the contract.
        unsafe {
            let d = broadcast(at);
            let half = |bytes: *const u8| {
                let q = _mm512_cvtepi8_epi32(_mm_loadu_si128(bytes.cast()));
                _mm512_mul_ps(_mm512_cvtepi32_ps(q), d)
            };
            to_bf16(half(at.add(2)), half(at.add(18)))
        }
    }
}

/// GGML's Q4_0: an f16 scale and 32 four-bit numbers, which stand for -8 to 7.
#[derive(Clone, Copy)]
pub struct Q4_0;

impl Stored for Q4_0 {
    const BYTES: usize = 18;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn load(at: *const u8) -> __m512i {
        // SAFETY: the caller upholds the contract.
        unsafe {
            let values = _mm512_mul_ps(_mm512_sub_ps(sixteen(), _mm512_set1_ps(8.0)), broadcast(at));
            half_bytes(at.add(2), values)
        }
    }
}

/// GGML's Q4_1: an f16 scale, an f16 minimum, and 32 four-bit numbers, which stand for 0 to 15.
#[derive(Clone, Copy)]
pub struct Q4_1;

impl Stored for Q4_1 {
    const BYTES: usize = 20;

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn load(at: *const u8) -> __m512i {
        // SAFETY: the caller upholds the contract.
        unsafe {
            let values = _mm512_fmadd_ps(sixteen(), broadcast(at), broadcast(at.add(2)));
            half_bytes(at.add(4), values)
        }
    }
}

/// Returns the numbers 0 to 15.
#[inline]
#[target_feature(enable = "avx512f")]
fn sixteen() -> __m512 {
    _mm512_setr_ps(
        0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
    )
}

/// Looks up 32 four-bit numbers in `values`: the low halves of 16 bytes, then the high halves.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn half_bytes(at: *const u8, values: __m512) -> __m512i {
    let shifts = _mm512_inserti64x4::<1>(_mm512_setzero_si512(), _mm256_set1_epi16(4));
    // The 16 values, twice: an index has 5 bits, of which the highest comes from the other half
    // byte.
    let table = to_bf16(values, values);
    // SAFETY: the caller provides 16 bytes.
    let bytes = unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(at.cast())) };
    let indices = _mm512_srlv_epi16(_mm512_cvtepu8_epi16(bytes), shifts);
    _mm512_permutexvar_epi16(indices, table)
}

/// Unpacks a row of any type by way of f32.
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

/// Loads an f16 and returns it as f32 in all lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn broadcast(at: *const u8) -> __m512 {
    // SAFETY: the caller provides two bytes.
    let scale = unsafe { at.cast::<i16>().read_unaligned() };
    _mm512_cvtph_ps(_mm256_set1_epi16(scale))
}

/// Rounds two vectors of f32 to one vector of 32 bf16.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn to_bf16(low: __m512, high: __m512) -> __m512i {
    // SAFETY: both types have 512 bits.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(high, low)) }
}
