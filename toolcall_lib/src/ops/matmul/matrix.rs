//! Matrices as views of a buffer, and what a product does to its output.

use super::super::element::{Element, as_f32};

/// A matrix to read: element `(row, column)` is `data[row * row_stride + column * column_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, E = f32> {
    pub(super) data: &'a [E],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a, E: Element> Matrix<'a, E> {
    /// Creates a row-major matrix whose rows begin `stride` elements apart.
    pub fn strided(data: &'a [E], rows: usize, columns: usize, stride: usize) -> Self {
        Self {
            data,
            rows,
            columns,
            row_stride: stride,
            column_stride: 1,
        }
        .checked()
    }

    /// Creates a row-major matrix without gaps.
    pub fn new(data: &'a [E], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Returns the elements from the first one on; for a row-major matrix without gaps, row by row.
    pub fn data(&self) -> &'a [E] {
        self.data
    }

    /// Selects `count` columns from `first` on.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn columns(self, first: usize, count: usize) -> Self {
        Self {
            data: &self.data[first * self.column_stride..],
            columns: count,
            ..self
        }
    }

    /// Returns the transposed matrix, with the same elements.
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Returns the same matrix as f32, if its elements are f32.
    pub(super) fn as_f32(self) -> Option<Matrix<'a>> {
        as_f32(self.data).map(|data| self.with(data))
    }

    /// Returns a matrix of the same shape and strides with these elements.
    pub(super) fn with<'b, F>(&self, data: &'b [F]) -> Matrix<'b, F> {
        Matrix {
            data,
            rows: self.rows,
            columns: self.columns,
            row_stride: self.row_stride,
            column_stride: self.column_stride,
        }
    }

    /// Copies all elements as f32, row by row.
    pub(super) fn values(&self) -> Vec<f32> {
        let at = |i: usize| {
            let (row, column) = (i / self.columns, i % self.columns);
            self.data[row * self.row_stride + column * self.column_stride].value()
        };
        (0..self.rows * self.columns).map(at).collect()
    }

    /// Panics if the data is shorter than shape and strides need.
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

/// Returns the number of elements from the first to the last of a strided matrix.
pub(super) fn span(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 {
        0
    } else {
        (rows - 1) * row_stride + (columns - 1) * column_stride + 1
    }
}

/// Treatment of the previous content of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The product overwrites it.
    Set,
    /// The product is added to it.
    Add,
}
