//! Linear layers whose weight may be packed (bf16, f16 or quantized).
//!
//! A packed weight never exists as f32 as a whole: it is multiplied as it is stored, or unpacked a
//! tile of rows at a time.

use super::element::Element;
use super::matmul::{Matrix, Output, Precision, linear, linear_backward_input, linear_packed, matmul_into};
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::random;
    use crate::weights::packed_for_test;
    use candle_core::quantized::GgmlDType;

    /// Few rows, many rows, and tiles that a thread unpacks at a time all give the product with the
    /// unpacked weights, for shapes that fill vectors, tiles and blocks and for some that do not.
    #[test]
    fn packed_weights_multiply_as_their_unpacked_values_do() {
        for (dtype, output, input) in [
            (GgmlDType::BF16, 70, 64),
            (GgmlDType::BF16, 131, 45),
            (GgmlDType::BF16, 40, 1500),
            (GgmlDType::Q8_0, 70, 1312),
            (GgmlDType::F16, 33, 40),
            (GgmlDType::Q8_0, 70, 96),
            (GgmlDType::Q4_0, 133, 64),
            (GgmlDType::Q4_1, 6, 160),
            (GgmlDType::Q4K, 35, 256),
        ] {
            let packed = packed_for_test(&random(output * input, 1), dtype, input);
            let w = packed.tensor();
            let mut unpacked = vec![0.0; output * input];
            w.unpack(0..output, &mut unpacked);
            for rows in [1, 3, 4, 8, 9, 40, 70] {
                let x = random(rows * input, 2);
                for (precision, allowed) in [(Precision::F32, 1e-4), (Precision::Bf16, 2e-2)] {
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

    /// A row's result does not depend on the rows beside it, except for the order of sums.
    #[test]
    fn a_row_is_the_same_alone_and_among_others() {
        let (output, input) = (100, 96);
        let packed = packed_for_test(&random(output * input, 1), GgmlDType::Q8_0, input);
        let x = random(70 * input, 2);
        let product = |rows: usize| {
            let mut y = vec![0.0; rows * output];
            linear_tiles(&x[..rows * input], packed.tensor(), &mut y, Precision::Bf16);
            y
        };
        let alone = product(1);
        for rows in [2, 5, 8, 9, 70] {
            let difference = product(rows)
                .iter()
                .zip(&alone)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(difference < 1e-4, "{rows}: {difference}");
        }
    }
}
