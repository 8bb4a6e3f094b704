//! Matrix products: f32 with the `gemm` crate, bf16 with our own kernels.
//!
//! A [`Matrix`] has strides, so a transpose costs no copy. [`matmul_into`] is the general product;
//! [`linear`](super::linear) chooses among it and `few`, which serves generation, where a weight
//! meets few rows and reading it is most of the work. [`Precision`] selects f32, bf16, or bf16 with
//! stochastically rounded weights; sums are f32 in any case.

#[cfg(target_arch = "x86_64")]
pub(super) mod bf16;
mod f32;
#[cfg(target_arch = "x86_64")]
pub mod avx2;
mod few;
mod matrix;
#[cfg(target_arch = "x86_64")]
mod prefetch;

pub(super) use few::{FEW, linear_few, multiply_row};
pub use matrix::{Matrix, Output};

use super::element::{Element, Stochastic, as_f32_mut};
use matrix::span;

/// Precision of the factors of a product. Sums are f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Factors as they are stored.
    #[default]
    F32,
    /// Factors rounded to bf16 if the processor multiplies bf16 (AMX, AVX-512 BF16), which is 2 to
    /// 10 times as fast; on other processors, factors as they are stored. Up to four rows that meet
    /// weights in Q8_0, Q4_0 or Q4_1 are rounded to 16 bits instead, and the weights are not.
    Bf16,
    /// Same as [`Precision::Bf16`], but f32 weights are rounded like
    /// [`Stochastic`](super::element::Stochastic), so that they follow updates that are too small
    /// to reach the next bf16.
    Bf16Stochastic,
}

/// Returns true if the processor multiplies bf16, so that [`Precision::Bf16`] has an effect.
pub fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return bf16::instructions().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Computes `out = scale · a · b` or `out += scale · a · b`. `a` is `[m, k]`, `b` is `[k, n]`, and
/// `out` is `[m, n]` with rows that begin `stride` elements apart. Uses all threads if `parallel`.
///
/// # Panics
/// The inner dimensions differ, or the output is too small.
#[allow(clippy::too_many_arguments)] // the arguments of every BLAS
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))] // the precision
pub fn matmul_into<O: Element, A: Element, B: Element>(
    out: &mut [O],
    stride: usize,
    mode: Output,
    scale: f32,
    a: Matrix<'_, A>,
    b: Matrix<'_, B>,
    precision: Precision,
    parallel: bool,
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(k, b.rows, "inner dimensions differ");
    assert!(
        n <= stride && out.len() >= span(m, n, stride, 1),
        "the output is too small"
    );
    // 1. bf16 kernels, if they are wanted and the processor has them.
    #[cfg(target_arch = "x86_64")]
    if precision != Precision::F32
        && k > 0
        && let Some(instructions) = bf16::instructions()
    {
        // SAFETY: the processor has the instructions, and the assertion above keeps the output
        // within its slice.
        return unsafe {
            bf16::matmul(
                instructions,
                out.as_mut_ptr(),
                stride,
                mode,
                scale,
                a,
                b,
                parallel,
            )
        };
    }
    // 2. f32 product, if all three are f32.
    if let (Some(out), Some(a), Some(b)) = (as_f32_mut(out), a.as_f32(), b.as_f32()) {
        return f32::matmul(out, stride, mode, scale, a, b, parallel);
    }
    // 3. f32 product of copies, if something is stored as bf16.
    let (a_values, b_values) = (a.values(), b.values());
    let (a, b) = (Matrix::new(&a_values, m, k), Matrix::new(&b_values, k, n));
    let mut product = vec![0.0; m * n];
    f32::matmul(&mut product, n, Output::Set, scale, a, b, parallel);
    for (out, product) in out.chunks_mut(stride).zip(product.chunks_exact(n.max(1))) {
        for (out, product) in out.iter_mut().zip(product) {
            let before = if mode == Output::Add { out.value() } else { 0.0 };
            *out = O::of(before + product);
        }
    }
}

