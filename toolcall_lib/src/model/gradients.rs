//! The receiver of the gradients that a backward pass computes.
//!
//! The backward pass adds to one bucket at a time (a block's parameters, for example) and calls
//! [`Gradients::complete`] when it is done with it. A plain [`Parameters`] sums over passes; a
//! training run on several ranks starts the exchange of a bucket while the next one is computed.

use crate::error::Result;
use crate::weights::{Layout, Parameters};
use std::sync::Arc;

/// Gradients of the trained parameters, bucket by bucket. While the backward pass works on one
/// bucket, others may be on their way to other ranks.
pub trait Gradients: Send {
    /// Returns the layout: the bucket and offset of each tensor.
    fn layout(&self) -> &Arc<Layout>;

    /// Returns the elements of a bucket. The backward pass adds to them.
    ///
    /// # Errors
    /// There is no memory for them.
    fn bucket(&mut self, bucket: usize) -> Result<&mut [f32]>;

    /// Marks a bucket as complete for this pass: nothing more will be added to it. The last bucket
    /// is completed first.
    ///
    /// # Errors
    /// The exchange with other ranks failed.
    fn complete(&mut self, bucket: usize) -> Result<()>;
}

/// Sums gradients over the passes and exchanges nothing.
impl Gradients for Parameters {
    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn bucket(&mut self, bucket: usize) -> Result<&mut [f32]> {
        Ok(&mut self.buckets[bucket])
    }

    fn complete(&mut self, _: usize) -> Result<()> {
        Ok(())
    }
}
