//! Weights that are not trained, packed into few bytes and unpacked where they are used.

use super::dtype::Dtype;
use super::{Layout, Parameters, Slot};
use crate::error::Result;
use candle_core::CpuStorage;
use candle_core::quantized::{GgmlDType, QuantizedType};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// A run of whole rows.
pub(super) type Packed = Box<dyn QuantizedType>;

/// Elements that are unpacked at a time (16 MiB as f32) where a whole tensor would be too large.
const TILE: usize = 1 << 22;

/// Tensors in a file.
pub(super) trait Stored: Sync {
    /// What a tensor is stored as.
    fn dtype(&self, slot: &Slot) -> Result<GgmlDType>;

    /// Whole rows of a tensor, from element `start` on, as f32.
    fn read(&self, slot: &Slot, start: usize, values: &mut [f32]) -> Result<()>;

    /// Whole rows of a tensor, packed as `dtype`.
    fn pack(&self, slot: &Slot, elements: Range<usize>, dtype: GgmlDType) -> Result<Packed> {
        let mut values = vec![0.0; elements.len()];
        self.read(slot, elements.start, &mut values)?;
        Ok(pack(&values, dtype))
    }
}

/// Packs f32 into blocks; their number of elements divides the number of values.
pub(super) fn pack(values: &[f32], dtype: GgmlDType) -> Packed {
    let mut packed = dtype.cpu_zeros(values.len());
    packed.from_float(values);
    packed
}

/// All weights of a model, packed: bf16, or blocks of few bits.
#[derive(Clone)]
pub struct Frozen {
    /// Which tensor would stand where if it were unpacked.
    pub layout: Arc<Layout>,
    /// The pieces of each tensor, in the order of the layout.
    tensors: Vec<Arc<[Packed]>>,
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Frozen {{ tensors: {}, bytes: {} }}",
            self.tensors.len(),
            self.bytes()
        )
    }
}

impl Frozen {
    /// Packs every tensor of `layout`. Beside the result, only the pieces that are being packed are in memory.
    pub(super) fn read(layout: Arc<Layout>, stored: &impl Stored, dtype: Dtype) -> Result<Self> {
        let tensor = |slot: &Slot| {
            let dtype = dtype.packed(slot, stored.dtype(slot)?);
            let pieces = slot.pieces().into_par_iter();
            pieces
                .map(|elements| stored.pack(slot, elements, dtype))
                .collect::<Result<Vec<_>>>()
                .map(Arc::from)
        };
        let tensors = layout.slots().par_iter().map(tensor).collect::<Result<_>>()?;
        Ok(Self { layout, tensors })
    }

    /// Memory that the weights take.
    pub fn bytes(&self) -> usize {
        let pieces = self.tensors.iter().flat_map(|tensor| tensor.iter());
        pieces.map(|piece| piece.storage_size_in_bytes()).sum()
    }

    /// A tensor of the layout.
    pub(super) fn tensor<'a>(&'a self, slot: &'a Slot) -> Tensor<'a> {
        let index = self.layout.index(&slot.name);
        let pieces = index.map_or(&[][..], |index| &self.tensors[index]);
        Tensor(Elements::Packed { slot, pieces })
    }

    /// The elements of a bucket as they would stand in [`Parameters`].
    pub(super) fn unpack(&self, bucket: usize, values: &mut [f32]) {
        let mut rest = values;
        let mut pieces = Vec::new();
        for (slot, tensor) in self.layout.slots().iter().zip(&self.tensors) {
            if slot.bucket == bucket {
                let (values, after) = rest.split_at_mut(slot.len());
                rest = after;
                pieces.extend(values.chunks_mut(slot.piece_len()).zip(&**tensor));
            }
        }
        pieces
            .into_par_iter()
            .for_each(|(values, piece)| unpack(piece, values));
    }

    /// All weights as f32.
    pub fn to_f32(&self) -> Parameters {
        let mut parameters = Parameters::zeros(self.layout.clone());
        for (bucket, values) in parameters.buckets.iter_mut().enumerate() {
            self.unpack(bucket, values);
        }
        parameters
    }
}

/// One tensor, to read.
#[derive(Clone, Copy)]
pub struct Tensor<'a>(Elements<'a>);

#[derive(Clone, Copy)]
enum Elements<'a> {
    F32(&'a [f32]),
    Packed { slot: &'a Slot, pieces: &'a [Packed] },
}

impl std::fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor {{ elements: {} }}", self.len())
    }
}

impl<'a> From<&'a [f32]> for Tensor<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self(Elements::F32(values))
    }
}

impl Tensor<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self.0 {
            Elements::F32(values) => values.len(),
            Elements::Packed { slot, .. } => slot.len(),
        }
    }

    /// True for a tensor without elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row `row`, as wide as `values`.
    pub fn row(&self, row: usize, values: &mut [f32]) {
        let width = values.len();
        match self.0 {
            Elements::F32(all) => values.copy_from_slice(&all[row * width..][..width]),
            Elements::Packed { slot, pieces } => {
                let rows = slot.piece_len() / width;
                let piece = &pieces[row / rows];
                let rows_here = rows.min(slot.len() / width - row / rows * rows);
                copy(piece.embedding(&[(row % rows) as u32], rows_here, width), values);
            }
        }
    }

    /// Calls `visit(first row, rows as f32)` until all rows of `width` elements were shown: at once where they are f32, some
    /// at a time where they are packed.
    pub fn for_each_tile(&self, width: usize, mut visit: impl FnMut(usize, &[f32])) {
        match self.0 {
            Elements::F32(values) => visit(0, values),
            Elements::Packed { slot, pieces } => {
                let piece_len = slot.piece_len();
                let at_a_time = TILE.div_ceil(piece_len);
                let mut tile = vec![0.0; slot.len().min(at_a_time * piece_len)];
                for (i, pieces) in pieces.chunks(at_a_time).enumerate() {
                    let start = i * at_a_time * piece_len;
                    let tile = &mut tile[..(slot.len() - start).min(at_a_time * piece_len)];
                    tile.par_chunks_mut(piece_len)
                        .zip(pieces)
                        .for_each(|(values, piece)| unpack(piece, values));
                    visit(start / width, tile);
                }
            }
        }
    }
}

fn unpack(piece: &Packed, values: &mut [f32]) {
    copy(piece.dequantize(values.len()), values);
}

/// Takes over what candle unpacked.
fn copy(unpacked: candle_core::Result<CpuStorage>, values: &mut [f32]) {
    match unpacked {
        Ok(CpuStorage::F32(unpacked)) => values.copy_from_slice(&unpacked),
        _ => unreachable!("blocks of whole rows are unpacked to f32"),
    }
}
