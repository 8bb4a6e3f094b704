//! Weights as the right factor of a product with few rows.

use super::load::{LANES, as_pairs};
use super::unpack::Stored;
use crate::weights::avx512::{Bf12, VECTORS};
use crate::weights::bf12::{self, Other};
use half::bf16;
use std::arch::x86_64::*;
use std::array::from_fn;

/// Weights that become bf16 in registers.
pub trait Operand: Copy {
    /// Returns the length in bytes of a row of `vectors` vectors.
    fn row_bytes(vectors: usize) -> usize;

    /// Returns the weights of an output (a row of `w`) that its blocks store as 0, because their
    /// exponents are not in the table.
    #[inline]
    fn others(&self, _output: usize) -> &[Other] {
        &[]
    }

    /// Adds `x · wᵀ` to `sums`, for `R` rows of `x` and `O` rows of `w`. The 16 lanes of
    /// `sums[r][o]` are partial sums. Leaves out [`Operand::others`]. A row of `x` has `stride`
    /// elements, whole vectors of 32.
    ///
    /// # Safety
    /// The processor has AVX-512 BF16, `x` has `R` rows, and `w` has `O` rows.
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
    fn row_bytes(vectors: usize) -> usize {
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
    fn row_bytes(vectors: usize) -> usize {
        bf12::row_bytes(vectors * LANES)
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
        let row_bytes = Self::row_bytes(vectors);
        // SAFETY: the caller upholds the contract.
        unsafe {
            for block in 0..blocks {
                for o in 0..O {
                    let loaded = self.load(Self::block(w.add(o * row_bytes), block));
                    for (v, w_vector) in loaded.into_iter().enumerate() {
                        let x_vector = x.add((block * VECTORS + v) * LANES);
                        for (r, sums) in sums.iter_mut().enumerate() {
                            sums[o] = product(sums[o], x_vector.add(r * stride), w_vector);
                        }
                    }
                }
            }
            for v in blocks * VECTORS..vectors {
                let w = from_fn(|o| Self::load_tail(w.add(o * row_bytes), v));
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
