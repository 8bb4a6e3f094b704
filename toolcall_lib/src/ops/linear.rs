//! Linear layers: they choose the kernel of the matrix product.
//!
//! `x` is `[rows, input]`, a weight `w` is `[output, input]`, and `y` is `[rows, output]`. A layer
//! is three products: [`linear_tiles`] computes `y = x · wᵀ`, [`linear_tiles_backward_input`]
//! `dx = dy · w`, and [`linear_backward_weight`] `dw = dyᵀ · x`. The first two take a weight as it
//! is stored, f32 or packed (bf16, f16 or quantized); [`linear`] and [`linear_backward_input`] are
//! the same for f32 alone. A packed weight never exists as f32 as a whole.
//!
//! Kernels that compute `y`, where "bf16" is a bf16 [`Precision`] on a processor that multiplies
//! bf16, and "f32" is anything else. Few rows count as such only if `x` and `y` are f32, as in
//! generation:
//!
//! | weight | rows | f32 | bf16 |
//! |---|---|---|---|
//! | f32 | up to 48 | `matmul::few` | `matmul::few`, in f32: reading `w` is most of the work |
//! | f32 | more | `matmul::f32` | `matmul::bf16`, which rounds `w` as it packs panels |
//! | packed | up to 4 | `matmul::few`, or on AVX2 `matmul::avx2`, in registers | `matmul::bf16::few`, which leaves Q8_0, Q4_0 and Q4_1 to `matmul::bf16::integer` |
//! | packed | 5 to 16 | `matmul::few`, 4 outputs unpacked at a time | `matmul::bf16::few` |
//! | packed | 17 to 48 | `matmul::few` | `matmul::bf16`, which unpacks `w` into panels |
//! | packed | more | `matmul::f32`, a tile of outputs unpacked at a time | `matmul::bf16`, too |
//!
//! The gradients are products of many rows: `matmul::f32` or `matmul::bf16`, with a packed `w`
//! unpacked a tile at a time.

use super::element::{Element, as_f32, as_f32_mut};
use super::matmul::{FEW, Matrix, Output, Precision, linear_few, matmul_into, multiply_weights};
#[cfg(target_arch = "x86_64")]
use super::matmul::{avx2, bf16};
use crate::weights::Tensor;

/// Computes `y = x · wᵀ`: `x` is `[rows, input]`, `w` is `[output, input]`, `y` is
/// `[rows, output]`. A packed weight is read as it is stored, or unpacked some rows at a time if
/// the processor has no instructions for it.
pub fn linear_tiles<X: Element, Y: Element>(x: &[X], w: Tensor<'_>, y: &mut [Y], precision: Precision) {
    let (input, output) = (w.columns(), w.rows());
    let rows = x.len() / input;
    if let Some(w) = w.as_f32() {
        return linear(x, w, y, rows, input, precision);
    }
    if linear_packed(x, w, y, precision) {
        return;
    }
    w.for_each_tile(|first, tile| {
        let x = Matrix::new(x, rows, input);
        let tile = Matrix::new(tile, tile.len() / input, input);
        let y = &mut y[first..];
        matmul_into(y, output, Output::Set, 1.0, x, tile.t(), precision, true);
    });
}

/// Writes the gradient of [`linear_tiles`] with respect to `x`: `dx = dy · w`.
pub fn linear_tiles_backward_input<Y: Element, X: Element>(
    dy: &[Y],
    w: Tensor<'_>,
    dx: &mut [X],
    precision: Precision,
) {
    let (input, output) = (w.columns(), w.rows());
    let rows = dy.len() / output;
    if let Some(w) = w.as_f32() {
        return linear_backward_input(dy, w, dx, rows, input, precision);
    }
    w.for_each_tile(|first, tile| {
        let mode = if first == 0 { Output::Set } else { Output::Add };
        let columns = tile.len() / input;
        let dy = Matrix::strided(&dy[first..], rows, columns, output);
        let w = Matrix::new(tile, columns, input);
        matmul_into(dx, input, mode, 1.0, dy, w, precision, true);
    });
}

/// Computes `y = x · wᵀ`: `x` is `[rows, input]`, `w` is `[output, input]`, `y` is `[rows,
/// output]`. Few rows of f32 are multiplied in f32 with any precision, because reading `w` is then
/// most of the work.
pub fn linear<X: Element, Y: Element>(
    x: &[X],
    w: &[f32],
    y: &mut [Y],
    rows: usize,
    input: usize,
    precision: Precision,
) {
    let output = w.len() / input;
    if rows <= FEW
        && let (Some(x), Some(y)) = (as_f32(x), as_f32_mut(y))
    {
        return linear_few(x, Tensor::new(w, input), y);
    }
    let (x, w) = (Matrix::new(x, rows, input), Matrix::new(w, output, input));
    multiply_weights(x, w.t(), y, precision);
}

