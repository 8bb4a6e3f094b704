//! Matrices of weights that are only read, packed into few bytes.

use super::bf12::{self, Exponents, ExponentsOfRows};
use super::blocks::bytes_of;
use super::memory::{Bytes, Memory};
use candle_core::quantized::GgmlDType;
use half::{bf16, f16};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

/// Storage form of elements.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form<'a> {
    /// Type of GGML.
    Ggml(GgmlDType),
    /// bf16 in 12 bits, with these exponents.
    Bf12(ExponentsOfRows<'a>),
}

/// Some rows of a matrix, as they are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub form: Form<'a>,
    /// Blocks of all rows.
    pub bytes: &'a [u8],
    /// Number of rows.
    pub rows: usize,
}

/// A matrix in a type of GGML or in 12 bits per element, in one piece.
pub(crate) struct Packed {
    dtype: GgmlDType,
    /// Exponents of a bf16 matrix that has 12 bits per element.
    exponents: Option<Exponents>,
    columns: usize,
    rows: usize,
    bytes: Bytes,
}

impl Packed {
    /// Makes zeros in `memory`; matrix rows must be whole blocks.
    pub fn zeros(dtype: GgmlDType, rows: usize, columns: usize, memory: &Memory) -> Self {
        Self {
            dtype,
            exponents: None,
            columns,
            rows,
            bytes: memory.take(bytes_of(rows * columns, dtype)),
        }
    }

    /// Returns the same elements in 12 bits each, in `memory`, if they are all bf16 and rarely have
    /// other exponents than the 15 most frequent ones.
    pub fn in_12_bits(&self, memory: &Memory) -> Option<Self> {
        let row = bf12::bytes_of_row(self.columns)?;
        let elements = self.as_bf16()?;
        let exponents = bf12::exponents(&elements, self.columns)?;
        let mut bytes = memory.take(self.rows * row);
        bf12::pack(&elements, self.columns, &exponents, &mut bytes);
        Some(Self {
            dtype: GgmlDType::BF16,
            exponents: Some(exponents),
            bytes,
            ..*self
        })
    }

    /// Returns the elements, if each is a bf16.
    fn as_bf16(&self) -> Option<Cow<'_, [bf16]>> {
        match self.dtype {
            GgmlDType::BF16 => Some(Cow::Borrowed(bytemuck::cast_slice(&self.bytes))),
            GgmlDType::F16 => {
                let halves: &[f16] = bytemuck::cast_slice(&self.bytes);
                let exact = |x: &f16| {
                    let rounded = bf16::from_f32(x.to_f32());
                    (rounded.to_f32() == x.to_f32()).then_some(rounded)
                };
                halves
                    .par_iter()
                    .map(exact)
                    .collect::<Option<Vec<_>>>()
                    .map(Cow::Owned)
            }
            _ => None,
        }
    }

    /// Copies the matrix to `memory`.
    pub fn copied(&self, memory: &Memory) -> Self {
        let mut bytes = memory.take(self.bytes.len());
        bytes.copy_from_slice(&self.bytes);
        Self {
            exponents: self.exponents.clone(),
            bytes,
            ..*self
        }
    }

    /// Returns the number of columns.
    #[cfg(test)]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns true if the elements are f32.
    pub fn is_f32(&self) -> bool {
        self.dtype == GgmlDType::F32
    }

    /// Returns the bytes of memory that the matrix takes.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.exponents.as_ref().map_or(0, Exponents::size)
    }

    /// Returns the packed bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the packed bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Returns these rows as they are stored.
    pub fn part(&self, rows: Range<usize>) -> Part<'_> {
        let row = self.bytes.len() / self.rows;
        Part {
            form: match &self.exponents {
                Some(exponents) => Form::Bf12(exponents.rows(rows.clone())),
                None => Form::Ggml(self.dtype),
            },
            bytes: &self.bytes[rows.start * row..rows.end * row],
            rows: rows.len(),
        }
    }
}
