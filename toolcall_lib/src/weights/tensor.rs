//! Read-only matrices of weights, in any type in which they are stored.

#[cfg(test)]
use super::memory::Memory;
use super::packed::{Form, Packed, Part};
use candle_core::quantized::GgmlDType;
use rayon::prelude::*;
use std::ops::Range;

/// Elements that are unpacked at a time (16 MiB as f32) if a whole matrix would be too large.
const TILE: usize = 1 << 22;

/// Elements that one thread unpacks at a time.
const UNPACK_AT_A_TIME: usize = 1 << 16;

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

    pub(crate) fn packed(tensors: &'a [Packed], columns: usize) -> Self {
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
            Elements::Packed(tensors) => tensors.iter().map(Packed::rows).sum(),
        }
    }

    /// Returns all elements, if they are f32 and lie in one piece.
    pub fn as_f32(&self) -> Option<&'a [f32]> {
        match self.elements {
            Elements::F32(elements) => Some(elements),
            Elements::Packed([tensor]) if tensor.is_f32() => Some(bytemuck::cast_slice(tensor.bytes())),
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
            form: Form::Ggml(GgmlDType::F32),
            bytes: bytemuck::cast_slice(&elements[rows.start * self.columns..rows.end * self.columns]),
            rows: rows.len(),
        });
        let mut first = 0; // first row of the tensor
        let packed = packed.iter().filter_map(move |tensor| {
            let start = rows.start.clamp(first, first + tensor.rows()) - first;
            let end = rows.end.clamp(first, first + tensor.rows()) - first;
            first += tensor.rows();
            (start < end).then(|| tensor.part(start..end))
        });
        f32s.into_iter().chain(packed)
    }

    /// Unpacks these rows as f32 into `values`, which they fill.
    pub fn unpack(&self, rows: Range<usize>, mut values: &mut [f32]) {
        for part in self.parts(rows) {
            let here = values
                .split_off_mut(..part.rows * self.columns)
                .unwrap_or_default();
            part.unpack(here);
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

#[cfg(test)]
impl Packed {
    /// Returns the matrix as a tensor.
    pub fn tensor(&self) -> Tensor<'_> {
        Tensor::packed(std::slice::from_ref(self), self.columns())
    }

    /// Returns the matrix in 12 bits per element if that is possible, as it is if not.
    pub fn shortened(self) -> Self {
        let memory = Memory::new(self.size()).unwrap();
        self.in_12_bits(&memory).unwrap_or(self)
    }

    /// Does what [`Packed::shortened`] does, in memory that ends before a guard page.
    pub fn guarded(self) -> Self {
        let copy = self.copied(&Memory::before_guard(self.bytes().len()));
        let shortened = self.shortened();
        let memory = Memory::before_guard(shortened.bytes().len());
        copy.in_12_bits(&memory).unwrap_or(copy)
    }
}

/// Packs these values into a matrix.
#[cfg(test)]
pub(crate) fn packed_for_test(values: &[f32], dtype: GgmlDType, columns: usize) -> Packed {
    let memory = Memory::new(super::blocks::bytes_of(values.len(), dtype)).unwrap();
    let mut packed = Packed::zeros(dtype, values.len() / columns, columns, &memory);
    super::blocks::pack(values, dtype, packed.bytes_mut());
    packed
}
