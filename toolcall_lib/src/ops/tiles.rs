//! [`linear`] with a weight that may be packed: it is unpacked some rows at a time, and never exists as f32 as a whole.

use super::matmul::{Matrix, Output, Precision, linear, linear_backward_input, matmul_into};
use crate::weights::Tensor;

/// `y = x · wᵀ`: `x` is `[rows, input]`, `w` is `[output, input]`, `y` is `[rows, output]`.
pub fn linear_tiles(
    x: &[f32],
    w: Tensor<'_>,
    y: &mut [f32],
    rows: usize,
    input: usize,
    precision: Precision,
) {
    let (all, output) = (w.len(), w.len() / input);
    w.for_each_tile(input, |first, tile| {
        if tile.len() == all {
            return linear(x, tile, y, rows, input, Output::Set, precision);
        }
        let (x, w) = (
            Matrix::new(x, rows, input),
            Matrix::new(tile, tile.len() / input, input),
        );
        let y = &mut y[first..];
        matmul_into(y, output, Output::Set, 1.0, x, w.t(), precision, true);
    });
}

/// Gradient of [`linear_tiles`] with respect to `x`: `dx = dy · w`.
pub fn linear_tiles_backward_input(
    dy: &[f32],
    w: Tensor<'_>,
    dx: &mut [f32],
    rows: usize,
    input: usize,
    precision: Precision,
) {
    let (all, output) = (w.len(), w.len() / input);
    w.for_each_tile(input, |first, tile| {
        if tile.len() == all {
            return linear_backward_input(dy, tile, dx, rows, input, Output::Set, precision);
        }
        let mode = if first == 0 { Output::Set } else { Output::Add };
        let columns = tile.len() / input;
        let dy = Matrix::strided(&dy[first..], rows, columns, output);
        let w = Matrix::new(tile, columns, input);
        matmul_into(dx, input, mode, 1.0, dy, w, precision, true);
    });
}