/// Computes [`linear`] with a packed weight, which is read as it is stored: only the part being
/// multiplied is unpacked. Returns false, and does nothing, if the processor has no instructions
/// for that many rows in that precision.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))] // the precision
fn linear_packed<X: Element, Y: Element>(x: &[X], w: Tensor<'_>, y: &mut [Y], precision: Precision) -> bool {
    let rows = x.len() / w.columns();
    #[cfg(target_arch = "x86_64")]
    if precision != Precision::F32
        && let Some(instructions) = bf16::instructions()
    {
        // SAFETY: the processor has the instructions, and `y` has a place for each row and output.
        unsafe {
            // Few rows are multiplied without panels, others with panels.
            if rows <= bf16::FEW
                && let (Some(x), Some(y)) = (as_f32(x), as_f32_mut(y))
            {
                bf16::linear_few(x, w, y);
            } else {
                let (x, stride) = (Matrix::new(x, rows, w.columns()), w.rows());
                bf16::matmul(instructions, y.as_mut_ptr(), stride, Output::Set, 1.0, x, w, true);
            }
        }
        return true;
    }
    if rows <= FEW
        && let (Some(x), Some(y)) = (as_f32(x), as_f32_mut(y))
    {
        #[cfg(target_arch = "x86_64")]
        if avx2::linear_few(x, w, y) {
            return true;
        }
        linear_few(x, w, y);
        return true;
    }
    false
}

/// Writes the gradient of [`linear`] with respect to `x`: `dx = dy · w`.
pub fn linear_backward_input<Y: Element, X: Element>(
    dy: &[Y],
    w: &[f32],
    dx: &mut [X],
    rows: usize,
    input: usize,
    precision: Precision,
) {
    let output = w.len() / input;
    let (dy, w) = (Matrix::new(dy, rows, output), Matrix::new(w, output, input));
    multiply_weights(dy, w, dx, precision);
}

/// Writes or adds the gradient of [`linear`] with respect to `w`: `dw = dyᵀ · x` or
/// `dw += dyᵀ · x`.
pub fn linear_backward_weight<Y: Element, X: Element>(
    dy: &[Y],
    x: &[X],
    dw: &mut [f32],
    mode: Output,
    rows: usize,
    input: usize,
    precision: Precision,
) {
    let output = dw.len() / input;
    let (dy, x) = (Matrix::new(dy, rows, output), Matrix::new(x, rows, input));
    matmul_into(dw, input, mode, 1.0, dy.t(), x, precision, true);
}

/// Adds `bias` to each row of `y`.
pub fn add_bias<E: Element>(y: &mut [E], bias: &[f32]) {
    for row in y.chunks_exact_mut(bias.len()) {
        row.iter_mut()
            .zip(bias)
            .for_each(|(y, b)| *y = E::of(y.value() + b));
    }
}

/// Adds the gradient of [`add_bias`]: `dbias += Σ_rows dy`.
pub fn add_bias_backward<E: Element>(dy: &[E], dbias: &mut [f32]) {
    for row in dy.chunks_exact(dbias.len()) {
        dbias.iter_mut().zip(row).for_each(|(b, y)| *b += y.value());
    }
}

#[cfg(test)]
mod tests {
    use super::super::matmul::multiplies_bf16;
    use super::*;
    use crate::ops::simd::dot;
    use crate::ops::testing::{assert_gradient, random};
    use crate::weights::{guarded, packed_for_test};
    use candle_core::quantized::GgmlDType;

