//! Weights that are not trained, packed into few bytes and read as they are, or unpacked where they are used.

use super::blocks::{bytes_of, pack};
use super::dtype::Dtype;
use super::tensor::Packed;
use super::{Layout, Parameters, Slot, Span, Tensor};
use crate::error::Result;
use candle_core::quantized::GgmlDType;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Tensors in a file.
pub(super) trait Stored: Sync {
    /// What a tensor is stored as.
    fn dtype(&self, slot: &Slot) -> Result<GgmlDType>;

    /// Whole rows of a tensor, from element `start` on, as f32.
    fn read(&self, slot: &Slot, start: usize, values: &mut [f32]) -> Result<()>;

    /// Whole rows of a tensor, packed as `dtype` into `bytes`.
    fn pack(&self, slot: &Slot, elements: Range<usize>, dtype: GgmlDType, bytes: &mut [u8]) -> Result<()> {
        let mut values = vec![0.0; elements.len()];
        self.read(slot, elements.start, &mut values)?;
        pack(&values, dtype, bytes);
        Ok(())
    }
}

/// All weights of a model, the matrices packed: bf16, or blocks of few bits. Vectors are f32.
#[derive(Clone)]
pub struct Frozen {
    /// Which tensor would stand where if it were unpacked.
    pub layout: Arc<Layout>,
    /// In the order of the layout; of a vector, nothing.
    matrices: Arc<[Packed]>,
    /// One behind the other in the order of the layout.
    vectors: Arc<[f32]>,
    /// Where each begins, by the index of its slot.
    starts: Arc<[usize]>,
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (tensors, bytes) = (self.matrices.len(), self.bytes());
        write!(f, "Frozen {{ tensors: {tensors}, bytes: {bytes} }}")
    }
}

impl Frozen {
    /// Packs every matrix of `layout`. Beside the result, only the pieces that are being packed are in memory.
    pub(super) fn read(layout: Arc<Layout>, stored: &impl Stored, dtype: Dtype) -> Result<Self> {
        let layers = layout.layers();
        let matrix = |slot: &Slot| match slot.is_matrix() {
            true => read_matrix(slot, stored, dtype.packed(slot, stored.dtype(slot)?, layers)),
            false => Ok(Packed::zeros(GgmlDType::F32, 0, 1)),
        };
        let matrices: Vec<Packed> = layout.slots().par_iter().map(matrix).collect::<Result<_>>()?;
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

    /// Memory that the weights take.
    pub fn bytes(&self) -> usize {
        self.matrices.iter().map(Packed::size).sum::<usize>() + size_of_val(&*self.vectors)
    }

    /// No matrix is more precise than bf16 and f16 are.
    pub(super) fn is_rounded(&self) -> bool {
        self.matrices
            .iter()
            .all(|matrix| matrix.size() == 0 || matrix.dtype != GgmlDType::F32)
    }

    /// Matrices that stand side by side.
    pub(super) fn matrix(&self, span: &Span) -> Tensor<'_> {
        Tensor::packed(&self.matrices[span.slots.clone()], span.columns)
    }

    /// Vectors that stand side by side.
    pub(super) fn vector(&self, span: &Span) -> &[f32] {
        &self.vectors[self.starts[span.slots.start]..][..span.elements.len()]
    }

    /// All weights as f32.
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

fn read_matrix(slot: &Slot, stored: &impl Stored, dtype: GgmlDType) -> Result<Packed> {
    let columns = slot.columns();
    let mut packed = Packed::zeros(dtype, slot.len() / columns, columns);
    let pieces = packed
        .bytes_mut()
        .par_chunks_mut(bytes_of(slot.piece_len(), dtype));
    pieces
        .zip(slot.pieces())
        .try_for_each(|(bytes, elements)| stored.pack(slot, elements, dtype, bytes))?;
    Ok(packed)
}

#[cfg(test)]
#[cfg(feature = "cuda")]
impl Stored for Parameters {
    fn dtype(&self, _: &Slot) -> Result<GgmlDType> {
        Ok(GgmlDType::F32)
    }

    fn read(&self, slot: &Slot, start: usize, values: &mut [f32]) -> Result<()> {
        values.copy_from_slice(&self.buckets[slot.bucket][slot.range()][start..start + values.len()]);
        Ok(())
    }
}
