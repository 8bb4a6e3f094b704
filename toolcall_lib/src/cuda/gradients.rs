//! The gradients of an optimizer step on the device: summed over the trees of a rank, then over the
//! ranks.

use super::buffer::{DeviceBuffer, View};
use super::driver::Element;
use super::ops::Device;
use super::ranks::{DeviceRanks, Ticket};
use crate::collective::Shard;
use crate::error::{Error, Result};
use crate::weights::Layout;
use std::collections::VecDeque;
use std::sync::Arc;

/// Most buckets that travel while the backward pass works on the next ones; more would only hold
/// memory.
const MOST_UNDER_WAY: usize = 2;

/// Sums over trees and ranks, divided as in ZeRO (Rajbhandari et al., 2020):
///
/// | stage | a rank holds | what travels |
/// |---|---|---|
/// | 0 | every sum | buckets, after the last tree; every rank gets every sum |
/// | 1 | whole buckets; sums in its shard | buckets, after the last tree; each gets its shard |
///
/// The host only queues the work, and waits for nothing.
#[derive(Debug)]
pub(crate) struct DeviceGradients {
    ranks: Arc<dyn DeviceRanks>,
    zero_stage: u8,
    /// Number of elements of each bucket.
    sizes: Vec<usize>,
    /// Buckets that trees add to, with room for the parts of all ranks. In stage 2 only while a
    /// tree is being added.
    whole: Vec<Option<DeviceBuffer>>,
    /// Sums of this rank's shard, in stage 2.
    shards: Vec<DeviceBuffer>,
    under_way: VecDeque<(usize, DeviceBuffer, Ticket)>,
    /// Buffers that no bucket uses at the moment, in stage 2.
    spare: Vec<DeviceBuffer>,
    travels: bool,
    /// True if no tree has been added since the last step.
    fresh: bool,
}

impl DeviceGradients {
    /// Makes zeros for every tensor of `layout`.
    pub fn new(
        device: &Device,
        ranks: Arc<dyn DeviceRanks>,
        zero_stage: u8,
        layout: &Layout,
    ) -> Result<Self> {
        let sizes = layout.bucket_sizes();
        let zero_stage = if ranks.shard().size == 1 { 0 } else { zero_stage };
        let all = ranks.shard();
        let zeros = |len| DeviceBuffer::zeros(&device.driver, Element::F32, len);
        let (mut whole, mut shards) = (Vec::new(), Vec::new());
        for &size in &sizes {
            // Stage 2 makes whole buckets only while a tree is being added.
            if zero_stage == 2 {
                whole.push(None);
                shards.push(zeros(all.range(size).len())?);
            } else {
                whole.push(Some(zeros(all.room(size))?));
            }
        }
        Ok(Self {
            ranks,
            zero_stage,
            sizes,
            whole,
            shards,
            under_way: VecDeque::new(),
            spare: Vec::new(),
            travels: false,
            fresh: true,
        })
    }

    /// Returns the part of every bucket of which this rank has the sums.
    pub fn shard(&self) -> Shard {
        match self.zero_stage {
            0 => Shard::WHOLE,
            _ => self.ranks.shard(),
        }
    }

    /// Returns the sums of a bucket, once [`DeviceGradients::finish`] has been called.
    pub fn sums(&self, bucket: usize) -> View {
        let range = self.shard().range(self.sizes[bucket]);
        match (&self.whole[bucket], self.shards.get(bucket)) {
            (_, Some(shard)) => shard.all(),
            (Some(whole), None) => whole.all().slice(range),
            (None, None) => View::EMPTY, // it still travels, because `finish` has failed
        }
    }

    /// Announces the backward pass of a tree, and whether it is the last one of this step.
    pub fn begin_tree(&mut self, device: &Device, last: bool) -> Result<()> {
        self.travels = self.ranks.shard().size > 1 && (last || self.zero_stage == 2);
        if std::mem::take(&mut self.fresh) && self.zero_stage == 1 {
            // The optimizer has cleared its shard; the rest still holds what the reduce-scatter
            // left.
            for buffer in self.whole.iter().flatten() {
                buffer.all().zero(&*device.driver)?;
            }
        }
        Ok(())
    }

    /// Returns the elements of a bucket, for the backward pass to add to.
    pub fn bucket(&mut self, device: &Device, bucket: usize) -> Result<View> {
        let size = self.sizes[bucket];
        let buffer = match self.whole[bucket].take() {
            Some(buffer) => buffer,
            None => self.buffer(device, self.ranks.shard().room(size))?,
        };
        Ok(self.whole[bucket].insert(buffer).all().slice(0..size))
    }

    /// Marks a bucket as complete for this pass, and sends it if this tree travels. The last bucket
    /// comes first.
    pub fn complete(&mut self, device: &Device, bucket: usize) -> Result<()> {
        if !self.travels {
            return Ok(());
        }
        if self.under_way.len() == MOST_UNDER_WAY {
            self.receive(device)?;
        }
        let missing = || Error::invalid("gradients", format!("bucket {bucket} is complete twice"));
        let buffer = self.whole[bucket].take().ok_or_else(missing)?;
        let mut ticket = self.ranks.start_reduce_scatter(buffer.all())?;
        if self.zero_stage == 0 {
            ticket = self.ranks.start_all_gather(buffer.all())?;
        }
        self.under_way.push_back((bucket, buffer, ticket));
        Ok(())
    }

    /// Takes part in the sums for a tree that other ranks have and this rank has not.
    pub fn no_tree(&mut self, device: &Device) -> Result<()> {
        for bucket in (0..self.sizes.len()).rev() {
            self.bucket(device, bucket)?;
            self.complete(device, bucket)?;
        }
        Ok(())
    }

    /// Makes the device wait for the buckets that still travel; then the sums are those of the
    /// step.
    pub fn finish(&mut self, device: &Device) -> Result<()> {
        while !self.under_way.is_empty() {
            self.receive(device)?;
        }
        self.fresh = true;
        Ok(())
    }

    /// Returns the bytes of the sums, and of the other buffers that the backward pass fills.
    pub fn bytes(&self) -> (usize, usize) {
        let sums = self.sizes.iter().map(|&size| self.shard().range(size).len());
        let sums = sums.sum::<usize>() * size_of::<f32>();
        let buffers = self.whole.iter().flatten().chain(&self.spare).chain(&self.shards);
        let all = buffers.map(DeviceBuffer::len).sum::<usize>() * size_of::<f32>();
        (sums, all - sums)
    }

    /// Receives the bucket that has travelled longest.
    fn receive(&mut self, device: &Device) -> Result<()> {
        let Some((bucket, buffer, ticket)) = self.under_way.pop_front() else {
            return Ok(());
        };
        self.ranks.join(ticket)?;
        if self.zero_stage == 2 {
            let own = self.ranks.shard().range(self.sizes[bucket]);
            device.add(buffer.all().slice(own), self.shards[bucket].all())?;
            self.spare.push(buffer);
        } else {
            self.whole[bucket] = Some(buffer);
        }
        Ok(())
    }

    /// Returns a buffer of zeros, reused if there is a spare one.
    fn buffer(&mut self, device: &Device, len: usize) -> Result<DeviceBuffer> {
        match self.spare.iter().position(|buffer| buffer.len() == len) {
            Some(found) => {
                let buffer = self.spare.swap_remove(found);
                buffer.all().zero(&*device.driver)?;
                Ok(buffer)
            }
            None => DeviceBuffer::zeros(&device.driver, Element::F32, len),
        }
    }
}