/// Computes `y = x · w`, where `w` are weights: the factor that [`Precision::Bf16Stochastic`]
/// rounds stochastically.
pub(super) fn multiply_weights<X: Element, Y: Element>(
    x: Matrix<'_, X>,
    w: Matrix<'_>,
    y: &mut [Y],
    precision: Precision,
) {
    let stride = w.columns;
    match precision {
        Precision::Bf16Stochastic => {
            let w = w.with::<Stochastic>(bytemuck::cast_slice(w.data));
            matmul_into(y, stride, Output::Set, 1.0, x, w, precision, true);
        }
        _ => matmul_into(y, stride, Output::Set, 1.0, x, w, precision, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Isa;
    use crate::ops::testing::{random, round_stochastically};

    /// Calls `check` for every layout that training uses, with sizes that fill tiles, blocks and
    /// cuts and sizes that do not.
    fn for_shapes(check: impl Fn(&[f32], Matrix<'_>, Matrix<'_>)) {
        for (m, n, k) in [
            (1, 1, 1),
            (3, 5, 7),
            (14, 32, 64),
            (64, 64, 32),
            (230, 70, 130),
            (17, 4100, 33),
            (60, 48, 1300),
        ] {
            let (a, b, before) = (random(m * k, 1), random(k * n, 2), random(m * n, 3));
            for (a, b) in [
                (Matrix::new(&a, m, k), Matrix::new(&b, k, n)),
                (Matrix::new(&a, m, k), Matrix::new(&b, n, k).t()),
                (Matrix::new(&a, k, m).t(), Matrix::new(&b, k, n)),
            ] {
                check(&before, a, b);
            }
        }
    }

    fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn bf16_products_are_those_of_rounded_factors() {
        let rounded =
            |x: &[f32]| -> Vec<f32> { x.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect() };
        let all = [Isa::Avx512Bf16, Isa::Amx];
        for instructions in all.into_iter().filter(|&i| Some(i) <= bf16::instructions()) {
            for_shapes(|before, a, b| {
                let (ra, rb) = (rounded(a.data), rounded(b.data));
                let (ra, rb) = (a.with(&ra), b.with(&rb));
                for (mode, scale) in [(Output::Set, 1.0), (Output::Add, 1.0), (Output::Add, 0.5)] {
                    let (mut out, mut want) = (before.to_vec(), before.to_vec());
                    // SAFETY: the processor has the instructions, and the output has room for the
                    // product.
                    unsafe {
                        bf16::matmul(instructions, out.as_mut_ptr(), b.columns, mode, scale, a, b, true)
                    };
                    matmul_into(&mut want, b.columns, mode, scale, ra, rb, Precision::F32, false);
                    let difference = largest_difference(&out, &want);
                    let allowed = 1e-4 * (a.columns as f32).sqrt();
                    assert!(
                        difference <= allowed,
                        "{instructions:?} {a:?} {b:?}: {difference}"
                    );
                }
            });
        }
    }

    #[test]
    fn stochastically_rounded_weights_multiply_as_their_rounded_values_do() {
        for_shapes(|before, a, w| {
            let rounded: Vec<f32> = w.data.iter().map(|&w| round_stochastically(w).to_f32()).collect();
            let product = |w, precision| {
                let mut out = before.to_vec();
                multiply_weights(a, w, &mut out, precision);
                out
            };
            let want = match multiplies_bf16() {
                true => product(w.with(&rounded), Precision::Bf16),
                false => product(w, Precision::F32),
            };
            assert_eq!(product(w, Precision::Bf16Stochastic), want, "{a:?} {w:?}");
        });
    }

    /// With factors or an output stored as bf16, the product is that of the factors' values,
    /// rounded.
    #[test]
    fn what_is_stored_as_bf16_is_multiplied_as_its_values_are() {
        let stored = |x: &[f32]| -> Vec<half::bf16> { x.iter().map(|&x| Element::of(x)).collect() };
        let values = |x: &[half::bf16]| -> Vec<f32> { x.iter().map(|x| x.value()).collect() };
        for precision in [Precision::F32, Precision::Bf16] {
            for_shapes(|before, a, b| {
                let (a_stored, b_stored) = (stored(a.data), stored(b.data));
                let (a_values, b_values) = (values(&a_stored), values(&b_stored));
                for mode in [Output::Set, Output::Add] {
                    let mut out = stored(before);
                    let mut want = values(&out);
                    let (a_stored, b_stored) = (a.with(&a_stored), b.with(&b_stored));
                    let (a, b) = (a.with(&a_values), b.with(&b_values));
                    matmul_into(
                        &mut out, b.columns, mode, 0.5, a_stored, b_stored, precision, true,
                    );
                    matmul_into(&mut want, b.columns, mode, 0.5, a, b, Precision::F32, true);
                    for (got, want) in values(&out).iter().zip(&want) {
                        assert!(
                            (got - want).abs() <= 0.004 * want.abs() + 1e-3,
                            "{a:?} {b:?}: {got} {want}"
                        );
                    }
                }
            });
        }
    }

    /// On a processor without bf16, the product is that of the factors as they are.
    #[test]
    fn bf16_products_are_close_to_those_in_f32() {
        for_shapes(|before, a, b| {
            let product = |precision| {
                let mut out = before.to_vec();
                matmul_into(&mut out, b.columns, Output::Add, 0.5, a, b, precision, true);
                out
            };
            let difference = largest_difference(&product(Precision::Bf16), &product(Precision::F32));
            assert!(difference <= 2e-2 * (a.columns as f32).sqrt(), "{difference}");
        });
    }
}
