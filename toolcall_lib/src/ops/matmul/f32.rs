//! Matrix products in f32, with the kernels of the `gemm` crate.

use super::{Matrix, Output};
#[cfg(target_arch = "x86_64")]
use crate::cpu::{Isa, isa};
use gemm::Parallelism;

/// Computes [`matmul_into`](super::matmul_into) in f32.
pub(super) fn matmul(
    out: &mut [f32],
    stride: usize,
    mode: Output,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    parallel: bool,
) {
    let parallelism = match parallel {
        true => Parallelism::Rayon(0),
        false => Parallelism::None,
    };
    // `gemm` always takes the best kernel of the processor. A lower one is called by its name. It
    // writes columns, so it computes outᵀ = bᵀ · aᵀ.
    #[cfg(target_arch = "x86_64")]
    macro_rules! multiply {
        ($kernels:ident, $lanes:literal, $simd:ident) => {{
            use gemm_common::simd::{MixedSimd, $simd};
            use gemm_f32::microkernel::$kernels::f32::{H_M, H_N, H_UKR, MR_DIV_N, NR, UKR};
            let simd = <$simd as MixedSimd<f32, f32, f32, f32>>::try_new();
            // SAFETY: `Matrix` and the caller's check keep every element within its slice.
            return unsafe {
                gemm_common::gemm::gemm_basic_generic::<
                    _,
                    f32,
                    $lanes,
                    { MR_DIV_N * $lanes },
                    NR,
                    MR_DIV_N,
                    H_M,
                    H_N,
                >(
                    simd.expect("`isa` has looked for these instructions"),
                    b.columns,
                    a.rows,
                    a.columns,
                    out.as_mut_ptr(),
                    stride as isize,
                    1,
                    mode == Output::Add,
                    b.data.as_ptr(),
                    b.row_stride as isize,
                    b.column_stride as isize,
                    a.data.as_ptr(),
                    a.row_stride as isize,
                    a.column_stride as isize,
                    1.0,
                    scale,
                    false, // no complex conjugates
                    false,
                    false,
                    |a, b, c| a * b + c,
                    &UKR,
                    &H_UKR,
                    false, // b need not be packed
                    parallelism,
                )
            };
        }};
    }
    #[cfg(target_arch = "x86_64")]
    match isa() {
        Isa::Portable => multiply!(scalar, 1, Scalar),
        Isa::Avx2 => multiply!(fma, 8, V3),
        Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => {}
    }
    // SAFETY: `Matrix` and the caller's check keep every element that is touched within its slice.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            stride as isize,
            mode == Output::Add,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false, // no complex conjugates
            false,
            false,
            parallelism,
        );
    }
}
