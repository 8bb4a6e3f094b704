//! Weights that are not trained, packed into few bytes; they are read packed or unpacked on use.

use super::blocks::bytes_of;
use super::dtype::Dtype;
use super::memory::Memory;
use super::packed::Packed;
use super::stored::Stored;
use super::{Layout, Parameters, Slot, Span, Tensor};
use crate::cpu::{Isa, isa};
use crate::error::Result;
use candle_core::quantized::GgmlDType;
use rayon::prelude::*;
use std::sync::Arc;

/// All weights of a model with packed matrices: bf16, or blocks of few bits. Vectors are f32.
#[derive(Clone)]
pub struct Frozen {
    /// Place that each tensor would have if it were unpacked.
    pub layout: Arc<Layout>,
    /// Matrices in the order of the layout; empty for a vector.
    matrices: Arc<[Packed]>,
    /// Vectors, one after the other in the order of the layout.
    vectors: Arc<[f32]>,
    /// First element of each vector in `vectors`, by the index of its slot.
    starts: Arc<[usize]>,
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (tensors, bytes) = (self.matrices.len(), self.bytes());
        write!(f, "Frozen {{ tensors: {tensors}, bytes: {bytes} }}")
    }
}

impl Frozen {
    /// Packs every matrix of `layout`. Besides the result, memory holds only the matrices and
    /// pieces that are being packed.
    pub(super) fn read(layout: Arc<Layout>, stored: &impl Stored, dtype: Dtype) -> Result<Self> {
        let layers = layout.layers();
        let packed = |slot: &Slot| Ok(dtype.packed(slot, stored.dtype(slot)?, layers));
        let room = |slot: &Slot| match slot.is_matrix() {
            true => Ok(Memory::aligned_len(bytes_of(slot.len(), packed(slot)?))),
            false => Ok(0),
        };
        let in_12_bits = {
            let matrices = layout.slots().iter().filter(|slot| slot.is_matrix());
            let dtypes: Vec<GgmlDType> = matrices.map(packed).collect::<Result<_>>()?;
            multiplies_12_bits() && dtypes.iter().any(is_half) && !dtypes.contains(&GgmlDType::F32)
        };
        let memory = Memory::in_huge_pages(layout.slots().iter().map(room).sum::<Result<usize>>()?)?;
        let matrix = |slot: &Slot| match slot.is_matrix() {
            true if in_12_bits => in_12_bits_or_as_is(slot, stored, packed(slot)?, &memory),
            true => read_matrix(slot, stored, packed(slot)?, &memory),
            false => Ok(Packed::zeros(GgmlDType::F32, 0, 1, &memory)),
        };
        // Matrices, then the few vectors. Those that are packed twice are read in turn, so that
        // memory holds one of them in its first form; each is read with all threads.
        let slots = layout.slots();
        let matrices: Vec<Packed> = match in_12_bits {
            true => slots.iter().map(matrix).collect::<Result<_>>()?,
            false => slots.par_iter().map(matrix).collect::<Result<_>>()?,
        };
        let (mut vectors, mut starts) = (Vec::new(), Vec::new());
        for slot in layout.slots() {
            let start = vectors.len();
            starts.push(start);
            if !slot.is_matrix() {
                vectors.resize(start + slot.len(), 0.0);
                stored.read(slot, 0, &mut vectors[start..])?;
            }
        }
        Ok(Self {
            layout,
            matrices: matrices.into(),
            vectors: vectors.into(),
            starts: starts.into(),
        })
    }

    /// Returns the bytes of memory that the weights take.
    pub fn bytes(&self) -> usize {
        self.matrices.iter().map(Packed::size).sum::<usize>() + size_of_val(&*self.vectors)
    }

    /// Returns true if no matrix is more precise than bf16 or f16.
    pub(super) fn is_rounded(&self) -> bool {
        self.matrices
            .iter()
            .all(|matrix| matrix.size() == 0 || !matrix.is_f32())
    }

    /// Returns matrices that lie side by side.
    pub(super) fn matrix(&self, span: &Span) -> Tensor<'_> {
        Tensor::packed(&self.matrices[span.slots.clone()], span.columns)
    }

    /// Returns vectors that lie side by side.
    pub(super) fn vector(&self, span: &Span) -> &[f32] {
        &self.vectors[self.starts[span.slots.start]..][..span.elements.len()]
    }

    /// Unpacks all weights to f32.
    pub fn to_f32(&self) -> Parameters {
        let mut parameters = Parameters::zeros(self.layout.clone());
        for (index, slot) in self.layout.slots().iter().enumerate() {
            let span = slot.span(index);
            let values = &mut parameters.buckets[slot.bucket][slot.range()];
            match slot.is_matrix() {
                true => {
                    let matrix = self.matrix(&span);
                    matrix.unpack_parallel(0..matrix.rows(), values);
                }
                false => values.copy_from_slice(self.vector(&span)),
            }
        }
        parameters
    }
}

fn read_matrix(slot: &Slot, stored: &impl Stored, dtype: GgmlDType, memory: &Memory) -> Result<Packed> {
    let columns = slot.columns();
    let mut packed = Packed::zeros(dtype, slot.len() / columns, columns, memory);
    let pieces = packed
        .bytes_mut()
        .par_chunks_mut(bytes_of(slot.piece_len(), dtype));
    pieces
        .zip(slot.pieces())
        .try_for_each(|(bytes, elements)| stored.pack(slot, elements, dtype, bytes))?;
    Ok(packed)
}

/// Reads a matrix, and packs it in 12 bits per element if it can be.
fn in_12_bits_or_as_is(
    slot: &Slot,
    stored: &impl Stored,
    dtype: GgmlDType,
    memory: &Memory,
) -> Result<Packed> {
    if !is_half(&dtype) {
        return read_matrix(slot, stored, dtype, memory);
    }
    let own = Memory::new(bytes_of(slot.len(), dtype))?;
    let packed = read_matrix(slot, stored, dtype, &own)?;
    Ok(packed.in_12_bits(memory).unwrap_or_else(|| packed.copied(memory)))
}

fn is_half(dtype: &GgmlDType) -> bool {
    matches!(dtype, GgmlDType::BF16 | GgmlDType::F16)
}

/// Returns true if the products of this processor read elements in 12 bits.
fn multiplies_12_bits() -> bool {
    isa() >= Isa::Avx512Bf16
}

#[cfg(test)]
impl Stored for Parameters {
    fn dtype(&self, _: &Slot) -> Result<GgmlDType> {
        Ok(GgmlDType::F32)
    }

    fn read(&self, slot: &Slot, start: usize, values: &mut [f32]) -> Result<()> {
        values.copy_from_slice(&self.buckets[slot.bucket][slot.range()][start..start + values.len()]);
        Ok(())
    }
}
