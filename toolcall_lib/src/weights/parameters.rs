//! Weights as f32: one flat buffer per bucket, which can be trained.

use super::layout::{Layout, Slot};
use super::stored::Stored;
use crate::error::Result;
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::collections::HashMap;
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
    pub(super) fn read(layout: Arc<Layout>, stored: &impl Stored) -> Result<Self> {
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

    /// Makes a tensor of candle of each bucket, whose memory it takes over, and returns views of
    /// them by the names of the layout.
    pub(crate) fn into_candle(self) -> candle_core::Result<HashMap<String, Tensor>> {
        let owner = |bucket: Vec<f32>| {
            let len = bucket.len();
            Tensor::from_vec(bucket, len, &Device::Cpu)
        };
        let buckets = self.buckets.into_iter().map(owner);
        let buckets: Vec<Tensor> = buckets.collect::<candle_core::Result<_>>()?;
        let view = |slot: &Slot| {
            let elements = buckets[slot.bucket].narrow(0, slot.offset, slot.len())?;
            Ok((slot.name.clone(), elements.reshape(slot.shape.as_slice())?))
        };
        self.layout.slots().iter().map(view).collect()
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
