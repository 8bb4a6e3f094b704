//! Matrix products through the `gemm` crate, with strides instead of copies for transposes.

use super::simd::dot;
use gemm::Parallelism;
use multiversion::multiversion;
use rayon::prelude::*;

/// A matrix to read: element `(row, column)` is `data[row * row_stride + column * column_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// The first `rows` rows of a row major matrix whose rows begin `stride` elements apart.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self {
            data,
            rows,
            columns,
            row_stride: stride,
            column_stride: 1,
        }
        .checked()
    }

    /// A row major matrix.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// The same elements, transposed.
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn checked(self) -> Self {
        assert!(
            self.data.len() >= span(self.rows, self.columns, self.row_stride, self.column_stride),
            "a {} x {} matrix does not fit {} elements",
            self.rows,
            self.columns,
            self.data.len()
        );
        self
    }
}

/// Elements from the first to the last of a strided matrix.
fn span(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 {
        0
    } else {
        (rows - 1) * row_stride + (columns - 1) * column_stride + 1
    }
}

/// What happens to the elements that stand in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// They are overwritten.
    Set,
    /// The product is added to them.
    Add,
}

/// `out = scale · a · b` or `out += scale · a · b`, where the rows of `out` begin `stride` elements apart. `parallel` uses all threads.
pub fn matmul_into(
    out: &mut [f32],
    stride: usize,
    mode: Output,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    parallel: bool,
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert_eq!(k, b.rows, "inner dimensions differ");
    assert!(
        n <= stride && out.len() >= span(m, n, stride, 1),
        "the output is too small"
    );
    let parallelism = if parallel {
        Parallelism::Rayon(0)
    } else {
        Parallelism::None
    };
    // SAFETY: `Matrix` and the assertion above keep every element that is touched within its slice.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
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
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// `y = x · wᵀ` (or `+=`): `x` is `[rows, input]`, `w` is `[output, input]`, `y` is `[rows, output]`.
pub fn linear(x: &[f32], w: &[f32], y: &mut [f32], rows: usize, input: usize, mode: Output) {
    let output = w.len() / input;
    if rows == 1 {
        return matvec(x, w, y, input, mode);
    }
    let (x, w) = (Matrix::new(x, rows, input), Matrix::new(w, output, input));
    matmul_into(y, output, mode, 1.0, x, w.t(), true);
}

/// One row: reading the weights is all the work, so every thread streams its share of them.
fn matvec(x: &[f32], w: &[f32], y: &mut [f32], input: usize, mode: Output) {
    const OUTPUTS_PER_TASK: usize = 64;
    let weights = w.par_chunks(OUTPUTS_PER_TASK * input);
    y.par_chunks_mut(OUTPUTS_PER_TASK)
        .zip(weights)
        .for_each(|(y, w)| dots(x, w, y, mode));
}

#[multiversion(targets = "simd")]
fn dots(x: &[f32], w: &[f32], y: &mut [f32], mode: Output) {
    for (y, w) in y.iter_mut().zip(w.chunks_exact(x.len())) {
        let sum = dot(x, w);
        *y = if mode == Output::Add { *y + sum } else { sum };
    }
}

/// Gradient of [`linear`] with respect to `x`: `dx = dy · w` (or `+=`).
pub fn linear_backward_input(dy: &[f32], w: &[f32], dx: &mut [f32], rows: usize, input: usize, mode: Output) {
    let output = w.len() / input;
    let (dy, w) = (Matrix::new(dy, rows, output), Matrix::new(w, output, input));
    matmul_into(dx, input, mode, 1.0, dy, w, true);
}

/// Gradient of [`linear`] with respect to `w`, added: `dw += dyᵀ · x`.
pub fn linear_backward_weight(dy: &[f32], x: &[f32], dw: &mut [f32], rows: usize, input: usize) {
    let output = dw.len() / input;
    let (dy, x) = (Matrix::new(dy, rows, output), Matrix::new(x, rows, input));
    matmul_into(dw, input, Output::Add, 1.0, dy.t(), x, true);
}

/// Adds `bias` to each row of `y`.
pub fn add_bias(y: &mut [f32], bias: &[f32]) {
    for row in y.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
    }
}

/// Gradient of [`add_bias`], added: `dbias += Σ_rows dy`.
pub fn add_bias_backward(dy: &[f32], dbias: &mut [f32]) {
    for row in dy.chunks_exact(dbias.len()) {
        dbias.iter_mut().zip(row).for_each(|(b, y)| *b += y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_gradient, random};

    #[test]
    fn linear_is_a_product_with_the_transposed_weight() {
        let (x, w) = (random(3 * 5, 1), random(4 * 5, 2));
        let mut y = vec![1.0; 12];
        linear(&x, &w, &mut y, 3, 5, Output::Add);
        for row in 0..3 {
            for out in 0..4 {
                let want = 1.0 + (0..5).map(|i| x[row * 5 + i] * w[out * 5 + i]).sum::<f32>();
                assert!((y[row * 4 + out] - want).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn one_row_equals_the_same_row_among_many() {
        let (x, w) = (random(2 * 70, 1), random(130 * 70, 2));
        let (mut both, mut one) = (vec![0.0; 260], vec![0.0; 130]);
        linear(&x, &w, &mut both, 2, 70, Output::Set);
        linear(&x[70..], &w, &mut one, 1, 70, Output::Set);
        assert!(both[130..].iter().zip(&one).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn linear_gradients_match_finite_differences() {
        let (x, w, dy) = (random(3 * 5, 1), random(4 * 5, 2), random(12, 3));
        let loss = |x: &[f32], w: &[f32]| {
            let mut y = vec![0.0; 12];
            linear(x, w, &mut y, 3, 5, Output::Set);
            dot(&y, &dy)
        };
        let (mut dx, mut dw) = (vec![0.0; 15], vec![0.0; 20]);
        linear_backward_input(&dy, &w, &mut dx, 3, 5, Output::Set);
        linear_backward_weight(&dy, &x, &mut dw, 3, 5);
        assert_gradient(&x, &dx, |x| loss(x, &w));
        assert_gradient(&w, &dw, |w| loss(&x, w));
    }

    #[test]
    fn bias_gradient_is_the_sum_over_rows() {
        let (dy, mut db) = (vec![1.0, 2.0, 3.0, 4.0], vec![0.5, 0.5]);
        add_bias_backward(&dy, &mut db);
        assert_eq!(db, [4.5, 6.5]);
    }
}
