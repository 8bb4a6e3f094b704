//! bf16 weights in 12 bits become bf16 in the registers of AVX-512.

use super::bf12::{self, ExponentsOfRows, LANES};
use half::bf16;
use std::arch::x86_64::*;

/// Bytes of a register.
const REGISTER: usize = 64;

/// Vectors of 32 elements in a block.
pub(crate) const VECTORS: usize = bf12::BLOCK / LANES;

/// Unpacks blocks to bf16 in registers. [`bf12`] describes their layout.
#[derive(Clone, Copy)]
pub(crate) struct Bf12<'a> {
    /// Upper 9 bits of a bf16 (sign, exponent) for each 5-bit index (sign, index in the table).
    table: __m512i,
    pub exponents: ExponentsOfRows<'a>,
}

impl<'a> Bf12<'a> {
    /// Spreads the table over a register.
    ///
    /// # Safety
    /// The processor has AVX-512.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub unsafe fn new(exponents: ExponentsOfRows<'a>) -> Self {
        let bits = |i: usize| (i as u16 >> 4) << 15 | u16::from(exponents.table[i & 15]) << 7;
        let table: [u16; LANES] = std::array::from_fn(bits);
        // SAFETY: both have 512 bits.
        let table = unsafe { _mm512_loadu_si512(table.as_ptr().cast()) };
        Self { table, exponents }
    }

    /// Returns the address of a block of a row.
    #[inline]
    pub fn block(row: *const u8, block: usize) -> *const u8 {
        row.wrapping_add(block * bf12::BLOCK_BYTES)
    }

    /// Loads a block as four vectors of bf16.
    ///
    /// # Safety
    /// The processor has AVX-512 BF16, and a block can be read at `at`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub unsafe fn load(self, at: *const u8) -> [__m512i; VECTORS] {
        // Truth tables of `_mm512_ternarylogic(x, y, mask)`: `mask ? y : x` and `x | (y & mask)`.
        const SELECT: i32 = 0xd8;
        const OR_MASKED: i32 = 0xf8;
        let mantissa = _mm512_set1_epi16(0x7f);
        // Only the last five bits of `index` are read: the sign and the index in the table.
        let join = |index: __m512i, low: __m512i| {
            let upper = _mm512_permutexvar_epi16(index, self.table);
            _mm512_ternarylogic_epi64::<OR_MASKED>(upper, low, mantissa)
        };
        // SAFETY: the caller upholds the contract.
        let [a, b, c] = std::array::from_fn(|v| unsafe { _mm512_loadu_si512(at.add(REGISTER * v).cast()) });
        let own = |word: __m512i| join(_mm512_srli_epi16::<11>(word), word);
        // The fourth vector is in bits 7 to 10 of the other three.
        let (index, sign) = (_mm512_srli_epi16::<7>(a), _mm512_srli_epi16::<6>(c));
        let index = _mm512_ternarylogic_epi64::<SELECT>(index, sign, _mm512_set1_epi16(0x10));
        let (upper, lower) = (_mm512_srli_epi16::<4>(b), _mm512_srli_epi16::<7>(c));
        let low = _mm512_ternarylogic_epi64::<SELECT>(upper, lower, _mm512_set1_epi16(0x07));
        [own(a), own(b), own(c), join(index, low)]
    }

    /// Loads vector `v` of a row, which lies in its tail.
    ///
    /// # Safety
    /// The processor has AVX-512, and the row has the vector.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub unsafe fn load_tail(row: *const u8, v: usize) -> __m512i {
        let tail = Self::block(row, v / VECTORS);
        // SAFETY: the caller upholds the contract.
        unsafe { _mm512_loadu_si512(tail.add(v % VECTORS * REGISTER).cast()) }
    }

    /// Unpacks a row of some vectors.
    ///
    /// # Safety
    /// The processor has AVX-512 BF16, `row` has the vectors, and `to` has room for them.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub unsafe fn unpack(self, row: *const u8, vectors: usize, to: *mut bf16) {
        // SAFETY: `to` has room for all vectors.
        let put = |v: usize, vector| unsafe { _mm512_storeu_si512(to.add(v * LANES).cast(), vector) };
        // SAFETY: the caller upholds the contract.
        unsafe { self.for_each(row, vectors, put) };
    }

    /// Unpacks a row, which fills `values`, as f32.
    ///
    /// # Safety
    /// The processor has AVX-512 BF16, and `row` has as many elements in whole vectors.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub unsafe fn unpack_f32(self, row: *const u8, values: &mut [f32]) {
        let to = values.as_mut_ptr();
        let put = |v: usize, vector: __m512i| {
            let halves = [
                _mm512_castsi512_si256(vector),
                _mm512_extracti64x4_epi64::<1>(vector),
            ];
            for (i, half) in halves.into_iter().enumerate() {
                let wide = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half));
                // SAFETY: `values` has room for all vectors.
                unsafe { _mm512_storeu_si512(to.add(v * LANES + i * LANES / 2).cast(), wide) };
            }
        };
        // SAFETY: the caller upholds the contract.
        unsafe { self.for_each(row, values.len() / LANES, put) };
    }

    /// Calls `put(index, vector)` for each vector of a row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn for_each(self, row: *const u8, vectors: usize, put: impl Fn(usize, __m512i)) {
        let blocks = vectors / VECTORS;
        // SAFETY: the caller upholds the contract.
        unsafe {
            for block in 0..blocks {
                let loaded = self.load(Self::block(row, block));
                for (i, vector) in loaded.into_iter().enumerate() {
                    put(block * VECTORS + i, vector);
                }
            }
            (blocks * VECTORS..vectors).for_each(|v| put(v, Self::load_tail(row, v)));
        }
    }
}
