//! Named parameters and where they come from: safetensors, GGUF, the hub.

mod fit;
mod layout;
mod map;
mod pieces;
mod random;
pub mod safetensors;
pub mod gguf;
mod folder;
pub mod hub;
mod source;

pub use layout::{Layout, Slot};
pub use source::{ModelSource, RawModel, read};

use rayon::prelude::*;
use std::sync::Arc;

/// All weights of a model (or all their gradients, or moments): one flat f32 buffer per bucket.
///
/// Buckets are the units of work: the embedding, each block, the head. Within a block `q_proj`, `k_proj` and `v_proj` stand
/// side by side, and so do `gate_proj` and `up_proj`, so that each group is one matrix product.
#[derive(Clone)]
pub struct Parameters {
    /// Which tensor stands where.
    pub layout: Arc<Layout>,
    /// `buckets[b][slot.range()]` are the elements of a tensor, row major.
    pub buckets: Vec<Vec<f32>>,
}

/// Their numbers, not millions of values: a notebook shows a variable by its `Debug`.
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
    /// Zeros for every tensor of `layout`.
    pub fn zeros(layout: Arc<Layout>) -> Self {
        let mut buckets: Vec<Vec<f32>> = layout.bucket_sizes().into_iter().map(|n| vec![0.0; n]).collect();
        // The system hands out memory at its first use, and twice as slowly if that is a read.
        let parts = buckets
            .par_iter_mut()
            .flat_map(|bucket| bucket.par_chunks_mut(1 << 20));
        parts.for_each(|part| part.fill(0.0));
        Self { layout, buckets }
    }

    /// The elements of a tensor by its Hugging Face name, such as `model.layers.0.mlp.up_proj.weight`.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        let slot = self.layout.slot(name)?;
        Some(&self.buckets[slot.bucket][slot.range()])
    }

    /// The same, to write.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        let slot = self.layout.slot(name)?;
        let (bucket, range) = (slot.bucket, slot.range());
        Some(&mut self.buckets[bucket][range])
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.buckets.iter().map(Vec::len).sum()
    }

    /// True for a model without parameters, which does not exist.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
