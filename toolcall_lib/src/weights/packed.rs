//! Read-only matrices of weights, as they are stored in memory.

#[cfg(target_arch = "x86_64")]
use super::avx512::Bf12;
use super::bf12::{self, Exponents, ExponentsOfRows};
use super::blocks::{bytes_of, unpack};
use super::memory::{Bytes, Memory};
use super::rest;
#[cfg(target_arch = "x86_64")]
use crate::cpu::{Isa, isa};
use candle_core::quantized::GgmlDType;
use half::bf16;
use std::borrow::Cow;
use std::ops::Range;

/// Form in which elements are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form<'a> {
    /// Type of GGML: f32, f16, bf16 or quantized.
    Ggml(GgmlDType),
    /// bf16 in 12 bits, with these exponents.
    Bf12 {
        exponents: ExponentsOfRows<'a>,
        /// Rest of elements that are f16, `[rows, columns / 2]`; empty if they are bf16.
        rest: &'a [u8],
    },
}

/// Some rows of a matrix, as they are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub form: Form<'a>,
    /// Rows, one after the other, all of the same length.
    pub bytes: &'a [u8],
    /// Number of rows.
    pub rows: usize,
}

impl<'a> Part<'a> {
    /// Returns some of the rows.
    pub fn cut(&self, rows: Range<usize>) -> Self {
        let cut = |bytes: &'a [u8]| {
            let row = bytes.len() / self.rows.max(1);
            &bytes[rows.start * row..rows.end * row]
        };
        Self {
            form: match self.form {
                Form::Bf12 { exponents, rest } => Form::Bf12 {
                    exponents: exponents.cut(rows.clone()),
                    rest: cut(rest),
                },
                form => form,
            },
            bytes: cut(self.bytes),
            rows: rows.len(),
        }
    }
}

impl Part<'_> {
    /// Unpacks the rows as f32 into `values`, which they fill.
    pub fn unpack(self, values: &mut [f32]) {
        let (exponents, rest) = match self.form {
            Form::Ggml(dtype) => return unpack(dtype, self.bytes, values),
            Form::Bf12 { exponents, rest } => (exponents, rest),
        };
        let columns = values.len() / self.rows;
        unpack_rows(self.bytes, exponents, columns, values);
        for (row, values) in values.chunks_exact_mut(columns).enumerate() {
            for other in exponents.others(row) {
                values[other.column as usize] = other.value.to_f32();
            }
        }
        rest::restore(values, rest);
    }
}

/// Unpacks the blocks and the tails of rows in 12 bits.
fn unpack_rows(bytes: &[u8], exponents: ExponentsOfRows<'_>, columns: usize, values: &mut [f32]) {
    let rows = values.chunks_exact_mut(columns);
    let rows = rows.zip(bytes.chunks_exact(bf12::row_bytes(columns)));
    #[cfg(target_arch = "x86_64")]
    if isa() >= Isa::Avx512Bf16 {
        // SAFETY: the processor has the instructions, and a row has an element for each value.
        unsafe {
            let bf12 = Bf12::new(exponents);
            rows.for_each(|(values, bytes)| bf12.unpack_f32(bytes.as_ptr(), values));
        }
        return;
    }
    rows.for_each(|(values, bytes)| bf12::unpack_row(bytes, exponents, values));
}

/// A matrix in a type of GGML or in 12 bits per element, in one piece.
pub(crate) struct Packed {
    dtype: GgmlDType,
    /// Exponents of a matrix that has 12 bits per element, rounded to bf16.
    exponents: Option<Exponents>,
    /// Rest of elements that are f16; see [`rest`].
    rest: Vec<u8>,
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
            rest: Vec::new(),
            columns,
            rows,
            bytes: memory.take(bytes_of(rows * columns, dtype)),
        }
    }

    /// Returns the same elements in `memory`, in 12 bits each, with the rest of f16 elsewhere.
    /// Returns none for other types, for f16 that is not finite, and if too many elements have an
    /// exponent that is not in the table.
    pub fn in_12_bits(&self, memory: &Memory) -> Option<Self> {
        let row = bf12::bytes_of_row(self.columns)?;
        let (elements, rest) = self.as_bf16()?;
        let exponents = bf12::exponents(&elements, self.columns)?;
        let mut bytes = memory.take(self.rows * row);
        bf12::pack(&elements, self.columns, &exponents, &mut bytes);
        Some(Self {
            exponents: Some(exponents),
            rest,
            bytes,
            ..*self
        })
    }

    /// Returns the elements as bf16, and the rest of f16.
    fn as_bf16(&self) -> Option<(Cow<'_, [bf16]>, Vec<u8>)> {
        match self.dtype {
            GgmlDType::BF16 => Some((Cow::Borrowed(bytemuck::cast_slice(&self.bytes)), Vec::new())),
            GgmlDType::F16 => {
                let (elements, rest) = rest::split(bytemuck::cast_slice(&self.bytes))?;
                Some((Cow::Owned(elements), rest))
            }
            _ => None,
        }
    }

    /// Copies a matrix in a type of GGML to `memory`.
    pub fn copied(&self, memory: &Memory) -> Self {
        let mut copy = Self::zeros(self.dtype, self.rows, self.columns, memory);
        copy.bytes.copy_from_slice(&self.bytes);
        copy
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
        self.bytes.len() + self.rest.len() + self.exponents.as_ref().map_or(0, Exponents::size)
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
        let all = Part {
            form: match &self.exponents {
                Some(exponents) => Form::Bf12 {
                    exponents: exponents.of_all_rows(),
                    rest: &self.rest,
                },
                None => Form::Ggml(self.dtype),
            },
            bytes: &self.bytes,
            rows: self.rows,
        };
        all.cut(rows)
    }
}
