//! The gradient of an optimizer step: summed over the trees of a rank, then over the ranks.
//!
//! [`GradientSums`] receives the gradients of each backward pass bucket by bucket. In the pass of
//! the last tree (or of every tree, in ZeRO stage 2) it sends each bucket to the other ranks as
//! soon as the bucket is complete, so that the exchange overlaps with the rest of the backward
//! pass.

use crate::collective::{Collective, Pending, Shard};
use crate::error::Result;
use crate::model::Gradients;
use crate::optimizer::sum_of_squares;
use crate::weights::{Layout, zero_buckets};
use std::collections::VecDeque;
use std::fmt;
use std::mem::take;
use std::sync::Arc;

/// Number of buckets that are exchanged while the backward pass works on the next ones. More would
/// only hold memory.
const MOST_UNDER_WAY: usize = 2;

/// Gradient sums over trees and ranks, divided as in ZeRO (Rajbhandari et al., 2020).
///
/// | stage | memory of a rank | exchanged buckets |
/// |---|---|---|
/// | 0 | all sums | after the last tree; every rank gets all sums |
/// | 1 | all sums of its own trees, its shard of the total | the same; every rank gets its shard |
/// | 2 | its shard of the total, the buckets in work | after each tree; every rank gets its shard |
///
/// The buckets of the last tree are exchanged while the backward pass goes on. A single rank holds
/// all sums and exchanges nothing.
pub(super) struct GradientSums<'c> {
    ranks: &'c dyn Collective,
    zero_stage: u8,
    layout: Arc<Layout>,
    /// Sums over this rank's trees, bucket by bucket. A single rank does not use them.
    local: Vec<Vec<f32>>,
    /// Sums over the ranks, bucket by bucket: the part that [`shard`] selects.
    pub sums: Vec<Vec<f32>>,
    /// Exchanges in progress, oldest first, with the index of the bucket.
    under_way: VecDeque<(usize, Pending)>,
    /// Stage 2: free buffers of buckets that were exchanged.
    spare: Vec<Vec<f32>>,
    /// True if the current backward pass exchanges its buckets.
    travels: bool,
}

impl<'c> GradientSums<'c> {
    /// Creates zeros for every tensor of `layout`.
    pub fn new(ranks: &'c dyn Collective, zero_stage: u8, layout: Arc<Layout>) -> Self {
        let sizes = layout.bucket_sizes();
        let alone = ranks.size() == 1;
        let shard = shard(ranks, zero_stage);
        let local = match zero_stage {
            0 | 1 if !alone => zero_buckets(sizes.iter().copied()),
            _ => vec![Vec::new(); sizes.len()],
        };
        let sums = match zero_stage {
            0 if !alone => vec![Vec::new(); sizes.len()], // filled with the buffers of `local`
            _ => zero_buckets(sizes.iter().map(|&size| shard.range(size).len())),
        };
        Self {
            ranks,
            zero_stage,
            layout,
            local,
            sums,
            under_way: VecDeque::new(),
            spare: Vec::new(),
            travels: false,
        }
    }

    /// Begins the backward pass of a tree; `last` says that it is the last one of the step.
    pub fn begin_tree(&mut self, last: bool) {
        self.travels = self.ranks.size() > 1 && (last || self.zero_stage == 2);
        for (local, sums) in self.local.iter_mut().zip(&mut self.sums) {
            if self.zero_stage == 0 && self.ranks.size() > 1 && local.is_empty() {
                *local = take(sums); // the optimizer has set them to zero
            }
        }
    }

    /// Takes part in the exchange for a tree that other ranks have and this one does not.
    pub fn no_tree(&mut self) -> Result<()> {
        for bucket in (0..self.local.len()).rev() {
            self.bucket(bucket);
            self.complete(bucket)?;
        }
        Ok(())
    }

    /// Waits for all exchanges; after that, the sums are those of the step.
    pub fn finish(&mut self) -> Result<()> {
        while !self.under_way.is_empty() {
            self.receive()?;
        }
        Ok(())
    }

    /// Returns the L2 norm of the sums over all ranks and buckets.
    pub fn norm(&self) -> Result<f64> {
        let own = sum_of_squares(&self.sums);
        let all = match self.zero_stage {
            0 => own, // each rank has all of them
            _ => self.ranks.sum([own])?[0],
        };
        Ok(all.sqrt())
    }

    /// Returns the bytes of the sums, and of the other buffers of the backward pass.
    pub fn bytes(&self) -> (usize, usize) {
        let bytes = |buckets: &[Vec<f32>]| buckets.iter().map(Vec::len).sum::<usize>() * size_of::<f32>();
        (bytes(&self.sums), bytes(&self.local) + bytes(&self.spare))
    }

