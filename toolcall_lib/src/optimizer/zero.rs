//! Gradient sums of a step, over the trees of a rank and over the ranks, divided as in ZeRO.
//!
//! [`GradientSums`] receives the gradients of each backward pass bucket by bucket. In the pass of
//! the last tree (of every tree, in stage 2) it sends each bucket to the other ranks as soon as the
//! bucket is complete, so that the exchange overlaps with the rest of the backward pass. [`Memory`]
//! is what it needs of the host or of a GPU.

use crate::collective::Shard;
use crate::error::{Error, Result};
use crate::weights::Layout;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Number of buckets that are exchanged while the backward pass works on the next ones. More would
/// only hold memory.
const MOST_UNDER_WAY: usize = 2;

/// Memory for gradients, and the ranks that exchange them. A GPU only queues the work and returns.
pub(crate) trait Memory {
    /// f32 elements.
    type Buffer: Send;
    /// A buffer in exchange, which comes back from [`arrived`](Self::arrived).
    type Travelling: Send;

    /// Returns the rank and the world size.
    fn shard(&self) -> Shard;

    /// Returns the length of a buffer that can be exchanged and holds a bucket of `size` elements.
    fn room(&self, size: usize) -> usize;

    /// Returns a buffer of `len` zeros.
    fn zeros(&self, len: usize) -> Result<Self::Buffer>;

    /// Fills a buffer with zeros.
    fn clear(&self, buffer: &mut Self::Buffer) -> Result<()>;

    /// Returns the number of elements.
    fn len(buffer: &Self::Buffer) -> usize;

    /// Starts summing a buffer over the ranks. Afterwards this rank's shard has its sums and the
    /// rest is undefined, or everything has them, if `whole`.
    fn start_sum(&self, buffer: Self::Buffer, whole: bool) -> Result<Self::Travelling>;

    /// Waits for a sum, or makes what follows wait for it.
    fn arrived(&self, travelling: Self::Travelling) -> Result<Self::Buffer>;

    /// Adds a part of one buffer to another.
    fn add(&self, from: &Self::Buffer, part: Range<usize>, to: &mut Self::Buffer) -> Result<()>;
}

/// Gradient sums over trees and ranks, divided as in ZeRO (Rajbhandari et al., 2020).
///
/// | stage | memory of a rank | exchanged buckets |
/// |---|---|---|
/// | 0 | all sums | after the last tree; every rank gets all sums |
/// | 1 | all sums of its own trees, then its shard of the total | the same; every rank gets its shard |
/// | 2 | its shard of the total, the buckets in work | after each tree; every rank gets its shard |
///
/// The buckets of the last tree are exchanged while the backward pass goes on. A single rank holds
/// all sums and exchanges nothing.
pub(crate) struct GradientSums<M: Memory> {
    pub(crate) memory: M,
    pub(crate) layout: Arc<Layout>,
    zero_stage: u8,
    /// Number of elements of each bucket.
    pub(crate) sizes: Vec<usize>,
    /// Sums over this rank's trees, bucket by bucket; once exchanged, those over the ranks. In
    /// stage 2 a bucket is here only while a tree is being added. `None` while it travels.
    whole: Vec<Option<M::Buffer>>,
    /// Stage 2: this rank's shard of the sums over trees and ranks.
    shards: Vec<M::Buffer>,
    /// Exchanges in progress, oldest first, with the index of the bucket.
    under_way: VecDeque<(usize, M::Travelling)>,
    /// Stage 2: free buffers of buckets that were exchanged.
    spare: Vec<M::Buffer>,
    /// True if the current backward pass exchanges its buckets.
    travels: bool,
    /// True if no tree has been added since the last step.
    fresh: bool,
}

