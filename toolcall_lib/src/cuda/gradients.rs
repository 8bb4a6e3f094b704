//! The gradients of an optimizer step on the device: added up over the trees of a rank, then over the ranks.

use super::buffer::{DeviceBuffer, View};
use super::driver::Element;
use super::ops::Device;
use super::ranks::{DeviceRanks, Ticket};
use crate::collective::Shard;
use crate::error::{Error, Result};
use crate::weights::Layout;
use std::collections::VecDeque;
use std::sync::Arc;

/// Buckets that travel while the backward pass works on the next ones; more would only hold memory.
const MOST_UNDER_WAY: usize = 2;

/// Sums over trees and ranks, as ZeRO divides them:
///
/// | stage | a rank holds | what travels |
/// |---|---|---|
/// | 0 | every sum | buckets, after the last tree; everyone gets every sum |
/// | 1 | whole buckets, of which its shard become the sums | buckets, after the last tree; everyone gets its shard |
/// | 2 | its shard of the sums, and the buckets that the backward pass works on | the same, after each tree |
///
/// The host only says what comes after what, and waits for nothing.
#[derive(Debug)]
pub(crate) struct DeviceGradients {
    ranks: Arc<dyn DeviceRanks>,
    zero_stage: u8,
    /// Elements of the buckets.
    sizes: Vec<usize>,
    /// What trees are added to, with room for the parts of all ranks; in stage 2 only where a tree is being added.
    whole: Vec<Option<DeviceBuffer>>,
    /// Stage 2: the sums.
    shards: Vec<DeviceBuffer>,
    under_way: VecDeque<(usize, DeviceBuffer, Ticket)>,
    /// Stage 2: buffers of buckets that no one works on.
    spare: Vec<DeviceBuffer>,
    travels: bool,
    /// No tree has been added since the last step.
    fresh: bool,
}

impl DeviceGradients {
    /// Zeros for every tensor of `layout`.
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

    /// The part of every bucket of which this rank has the sums.
    pub fn shard(&self) -> Shard {
        match self.zero_stage {
            0 => Shard::WHOLE,
            _ => self.ranks.shard(),
        }
    }

    /// The sums of a bucket, when [`DeviceGradients::finish`] has been called.
    pub fn sums(&self, bucket: usize) -> View {
        let range = self.shard().range(self.sizes[bucket]);
        match (&self.whole[bucket], self.shards.get(bucket)) {
            (_, Some(shard)) => shard.all(),
            (Some(whole), None) => whole.all().slice(range),
            (None, None) => View::EMPTY, // it is under way, and `finish` has failed
        }
    }

    /// Says that the backward pass of a tree comes next, and whether it is the last of this step.
    pub fn begin_tree(&mut self, device: &Device, last: bool) -> Result<()> {
        self.travels = self.ranks.shard().size > 1 && (last || self.zero_stage == 2);
        if std::mem::take(&mut self.fresh) && self.zero_stage == 1 {
            // the optimizer has cleared its shard; the rest is what the sums of others have left
            for buffer in self.whole.iter().flatten() {
                buffer.all().zero(&*device.driver)?;
            }
        }
        Ok(())
    }

    /// The elements of a bucket, to be added to.
    pub fn bucket(&mut self, device: &Device, bucket: usize) -> Result<View> {
        let size = self.sizes[bucket];
        let buffer = match self.whole[bucket].take() {
            Some(buffer) => buffer,
            None => self.buffer(device, self.ranks.shard().room(size))?,
        };
        Ok(self.whole[bucket].insert(buffer).all().slice(0..size))
    }

    /// Says that nothing more will be added to a bucket in this pass. The last bucket comes first.
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

    /// In the place of a tree that other ranks have and this one has not.
    pub fn no_tree(&mut self, device: &Device) -> Result<()> {
        for bucket in (0..self.sizes.len()).rev() {
            self.bucket(device, bucket)?;
            self.complete(device, bucket)?;
        }
        Ok(())
    }

    /// Has the device wait for what is still under way; then the sums are those of the step.
    pub fn finish(&mut self, device: &Device) -> Result<()> {
        while !self.under_way.is_empty() {
            self.receive(device)?;
        }
        self.fresh = true;
        Ok(())
    }

    /// Bytes of the sums, and of what else the backward pass fills.
    pub fn bytes(&self) -> (usize, usize) {
        let sums = self.sizes.iter().map(|&size| self.shard().range(size).len());
        let sums = sums.sum::<usize>() * size_of::<f32>();
        let buffers = self.whole.iter().flatten().chain(&self.spare).chain(&self.shards);
        let all = buffers.map(DeviceBuffer::len).sum::<usize>() * size_of::<f32>();
        (sums, all - sums)
    }

    /// Takes in the bucket that has been under way longest.
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

    /// A buffer of zeros.
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
