//! Where the backward pass puts what it finds.

use crate::error::Result;
use crate::weights::{Layout, Parameters};
use std::sync::Arc;

/// Gradients of what is trained, bucket by bucket. While the backward pass works on one bucket, others may be on their way to other
/// ranks.
pub trait Gradients: Send {
    /// Which tensor stands where.
    fn layout(&self) -> &Arc<Layout>;

    /// The elements of a bucket, to be added to.
    fn bucket(&mut self, bucket: usize) -> &mut [f32];

    /// Says that nothing more will be added to a bucket in this pass. The last bucket comes first.
    fn complete(&mut self, bucket: usize) -> Result<()>;
}

/// Sums over the passes, nothing else.
impl Gradients for Parameters {
    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn bucket(&mut self, bucket: usize) -> &mut [f32] {
        &mut self.buckets[bucket]
    }

    fn complete(&mut self, _: usize) -> Result<()> {
        Ok(())
    }
}