impl<M: Memory> GradientSums<M> {
    /// Creates zeros for every tensor of `layout`.
    pub fn new(memory: M, zero_stage: u8, layout: Arc<Layout>) -> Result<Self> {
        let all = memory.shard();
        let zero_stage = if all.size == 1 { 0 } else { zero_stage };
        let sizes = layout.bucket_sizes();
        let (mut whole, mut shards) = (Vec::new(), Vec::new());
        // Stage 2 keeps this rank's shard of each bucket, [shard]; the others the whole bucket,
        // [room].
        for &size in &sizes {
            if zero_stage == 2 {
                whole.push(None);
                shards.push(memory.zeros(all.range(size).len())?);
            } else {
                whole.push(Some(memory.zeros(memory.room(size))?));
            }
        }
        Ok(Self {
            memory,
            layout,
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
        shard(self.memory.shard(), self.zero_stage)
    }

    /// Returns, bucket by bucket, the buffer that holds this rank's sums and their place in it.
    /// Call [`finish`](Self::finish) before.
    pub fn sums(&self) -> impl Iterator<Item = (&M::Buffer, Range<usize>)> {
        let shard = self.shard();
        let whole = self.whole.iter().zip(&self.sizes);
        let whole = whole.filter_map(move |(buffer, &size)| Some((buffer.as_ref()?, shard.range(size))));
        let parts = self.shards.iter().map(|buffer| (buffer, 0..M::len(buffer)));
        parts.chain(whole)
    }

    /// Returns the same, for the optimizer, which sets the sums to zero.
    pub fn sums_mut(&mut self) -> impl Iterator<Item = (&mut M::Buffer, Range<usize>)> {
        let shard = self.shard();
        let whole = self.whole.iter_mut().zip(&self.sizes);
        let whole = whole.filter_map(move |(buffer, &size)| Some((buffer.as_mut()?, shard.range(size))));
        let parts = self.shards.iter_mut().map(|buffer| {
            let all = 0..M::len(buffer);
            (buffer, all)
        });
        parts.chain(whole)
    }

    /// Begins the backward pass of a tree; `last` says that it is the last one of the step.
    pub fn begin_tree(&mut self, last: bool) -> Result<()> {
        self.travels = self.memory.shard().size > 1 && (last || self.zero_stage == 2);
        if std::mem::take(&mut self.fresh) && self.zero_stage == 1 {
            // The optimizer has cleared this rank's shard; the rest is what the exchange has left.
            for buffer in self.whole.iter_mut().flatten() {
                self.memory.clear(buffer)?;
            }
        }
        Ok(())
    }

    /// Returns the buffer of a bucket, to whose first elements the backward pass adds.
    pub fn buffer(&mut self, bucket: usize) -> Result<&mut M::Buffer> {
        let buffer = match self.whole[bucket].take() {
            Some(buffer) => buffer,
            None => self.empty(self.memory.room(self.sizes[bucket]))?,
        };
        Ok(self.whole[bucket].insert(buffer))
    }

    /// Marks a bucket as complete and starts its exchange, if this pass exchanges buckets. Call it
    /// from the last bucket to the first.
    pub fn complete(&mut self, bucket: usize) -> Result<()> {
        if !self.travels {
            return Ok(());
        }
        // 1. Wait for the oldest exchange if too many are in progress.
        if self.under_way.len() == MOST_UNDER_WAY {
            self.receive()?;
        }
        // 2. Start the exchange: the buffer is away until it has arrived.
        let missing = || Error::invalid("gradients", format!("bucket {bucket} is complete twice"));
        let buffer = self.whole[bucket].take().ok_or_else(missing)?;
        let travelling = self.memory.start_sum(buffer, self.zero_stage == 0)?;
        self.under_way.push_back((bucket, travelling));
        Ok(())
    }

    /// Takes part in the exchange for a tree that other ranks have and this one does not.
    pub fn no_tree(&mut self) -> Result<()> {
        for bucket in (0..self.sizes.len()).rev() {
            self.buffer(bucket)?;
            self.complete(bucket)?;
        }
        Ok(())
    }

    /// Waits for all exchanges; after that, the sums are those of the step.
    pub fn finish(&mut self) -> Result<()> {
        while !self.under_way.is_empty() {
            self.receive()?;
        }
        self.fresh = true;
        Ok(())
    }

    /// Returns the bytes of the sums, and of the other buffers of the backward pass.
    pub fn bytes(&self) -> (usize, usize) {
        let sums = self.sizes.iter().map(|&size| self.shard().range(size).len());
        let sums = sums.sum::<usize>() * size_of::<f32>();
        let buffers = self.whole.iter().flatten().chain(&self.spare).chain(&self.shards);
        let all = buffers.map(M::len).sum::<usize>() * size_of::<f32>();
        (sums, all.saturating_sub(sums))
    }

    /// Waits for the oldest exchange and takes back its bucket.
    fn receive(&mut self) -> Result<()> {
        let Some((bucket, travelling)) = self.under_way.pop_front() else {
            return Ok(());
        };
        let buffer = self.memory.arrived(travelling)?;
        // Stage 2 adds this rank's part to its shard and reuses the buffer; the others keep the
        // buffer.
        if self.zero_stage == 2 {
            let own = self.memory.shard().range(self.sizes[bucket]);
            self.memory.add(&buffer, own, &mut self.shards[bucket])?;
            self.spare.push(buffer);
        } else {
            self.whole[bucket] = Some(buffer);
        }
        Ok(())
    }

    /// Returns a buffer of `len` zeros, reused if one is free.
    fn empty(&mut self, len: usize) -> Result<M::Buffer> {
        match self.spare.iter().position(|buffer| M::len(buffer) == len) {
            Some(found) => {
                let mut buffer = self.spare.swap_remove(found);
                self.memory.clear(&mut buffer)?;
                Ok(buffer)
            }
            None => self.memory.zeros(len),
        }
    }
}

impl<M: Memory> fmt::Debug for GradientSums<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stage, bytes) = (self.zero_stage, self.bytes());
        write!(f, "GradientSums {{ zero_stage: {stage}, bytes: {bytes:?} }}")
    }
}

/// Returns the part of every bucket whose sums and moments a rank holds.
pub(crate) fn shard(ranks: Shard, zero_stage: u8) -> Shard {
    match zero_stage {
        0 => Shard::WHOLE,
        _ => ranks,
    }
}
