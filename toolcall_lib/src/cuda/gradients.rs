//! Gradient sums in the memory of a GPU.

use super::buffer::{DeviceBuffer, View};
use super::driver::{Driver, Element};
use super::ops::add;
use super::ranks::{DeviceRanks, Ticket};
use crate::collective::Shard;
use crate::error::Result;
use crate::optimizer::zero::{GradientSums, Memory};
use std::ops::Range;
use std::sync::Arc;

/// The memory of a GPU, and the ranks that exchange it. The host only queues the work, and waits
/// for nothing.
pub(crate) struct OnDevice {
    pub driver: Arc<dyn Driver>,
    pub ranks: Arc<dyn DeviceRanks>,
}

impl Memory for OnDevice {
    type Buffer = DeviceBuffer;
    type Travelling = (DeviceBuffer, Ticket);

    fn shard(&self) -> Shard {
        self.ranks.shard()
    }

    fn room(&self, size: usize) -> usize {
        self.ranks.shard().room(size) // NCCL wants parts of one length
    }

    fn zeros(&self, len: usize) -> Result<DeviceBuffer> {
        DeviceBuffer::zeros(&self.driver, Element::F32, len)
    }

    fn clear(&self, buffer: &mut DeviceBuffer) -> Result<()> {
        buffer.all().zero(&*self.driver)
    }

    fn len(buffer: &DeviceBuffer) -> usize {
        buffer.len()
    }

    fn start_sum(&self, buffer: DeviceBuffer, whole: bool) -> Result<(DeviceBuffer, Ticket)> {
        let mut ticket = self.ranks.start_reduce_scatter(buffer.all())?;
        if whole {
            ticket = self.ranks.start_all_gather(buffer.all())?;
        }
        Ok((buffer, ticket))
    }

    fn arrived(&self, (buffer, ticket): (DeviceBuffer, Ticket)) -> Result<DeviceBuffer> {
        self.ranks.join(ticket)?;
        Ok(buffer)
    }

    fn add(&self, from: &DeviceBuffer, part: Range<usize>, to: &mut DeviceBuffer) -> Result<()> {
        add(&*self.driver, from.all().slice(part), to.all())
    }
}

/// The gradients of an optimizer step on a GPU.
pub(crate) type DeviceGradients = GradientSums<OnDevice>;

impl DeviceGradients {
    /// Returns the elements of a bucket, for the backward pass to add to.
    pub fn bucket(&mut self, bucket: usize) -> Result<View> {
        let size = self.sizes[bucket];
        Ok(self.buffer(bucket)?.all().slice(0..size))
    }

    /// Returns this rank's sums, bucket by bucket.
    pub fn own(&self) -> Vec<View> {
        self.sums()
            .map(|(buffer, part)| buffer.all().slice(part))
            .collect()
    }
}
