//! Read-only matrices of weights, in any type in which they are stored.

use super::blocks::{bytes_of, unpack};
use candle_core::quantized::GgmlDType;
use rayon::prelude::*;
use std::ops::Range;

/// Elements that are unpacked at a time (16 MiB as f32) if a whole matrix would be too large.
const TILE: usize = 1 << 22;

/// Elements that one thread unpacks at a time.
const UNPACK_AT_A_TIME: usize = 1 << 16;

/// A cache line; packed weights are aligned to it.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A matrix in a type of GGML, in one piece.
#[derive(Clone)]
pub(crate) struct Packed {
    pub dtype: GgmlDType,
    columns: usize,
    rows: usize,
    lines: Vec<Line>,
}

impl Packed {
    /// Makes zeros; matrix rows must be whole blocks.
    pub fn zeros(dtype: GgmlDType, rows: usize, columns: usize) -> Self {
        let lines = bytes_of(rows * columns, dtype).div_ceil(64);
        Self {
            dtype,
            columns,
            rows,
            lines: vec![Line([0; 64]); lines],
        }
    }

    /// Returns the bytes of memory that the matrix takes.
    pub fn size(&self) -> usize {
        bytes_of(self.rows * self.columns, self.dtype)
    }

    /// Returns the packed bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: a line has 64 bytes, and the lines cover `size` bytes.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.size()) }
    }

    /// Returns the packed bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.size()) }
    }

    /// Returns the bytes of a matrix row.
    fn row(&self) -> usize {
        bytes_of(self.columns, self.dtype)
    }
}

#[cfg(test)]
impl Packed {
    /// Returns the matrix as a tensor.
    pub fn tensor(&self) -> Tensor<'_> {
        Tensor::packed(std::slice::from_ref(self), self.columns)
    }
}

/// Packs these values into a matrix.
#[cfg(test)]
pub(crate) fn packed_for_test(values: &[f32], dtype: GgmlDType, columns: usize) -> Packed {
    let mut packed = Packed::zeros(dtype, values.len() / columns, columns);
    super::blocks::pack(values, dtype, packed.bytes_mut());
    packed
}

/// A read-only matrix of weights, `[rows, columns]`: one tensor, or several with the same number of
/// columns, one below the other.
#[derive(Clone, Copy)]
pub struct Tensor<'a> {
    columns: usize,
    elements: Elements<'a>,
}

#[derive(Clone, Copy)]
enum Elements<'a> {
    F32(&'a [f32]),
    Packed(&'a [Packed]),
}

/// Some rows of a matrix, as they are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    /// Type of the elements.
    pub dtype: GgmlDType,
    /// Blocks of all rows.
    pub bytes: &'a [u8],
    /// Number of rows.
    pub rows: usize,
}

impl std::fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor {{ rows: {}, columns: {} }}", self.rows(), self.columns)
    }
}

impl<'a> Tensor<'a> {
    /// Makes a matrix of f32 elements, row-major.
    pub fn new(elements: &'a [f32], columns: usize) -> Self {
        Self {
            columns,
            elements: Elements::F32(elements),
        }
    }

    pub(super) fn packed(tensors: &'a [Packed], columns: usize) -> Self {
        Self {
            columns,
            elements: Elements::Packed(tensors),
        }
    }

    /// Returns the number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        match self.elements {
            Elements::F32(elements) => elements.len() / self.columns,
            Elements::Packed(tensors) => tensors.iter().map(|tensor| tensor.rows).sum(),
        }
    }

    /// Returns all elements, if they are f32 and lie in one piece.
    pub fn as_f32(&self) -> Option<&'a [f32]> {
        match self.elements {
            Elements::F32(elements) => Some(elements),
            Elements::Packed([tensor]) if tensor.dtype == GgmlDType::F32 => {
                Some(bytemuck::cast_slice(tensor.bytes()))
            }
            Elements::Packed(_) => None,
        }
    }

    /// Returns these rows as they are stored, in order: one part for each tensor that they touch.
    pub(crate) fn parts(self, rows: Range<usize>) -> impl Iterator<Item = Part<'a>> {
        let (f32s, packed): (_, &[Packed]) = match self.elements {
            Elements::F32(elements) => (Some(elements), &[]),
            Elements::Packed(tensors) => (None, tensors),
        };
        let f32s = f32s.map(|elements| Part {
            dtype: GgmlDType::F32,
            bytes: bytemuck::cast_slice(&elements[rows.start * self.columns..rows.end * self.columns]),
            rows: rows.len(),
        });
        let mut first = 0; // first row of the tensor
        let packed = packed.iter().filter_map(move |tensor| {
            let start = rows.start.clamp(first, first + tensor.rows) - first;
            let end = rows.end.clamp(first, first + tensor.rows) - first;
            first += tensor.rows;
            (start < end).then(|| Part {
                dtype: tensor.dtype,
                bytes: &tensor.bytes()[start * tensor.row()..end * tensor.row()],
                rows: end - start,
            })
        });
        f32s.into_iter().chain(packed)
    }

    /// Unpacks these rows as f32 into `values`, which they fill.
    pub fn unpack(&self, rows: Range<usize>, mut values: &mut [f32]) {
        for part in self.parts(rows) {
            let here = values.split_off_mut(..part.rows * self.columns);
            unpack(part.dtype, part.bytes, here.unwrap_or_default());
        }
    }

    /// Unpacks these rows with all threads.
    pub(super) fn unpack_parallel(&self, rows: Range<usize>, values: &mut [f32]) {
        let rows_at_a_time = UNPACK_AT_A_TIME.div_ceil(self.columns);
        values
            .par_chunks_mut(rows_at_a_time * self.columns)
            .enumerate()
            .for_each(|(i, values)| {
                let first = rows.start + i * rows_at_a_time;
                self.unpack(first..first + values.len() / self.columns, values);
            });
    }

    /// Calls `visit(first row, rows as f32)` for all rows in turn: once if they are f32, some rows
    /// at a time if they are packed.
    pub fn for_each_tile(&self, mut visit: impl FnMut(usize, &[f32])) {
        if let Some(elements) = self.as_f32() {
            return visit(0, elements);
        }
        let (all, at_a_time) = (self.rows(), TILE.div_ceil(self.columns));
        let mut tile = vec![0.0; all.min(at_a_time) * self.columns];
        for first in (0..all).step_by(at_a_time) {
            let rows = first..all.min(first + at_a_time);
            let tile = &mut tile[..rows.len() * self.columns];
            self.unpack_parallel(rows, tile);
            visit(first, tile);
        }
    }
}
