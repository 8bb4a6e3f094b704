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
    // Kernels write columns, so they compute outᵀ = bᵀ · aᵀ.
    macro_rules! call {
        ($function:expr, [$($first:expr),*], [$($last:expr),*]) => {
            // SAFETY: `Matrix` and the caller's check keep every element that is touched within its
            // slice.
            unsafe {
                $function(
                    $($first,)*
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
                    $($last,)*
                    parallelism,
                )
            }
        };
    }
    // `gemm` always takes the best kernel of the processor; a lower one is called by its name.
    #[cfg(target_arch = "x86_64")]
    macro_rules! call_lower {
        ($kernels:ident, $lanes:literal, $simd:ident) => {{
            use gemm_common::gemm::gemm_basic_generic;
            use gemm_common::simd::{MixedSimd, $simd};
            use gemm_f32::microkernel::$kernels::f32::{H_M, H_N, H_UKR, MR_DIV_N, NR, UKR};
            const MR: usize = MR_DIV_N * $lanes;
            if let Some(simd) = <$simd as MixedSimd<f32, f32, f32, f32>>::try_new() {
                let multiply_add = |a: f32, b: f32, c: f32| a * b + c;
                let pack_right = false;
                return call!(
                    gemm_basic_generic::<_, f32, $lanes, MR, NR, MR_DIV_N, H_M, H_N>,
                    [simd],
                    [multiply_add, &UKR, &H_UKR, pack_right]
                );
            }
        }};
    }
    #[cfg(target_arch = "x86_64")]
    match isa() {
        Isa::Portable => call_lower!(scalar, 1, Scalar),
        Isa::Avx2 => call_lower!(fma, 8, V3),
        Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => {}
    }
    call!(gemm::gemm, [], []);
}