    /// Waits for the oldest exchange and takes its bucket in.
    fn receive(&mut self) -> Result<()> {
        let Some((bucket, pending)) = self.under_way.pop_front() else {
            return Ok(());
        };
        let mut buffer = pending.wait()?;
        if self.zero_stage == 0 {
            self.sums[bucket] = self.ranks.start_all_gather(buffer)?.wait()?;
            return Ok(());
        }
        let own = self.ranks.shard().range(buffer.len());
        for (sum, value) in self.sums[bucket].iter_mut().zip(&buffer[own]) {
            *sum += value;
        }
        if self.zero_stage == 2 {
            self.spare.push(buffer);
        } else {
            buffer.fill(0.0);
            self.local[bucket] = buffer;
        }
        Ok(())
    }

    /// Returns a buffer of `len` zeros, reused if one is free.
    fn buffer(&mut self, len: usize) -> Vec<f32> {
        match self.spare.iter().position(|buffer| buffer.len() == len) {
            Some(found) => {
                let mut buffer = self.spare.swap_remove(found);
                buffer.fill(0.0);
                buffer
            }
            None => vec![0.0; len],
        }
    }
}

/// Returns the part of every bucket whose sums and moments this rank holds.
pub(super) fn shard(ranks: &dyn Collective, zero_stage: u8) -> Shard {
    match zero_stage {
        0 => Shard::WHOLE,
        _ => ranks.shard(),
    }
}

impl Gradients for GradientSums<'_> {
    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn bucket(&mut self, bucket: usize) -> &mut [f32] {
        if self.ranks.size() == 1 {
            return &mut self.sums[bucket];
        }
        if self.local[bucket].is_empty() {
            self.local[bucket] = self.buffer(self.layout.bucket_sizes()[bucket]);
        }
        &mut self.local[bucket]
    }

    fn complete(&mut self, bucket: usize) -> Result<()> {
        if !self.travels {
            return Ok(());
        }
        if self.under_way.len() == MOST_UNDER_WAY {
            self.receive()?;
        }
        let pending = self.ranks.start_reduce_scatter(take(&mut self.local[bucket]))?;
        self.under_way.push_back((bucket, pending));
        Ok(())
    }
}

impl fmt::Debug for GradientSums<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "GradientSums {{ zero_stage: {}, bytes: {:?} }}",
            self.zero_stage,
            self.bytes()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates the first of two ranks; the other adds nothing.
    #[derive(Debug)]
    struct First;

    impl Collective for First {
        fn shard(&self) -> Shard {
            Shard { rank: 0, size: 2 }
        }
        fn on_host(&self) -> Shard {
            self.shard()
        }
        fn start_reduce_scatter(&self, buffer: Vec<f32>) -> Result<Pending> {
            Ok(Pending::Ready(buffer))
        }
        fn start_all_gather(&self, buffer: Vec<f32>) -> Result<Pending> {
            Ok(Pending::Ready(buffer))
        }
        fn exchange(&self, numbers: &[f64]) -> Result<Vec<Vec<f64>>> {
            Ok(vec![numbers.to_vec(), vec![0.0; numbers.len()]])
        }
        fn abort(&self) -> ! {
            unreachable!()
        }
    }

    /// Returns the sums and bytes after two steps of two trees of ones, over ten buckets of 4
    /// elements.
    fn passes(zero_stage: u8) -> (Vec<Vec<f32>>, (usize, usize)) {
        let mut layout = Layout::default();
        (0..10).for_each(|bucket| layout.push(bucket, &bucket.to_string(), &[4]));
        let mut gradients = GradientSums::new(&First, zero_stage, Arc::new(layout));
        for _ in 0..2 {
            gradients.sums.iter_mut().for_each(|sums| sums.fill(0.0)); // as the optimizer does
            for tree in 0..2 {
                gradients.begin_tree(tree == 1);
                for bucket in (0..10).rev() {
                    gradients.bucket(bucket).iter_mut().for_each(|sum| *sum += 1.0);
                    gradients.complete(bucket).unwrap();
                }
            }
            gradients.finish().unwrap();
        }
        let bytes = gradients.bytes();
        (gradients.sums, bytes)
    }

    #[test]
    fn every_stage_has_the_sums_of_the_last_step() {
        assert_eq!(passes(0).0, vec![vec![2.0; 4]; 10]);
        assert_eq!(passes(1).0, vec![vec![2.0; 2]; 10]);
        assert_eq!(passes(2).0, vec![vec![2.0; 2]; 10]);
    }

    #[test]
    fn stage_2_holds_few_buckets_besides_its_shard() {
        let bytes = size_of::<f32>();
        assert_eq!(passes(0).1, (40 * bytes, 0));
        assert_eq!(passes(1).1, (20 * bytes, 40 * bytes));
        let (sums, buffers) = passes(2).1;
        assert_eq!(sums, 20 * bytes);
        assert!(buffers <= (MOST_UNDER_WAY + 1) * 4 * bytes, "{buffers} bytes");
    }
}
