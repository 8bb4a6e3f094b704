//! Named weights, and their sources: safetensors, GGUF, the hub.
//!
//! [`read()`] turns a [`ModelSource`] into a [`RawModel`]. [`Weights`] are either [`Parameters`],
//! f32 in one flat buffer per bucket, which can be trained, or [`Frozen`], packed matrices that are
//! only read. A [`Layout`] says which tensor lies where; every reader and writer, the optimizer and
//! the collective operations go by it.

mod blocks;
mod dtype;
mod finite;
mod fit;
mod frozen;
mod layout;
mod map;
mod pieces;
mod random;
mod tensor;
pub mod safetensors;
pub mod gguf;
mod folder;
pub mod hub;
mod source;

#[cfg(target_arch = "x86_64")]
pub(crate) use blocks::unpack;
pub use dtype::Dtype;
pub use folder::TextFiles;
pub use frozen::Frozen;
pub use layout::{Layout, Slot, Span};
pub use source::{ModelSource, RawModel, read, read_as};
#[cfg(target_arch = "x86_64")]
pub(crate) use tensor::Part;
pub use tensor::Tensor;
#[cfg(test)]
pub(crate) use tensor::packed_for_test;

use crate::error::Result;
use frozen::Stored;
use rayon::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;

/// All weights of a model or of an adapter (or their gradients, or moments): one flat f32 buffer
/// per bucket.
///
/// Buckets are the units of work: the embedding, each block, the head. Within a block `q_proj`,
/// `k_proj` and `v_proj` lie side by side, and so do `gate_proj` and `up_proj`, so that each group
/// is one matrix product.
#[derive(Clone, Default)]
pub struct Parameters {
    /// Place of each tensor in the buckets.
    pub layout: Arc<Layout>,
    /// Elements: `buckets[b][slot.range()]` is a tensor of bucket `b`, row-major.
    pub buckets: Vec<Vec<f32>>,
}

/// Prints counts and not millions of values, because a notebook shows a variable by its `Debug`.
impl std::fmt::Debug for Parameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Parameters {{ tensors: {}, elements: {} }}",
            self.layout.slots().len(),
            self.len()
        )
    }
}

impl Parameters {
    /// Makes zeros for every tensor of `layout`.
    pub fn zeros(layout: Arc<Layout>) -> Self {
        let buckets = zero_buckets(layout.bucket_sizes());
        Self { layout, buckets }
    }

    /// Reads every tensor of `layout`; converts the pieces in parallel, straight into their place.
    fn read(layout: Arc<Layout>, stored: &impl Stored) -> Result<Self> {
        let mut parameters = Self::zeros(layout);
        parameters
            .pieces_mut()
            .into_par_iter()
            .try_for_each(|piece| stored.read(piece.slot, piece.start, piece.values))?;
        Ok(parameters)
    }

    /// Returns the elements of a tensor by its Hugging Face name, such as
    /// `model.layers.0.mlp.up_proj.weight`.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        let slot = self.layout.slot(name)?;
        Some(&self.buckets[slot.bucket][slot.range()])
    }

    /// Returns the elements of a tensor by its Hugging Face name, to write.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        let slot = self.layout.slot(name)?;
        let (bucket, range) = (slot.bucket, slot.range());
        Some(&mut self.buckets[bucket][range])
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.buckets.iter().map(Vec::len).sum()
    }

    /// Returns true for a model without parameters, which does not exist.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Makes buckets of these lengths, all zero.
pub fn zero_buckets(lens: impl IntoIterator<Item = usize>) -> Vec<Vec<f32>> {
    let mut buckets: Vec<Vec<f32>> = lens.into_iter().map(|len| vec![0.0; len]).collect();
    // The system hands out memory at its first use, and twice as slowly if that is a read.
    let parts = buckets
        .par_iter_mut()
        .flat_map(|bucket| bucket.par_chunks_mut(1 << 20));
    parts.for_each(|part| part.fill(0.0));
    buckets
}

/// The weights of a model, in the form that it holds.
#[derive(Clone, Debug)]
pub enum Weights {
    /// f32 weights, which can be trained and saved.
    Full(Parameters),
    /// Packed weights, which are only read.
    Frozen(Frozen),
}

impl Default for Weights {
    fn default() -> Self {
        Self::Full(Parameters::default())
    }
}

impl From<Parameters> for Weights {
    fn from(parameters: Parameters) -> Self {
        Self::Full(parameters)
    }
}

impl Weights {
    /// Reads every tensor of `layout`, as f32 or packed as `dtype`.
    fn read(layout: Arc<Layout>, stored: &impl Stored, dtype: Dtype) -> Result<Self> {
        match dtype {
            Dtype::F32 => Parameters::read(layout, stored).map(Self::Full),
            _ => Frozen::read(layout, stored, dtype).map(Self::Frozen),
        }
    }

    /// Packs these weights.
    #[cfg(test)]
    #[cfg(feature = "cuda")]
    pub(crate) fn packed_for_test(parameters: &Parameters, dtype: Dtype) -> Self {
        Self::read(parameters.layout.clone(), parameters, dtype).unwrap()
    }

    /// Returns the place of each tensor.
    pub fn layout(&self) -> &Arc<Layout> {
        match self {
            Self::Full(parameters) => &parameters.layout,
            Self::Frozen(frozen) => &frozen.layout,
        }
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.layout().slots().iter().map(Slot::len).sum()
    }

    /// Returns true for a model without weights, which does not exist.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes of memory that the weights take.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Full(parameters) => parameters.len() * size_of::<f32>(),
            Self::Frozen(frozen) => frozen.bytes(),
        }
    }

    /// Returns matrices that lie side by side, one below the other.
    pub fn matrix(&self, span: &Span) -> Tensor<'_> {
        match self {
            Self::Full(parameters) => {
                let elements = &parameters.buckets[span.bucket][span.elements.clone()];
                Tensor::new(elements, span.columns)
            }
            Self::Frozen(frozen) => frozen.matrix(span),
        }
    }

    /// Returns vectors that lie side by side.
    pub fn vector(&self, span: &Span) -> &[f32] {
        match self {
            Self::Full(parameters) => &parameters.buckets[span.bucket][span.elements.clone()],
            Self::Frozen(frozen) => frozen.vector(span),
        }
    }

    /// Returns true if no matrix is more precise than bf16 or f16.
    pub fn is_rounded(&self) -> bool {
        match self {
            Self::Full(_) => false,
            Self::Frozen(frozen) => frozen.is_rounded(),
        }
    }

    /// Returns all weights as f32, unpacked if they are packed.
    pub fn to_f32(&self) -> Cow<'_, Parameters> {
        match self {
            Self::Full(parameters) => Cow::Borrowed(parameters),
            Self::Frozen(frozen) => Cow::Owned(frozen.to_f32()),
        }
    }
}