    #[test]
    fn linear_is_a_product_with_the_transposed_weight() {
        let (x, w) = (random(3 * 5, 1), random(4 * 5, 2));
        let mut y = vec![1.0; 12];
        linear(&x, &w, &mut y, 3, 5, Precision::F32);
        for row in 0..3 {
            for out in 0..4 {
                let want = (0..5).map(|i| x[row * 5 + i] * w[out * 5 + i]).sum::<f32>();
                assert!((y[row * 4 + out] - want).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn few_rows_equal_the_same_rows_among_many() {
        let (x, w) = (random((FEW + 1) * 70, 1), random(131 * 70, 2));
        let mut many = vec![0.5; (FEW + 1) * 131];
        linear(&x, &w, &mut many, FEW + 1, 70, Precision::F32);
        for rows in [1, 2, 4, 7, FEW] {
            let mut few = vec![0.5; rows * 131];
            linear(&x[..rows * 70], &w, &mut few, rows, 70, Precision::F32);
            assert!(many.iter().zip(&few).all(|(a, b)| (a - b).abs() < 1e-4), "{rows}");
        }
    }

    #[test]
    fn linear_gradients_match_finite_differences() {
        let (x, w, dy) = (random(3 * 5, 1), random(4 * 5, 2), random(12, 3));
        let loss = |x: &[f32], w: &[f32]| {
            let mut y = vec![0.0; 12];
            linear(x, w, &mut y, 3, 5, Precision::F32);
            dot(&y, &dy)
        };
        let (mut dx, mut dw) = (vec![0.0; 15], vec![0.0; 20]);
        linear_backward_input(&dy, &w, &mut dx, 3, 5, Precision::F32);
        linear_backward_weight(&dy, &x, &mut dw, Output::Add, 3, 5, Precision::F32);
        assert_gradient(&x, &dx, |x| loss(x, &w));
        assert_gradient(&w, &dw, |w| loss(&x, w));
    }

    #[test]
    fn bias_gradient_is_the_sum_over_rows() {
        let (dy, mut db) = (vec![1.0, 2.0, 3.0, 4.0], vec![0.5, 0.5]);
        add_bias_backward(&dy, &mut db);
        assert_eq!(db, [4.5, 6.5]);
    }

    /// Types and shapes `[output, input]` of packed weights. Some fill vectors, tiles and blocks,
    /// and some do not.
    const PACKED: [(GgmlDType, usize, usize); 12] = [
        (GgmlDType::BF16, 70, 64),
        (GgmlDType::BF16, 131, 45),
        (GgmlDType::BF16, 40, 1500),
        (GgmlDType::Q8_0, 70, 1312),
        (GgmlDType::F16, 33, 40),
        (GgmlDType::Q8_0, 70, 96),
        (GgmlDType::Q4_0, 133, 64),
        (GgmlDType::Q4_1, 6, 160),
        (GgmlDType::Q4K, 35, 256),
        (GgmlDType::BF16, 70, 576),
        (GgmlDType::BF16, 131, 160),
        (GgmlDType::F16, 33, 288),
    ];

    /// Few rows, many rows, and tiles that a thread unpacks at a time all give the product with the
    /// unpacked weights.
    #[test]
    fn packed_weights_multiply_as_their_unpacked_values_do() {
        for (dtype, output, input) in PACKED {
            let mut values = random(output * input, 1);
            // Elements with an exponent of their own, in the first row, the middle and the last.
            for at in [3, output / 2 * input + 17, (output - 1) * input + 20] {
                values[at] = 20.0;
            }
            let packed = packed_for_test(&values, dtype, input).shortened();
            let w = packed.tensor();
            let mut unpacked = vec![0.0; output * input];
            w.unpack(0..output, &mut unpacked);
            for rows in [1, 2, 3, 4, 8, 9, 40, 70] {
                let x = random(rows * input, 2);
                for (precision, allowed) in [(Precision::F32, 1e-4), (Precision::Bf16, 3e-2)] {
                    let (mut y, mut want) = (vec![0.5; rows * output], vec![0.0; rows * output]);
                    linear_tiles(&x, w, &mut y, precision);
                    linear(&x, &unpacked, &mut want, rows, input, Precision::F32);
                    let difference = y.iter().zip(&want).map(|(a, b)| (a - b).abs());
                    let difference = difference.fold(0.0, f32::max) / (input as f32).sqrt();
                    assert!(
                        difference < allowed,
                        "{dtype:?} {rows} {precision:?}: {difference}"
                    );
                }
            }
        }
    }

    /// Weights, input and output lie before guard pages, so a kernel that loads or stores a vector
    /// past an end dies.
    #[test]
    fn nothing_past_the_ends_is_touched() {
        for (dtype, output, input) in PACKED {
            let values = random(output * input, 1);
            let packed = packed_for_test(&values, dtype, input).guarded();
            let w = guarded(&values);
            for rows in [1, 2, 3, 4, 5, 9, 17, 50] {
                let (x, mut y) = (
                    guarded(&random(rows * input, 2)),
                    guarded(&vec![0.0; rows * output]),
                );
                for precision in [Precision::F32, Precision::Bf16] {
                    let x: &[f32] = bytemuck::cast_slice(&x);
                    let y: &mut [f32] = bytemuck::cast_slice_mut(&mut y);
                    linear_tiles(x, packed.tensor(), y, precision);
                    linear(x, bytemuck::cast_slice(&w), y, rows, input, precision);
                }
            }
        }
    }

    /// Checks that a row's result does not depend on the other rows, except for the order of sums,
    /// and for the rounding of quantized weights, and of rows, to bf16 with more than four rows.
    #[test]
    fn a_row_is_the_same_alone_and_among_others() {
        let (output, input) = (100, 288);
        for dtype in [GgmlDType::Q8_0, GgmlDType::BF16] {
            let packed = packed_for_test(&random(output * input, 1), dtype, input).shortened();
            let x = random(70 * input, 2);
            let product = |rows: usize| {
                let mut y = vec![0.0; rows * output];
                linear_tiles(&x[..rows * input], packed.tensor(), &mut y, Precision::Bf16);
                y
            };
            let (alone, among_five) = (product(1), product(5));
            let check = |rows: usize, want: &[f32], allowed: f32| {
                let differences = product(rows).into_iter().zip(want).map(|(a, b)| (a - b).abs());
                let difference = differences.fold(0.0, f32::max);
                assert!(difference < allowed, "{dtype:?}, {rows}: {difference}");
            };
            [2, 4].into_iter().for_each(|rows| check(rows, &alone, 1e-4));
            for rows in [8, 9, 16, 17, 70] {
                check(rows, &among_five, 1e-4);
            }
            let rounded = dtype == GgmlDType::Q8_0 && multiplies_bf16();
            check(5, &alone, if rounded { 0.2 } else { 1e-4 });
        }
    }
}
