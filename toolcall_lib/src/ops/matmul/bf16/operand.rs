//! Weights as the right factor of a product with few rows.

use super::bf12::{Bf12, VECTORS};
use super::load::{LANES, as_pairs};
use super::unpack::Stored;
use crate::weights::bf12::Other;
use half::bf16;
use std::arch::x86_64::*;
use std::array::from_fn;

/// Weights that become bf16 in registers.
pub trait Operand: Copy {
    /// Returns the bytes of a row of some vectors.
    fn row(vectors: usize) -> usize;

    /// Returns the weights of an output that are 0 in its row.
    #[inline]
    fn others(&self, _output: usize) -> &[Other] {
        &[]
    }

    /// Adds the products of `R` rows `x`, `[R, stride]`, and `O` rows of weights, to sums whose
    /// lanes belong together.
    ///
    /// # Safety
    /// The processor has AVX-512 BF16, and there are as many rows of whole vectors.
    unsafe fn add_products<const R: usize, const O: usize>(
        self,
        sums: &mut [[__m512; O]; R],
        x: *const bf16,
        w: *const u8,
        stride: usize,
    );
}

impl<T: Stored> Operand for T {
    #[inline]
    fn row(vectors: usize) -> usize {
        vectors * T::BYTES
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn add_products<const R: usize, const O: usize>(
        self,
        sums: &mut [[__m512; O]; R],
        x: *const bf16,
        w: *const u8,
        stride: usize,
    ) {
        let vectors = stride / LANES;
        for i in 0..vectors {
            // SAFETY: the caller upholds the contract.
            unsafe {
                let w: [_; O] = from_fn(|o| T::load(w.add((o * vectors + i) * T::BYTES)));
                multiply(sums, x.add(i * LANES), w, stride);
            }
        }
    }
}

impl Operand for Bf12<'_> {
    #[inline]
    fn row(vectors: usize) -> usize {
        Self::row(vectors)
    }

    #[inline]
    fn others(&self, output: usize) -> &[Other] {
        self.exponents.others(output)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn add_products<const R: usize, const O: usize>(
        self,
        sums: &mut [[__m512; O]; R],
        x: *const bf16,
        w: *const u8,
        stride: usize,
    ) {
        let (vectors, blocks) = (stride / LANES, stride / LANES / VECTORS);
        let row = Self::row(vectors);
        // SAFETY: the caller upholds the contract.
        unsafe {
            for block in 0..blocks {
                for o in 0..O {
                    let loaded = self.load(Self::block(w.add(o * row), block));
                    for (v, w) in loaded.into_iter().enumerate() {
                        let x = x.add((block * VECTORS + v) * LANES);
                        for (r, sums) in sums.iter_mut().enumerate() {
                            sums[o] = product(sums[o], x.add(r * stride), w);
                        }
                    }
                }
            }
            for v in blocks * VECTORS..vectors {
                let w = from_fn(|o| Self::plain(w.add(o * row), v));
                multiply(sums, x.add(v * LANES), w, stride);
            }
        }
    }
}

/// Adds the products of a vector of each row of `x` and the same vector of each row of weights.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn multiply<const R: usize, const O: usize>(
    sums: &mut [[__m512; O]; R],
    x: *const bf16,
    w: [__m512i; O],
    stride: usize,
) {
    for (r, sums) in sums.iter_mut().enumerate() {
        for (sum, w) in sums.iter_mut().zip(w) {
            // SAFETY: each row has the vector.
            *sum = unsafe { product(*sum, x.add(r * stride), w) };
        }
    }
}

/// Adds the products of 32 elements of `x` with a vector of weights.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn product(sum: __m512, x: *const bf16, w: __m512i) -> __m512 {
    // SAFETY: the caller provides the elements.
    let x = unsafe { _mm512_loadu_si512(x.cast()) };
    _mm512_dpbf16_ps(sum, as_pairs(x), as_pairs(w))
}
