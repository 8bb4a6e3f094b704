//! Packed elements become f32 in the registers of AVX2, 32 at a time.

use candle_core::quantized::GgmlDType;
use std::arch::x86_64::*;

/// Elements that become f32 at a time: a block of the quantized types.
pub(crate) const LANES: usize = 32;

/// A type of packed elements.
pub(crate) trait Stored {
    /// Bytes of 32 elements.
    const BYTES: usize;

    /// Returns 32 elements in order.
    ///
    /// # Safety
    /// The processor has AVX2, FMA and F16C, and `BYTES` bytes can be read.
    unsafe fn load(at: *const u8) -> [__m256; 4];
}

/// Half of f32: its sign, its exponent and 7 bits of its mantissa.
pub(crate) struct Bf16;

impl Stored for Bf16 {
    const BYTES: usize = 64;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(at: *const u8) -> [__m256; 4] {
        std::array::from_fn(|i| {
            // SAFETY: the caller upholds the contract.
            let bits = unsafe { _mm256_cvtepu16_epi32(_mm_loadu_si128(at.add(16 * i).cast())) };
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
        })
    }
}

/// Half precision.
pub(crate) struct F16;

impl Stored for F16 {
    const BYTES: usize = 64;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(at: *const u8) -> [__m256; 4] {
        // SAFETY: the caller upholds the contract.
        std::array::from_fn(|i| unsafe { _mm256_cvtph_ps(_mm_loadu_si128(at.add(16 * i).cast())) })
    }
}

/// GGML's Q8_0: an f16 scale and 32 signed bytes.
pub(crate) struct Q8_0;

impl Stored for Q8_0 {
    const BYTES: usize = 34;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(at: *const u8) -> [__m256; 4] {
        // SAFETY: the caller upholds the contract.
        let d = unsafe { scale(at) };
        std::array::from_fn(|i| {
            // SAFETY: as above.
            let q = unsafe { _mm256_cvtepi8_epi32(_mm_loadl_epi64(at.add(2 + 8 * i).cast())) };
            _mm256_mul_ps(d, _mm256_cvtepi32_ps(q))
        })
    }
}

/// GGML's Q4_0: an f16 scale and 32 four-bit numbers, which stand for -8 to 7.
pub(crate) struct Q4_0;

impl Stored for Q4_0 {
    const BYTES: usize = 18;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(at: *const u8) -> [__m256; 4] {
        // SAFETY: the caller upholds the contract.
        let (d, q) = unsafe { (scale(at), half_bytes(at.add(2))) };
        q.map(|q| _mm256_mul_ps(d, _mm256_sub_ps(q, _mm256_set1_ps(8.0))))
    }
}

/// GGML's Q4_1: an f16 scale, an f16 minimum, and 32 four-bit numbers, which stand for 0 to 15.
pub(crate) struct Q4_1;

impl Stored for Q4_1 {
    const BYTES: usize = 20;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(at: *const u8) -> [__m256; 4] {
        // SAFETY: the caller upholds the contract.
        let (d, m, q) = unsafe { (scale(at), scale(at.add(2)), half_bytes(at.add(4))) };
        q.map(|q| _mm256_add_ps(_mm256_mul_ps(d, q), m))
    }
}

/// Loads an f16 and returns it as f32 in all lanes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn scale(at: *const u8) -> __m256 {
    // SAFETY: the caller provides 2 bytes.
    let bits = unsafe { at.cast::<i16>().read_unaligned() };
    _mm256_cvtph_ps(_mm_set1_epi16(bits))
}

/// Returns 32 four-bit numbers: the low halves of 16 bytes, then the high halves.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn half_bytes(at: *const u8) -> [__m256; 4] {
    let low = _mm_set1_epi8(15);
    // SAFETY: the caller provides 16 bytes.
    let bytes = unsafe { _mm_loadu_si128(at.cast()) };
    let (first, second) = (
        _mm_and_si128(bytes, low),
        _mm_and_si128(_mm_srli_epi16::<4>(bytes), low),
    );
    let eight = |bytes: __m128i| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
    [
        eight(first),
        eight(_mm_srli_si128::<8>(first)),
        eight(second),
        eight(_mm_srli_si128::<8>(second)),
    ]
}

/// Unpacks whole blocks of 32. Returns false, and does nothing, for the types that have no
/// conversion here.
///
/// # Safety
/// The processor has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn unpack(dtype: GgmlDType, bytes: &[u8], values: &mut [f32]) -> bool {
    if !values.len().is_multiple_of(LANES) {
        return false;
    }
    // SAFETY: the processor has the instructions.
    unsafe {
        match dtype {
            GgmlDType::BF16 => unpack_blocks::<Bf16>(bytes, values),
            GgmlDType::F16 => unpack_blocks::<F16>(bytes, values),
            GgmlDType::Q8_0 => unpack_blocks::<Q8_0>(bytes, values),
            GgmlDType::Q4_0 => unpack_blocks::<Q4_0>(bytes, values),
            GgmlDType::Q4_1 => unpack_blocks::<Q4_1>(bytes, values),
            _ => return false,
        }
    }
    true
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn unpack_blocks<T: Stored>(bytes: &[u8], values: &mut [f32]) {
    let blocks = bytes.chunks_exact(T::BYTES);
    for (block, values) in blocks.zip(values.as_chunks_mut::<LANES>().0) {
        // SAFETY: the block has the bytes, and there is room for 32 values.
        unsafe {
            for (i, eight) in T::load(block.as_ptr()).into_iter().enumerate() {
                _mm256_storeu_ps(values.as_mut_ptr().add(8 * i), eight);
            }
        }
    }
}
