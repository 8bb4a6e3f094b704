//! bf16 weights in 12 bits, as registers of bf16.

use super::load::LANES;
use crate::weights::bf12::ExponentsOfRows;
use half::bf16;
use std::arch::x86_64::*;

/// Bytes of a cache line, which is also a register.
const LINE: usize = 64;

/// Bytes of a block.
const BYTES: usize = 3 * LINE;

/// Vectors of a block.
pub const VECTORS: usize = 4;

/// Blocks of a matrix with these exponents; [`crate::weights::bf12`] describes them.
#[derive(Clone, Copy)]
pub struct Bf12<'a> {
    /// Sign and exponent of a bf16, by its sign and its place in the table.
    table: __m512i,
    pub exponents: ExponentsOfRows<'a>,
}

impl<'a> Bf12<'a> {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub unsafe fn new(exponents: ExponentsOfRows<'a>) -> Self {
        let bits = |i: usize| (i as u16 >> 4) << 15 | u16::from(exponents.table[i & 15]) << 7;
        let table: [u16; LANES] = std::array::from_fn(bits);
        // SAFETY: both have 512 bits.
        let table = unsafe { _mm512_loadu_si512(table.as_ptr().cast()) };
        Self { table, exponents }
    }

    /// Returns the bytes of a row of some vectors.
    #[inline]
    pub fn row(vectors: usize) -> usize {
        vectors / VECTORS * BYTES + vectors % VECTORS * LINE
    }

    /// Returns the address of a block of a row.
    #[inline]
    pub fn block(row: *const u8, block: usize) -> *const u8 {
        row.wrapping_add(block * BYTES)
    }

    /// Loads a block as four vectors of bf16.
    ///
    /// # Safety
    /// The processor has AVX-512 BF16, and the bytes can be read.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub unsafe fn load(self, at: *const u8) -> [__m512i; VECTORS] {
        // Bits of `b` where `mask` is set, bits of `a` elsewhere.
        const SELECT: i32 = 0xd8;
        // Bits of `a`, and those of `b` where `mask` is set.
        const ADD: i32 = 0xf8;
        let mantissa = _mm512_set1_epi16(0x7f);
        // `index` has the sign and the place in its last five bits, which are all that is read.
        let join = |index: __m512i, rest: __m512i| {
            let upper = _mm512_permutexvar_epi16(index, self.table);
            _mm512_ternarylogic_epi64::<ADD>(upper, rest, mantissa)
        };
        // SAFETY: the caller upholds the contract.
        let [a, b, c] = std::array::from_fn(|v| unsafe { _mm512_loadu_si512(at.add(LINE * v).cast()) });
        let own = |word: __m512i| join(_mm512_srli_epi16::<11>(word), word);
        // The fourth vector is in bits 7 to 10 of the other three.
        let (place, sign) = (_mm512_srli_epi16::<7>(a), _mm512_srli_epi16::<6>(c));
        let index = _mm512_ternarylogic_epi64::<SELECT>(place, sign, _mm512_set1_epi16(0x10));
        let (upper, lower) = (_mm512_srli_epi16::<4>(b), _mm512_srli_epi16::<7>(c));
        let rest = _mm512_ternarylogic_epi64::<SELECT>(upper, lower, _mm512_set1_epi16(0x07));
        [own(a), own(b), own(c), join(index, rest)]
    }

    /// Loads vector `v` of a row, one of those after the last block.
    ///
    /// # Safety
    /// The processor has AVX-512, and the row has the vector.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub unsafe fn plain(row: *const u8, v: usize) -> __m512i {
        let rest = Self::block(row, v / VECTORS);
        // SAFETY: the caller upholds the contract.
        unsafe { _mm512_loadu_si512(rest.add(v % VECTORS * LINE).cast()) }
    }

    /// Unpacks a row of some vectors.
    ///
    /// # Safety
    /// The processor has AVX-512 BF16, `row` has the vectors, and `to` has room for them.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    pub unsafe fn unpack(self, row: *const u8, vectors: usize, to: *mut bf16) {
        let blocks = vectors / VECTORS;
        // SAFETY: the row has the vectors, and `to` has room for them.
        unsafe {
            let put = |v: usize, vector: __m512i| _mm512_storeu_si512(to.add(v * LANES).cast(), vector);
            for block in 0..blocks {
                let loaded = self.load(Self::block(row, block));
                for (i, vector) in loaded.into_iter().enumerate() {
                    put(block * VECTORS + i, vector);
                }
            }
            (blocks * VECTORS..vectors).for_each(|v| put(v, Self::plain(row, v)));
        }
    }
}
