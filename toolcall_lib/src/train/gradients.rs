//! The gradient of an optimizer step: added up over the trees of a rank, then over the ranks.

use crate::collective::{Collective, Pending, Shard};
use crate::error::Result;
use crate::model::Gradients;
use crate::optimizer::sum_of_squares;
use crate::weights::{Layout, zero_buckets};
use std::collections::VecDeque;
use std::fmt;
use std::mem::take;
use std::sync::Arc;

/// Buckets that travel while the backward pass works on the next ones; more would only hold memory.
const MOST_UNDER_WAY: usize = 2;

/// Sums over trees and ranks, as ZeRO (Rajbhandari et al., 2020) divides them:
///
/// | stage | a rank holds | what travels |
/// |---|---|---|
/// | 0 | every sum | buckets, after the last tree; everyone gets every sum |
/// | 1 | all that its own trees add up, and its shard of the sums | buckets, after the last tree; everyone gets its shard |
/// | 2 | its shard of the sums, and the buckets that the backward pass works on | the same, after each tree |
///
/// The buckets of the last tree travel while the backward pass goes on. A single rank holds every sum and nothing travels.
pub(super) struct GradientSums<'c> {
    ranks: &'c dyn Collective,
    zero_stage: u8,
    layout: Arc<Layout>,
    /// What this rank's trees add up; unused by a single rank.
    local: Vec<Vec<f32>>,
    /// The sums over the ranks, bucket by bucket, of [`GradientSums::shard`].
    pub sums: Vec<Vec<f32>>,
    under_way: VecDeque<(usize, Pending)>,
    /// Stage 2: buffers of buckets that no one works on.
    spare: Vec<Vec<f32>>,
    travels: bool,
}

impl<'c> GradientSums<'c> {
    /// Zeros for every tensor of `layout`.
    pub fn new(ranks: &'c dyn Collective, zero_stage: u8, layout: Arc<Layout>) -> Self {
        let sizes = layout.bucket_sizes();
        let alone = ranks.size() == 1;
        let shard = shard(ranks, zero_stage);
        let local = match zero_stage {
            0 | 1 if !alone => zero_buckets(sizes.iter().copied()),
            _ => vec![Vec::new(); sizes.len()],
        };
        let sums = match zero_stage {
            0 if !alone => vec![Vec::new(); sizes.len()], // they come in the buffers of `local`
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

    /// Says that the backward pass of a tree comes next, and whether it is the last of this step.
    pub fn begin_tree(&mut self, last: bool) {
        self.travels = self.ranks.size() > 1 && (last || self.zero_stage == 2);
        for (local, sums) in self.local.iter_mut().zip(&mut self.sums) {
            if self.zero_stage == 0 && self.ranks.size() > 1 && local.is_empty() {
                *local = take(sums); // the optimizer has set them to zero
            }
        }
    }

    /// In the place of a tree that other ranks have and this one has not.
    pub fn no_tree(&mut self) -> Result<()> {
        for bucket in (0..self.local.len()).rev() {
            self.bucket(bucket);
            self.complete(bucket)?;
        }
        Ok(())
    }

    /// Waits for what is still under way; then the sums are those of the step.
    pub fn finish(&mut self) -> Result<()> {
        while !self.under_way.is_empty() {
            self.receive()?;
        }
        Ok(())
    }

    /// L2 norm of the sums of all ranks.
    pub fn norm(&self) -> Result<f64> {
        let own = sum_of_squares(&self.sums);
        let all = match self.zero_stage {
            0 => own, // each rank has all of them
            _ => self.ranks.sum([own])?[0],
        };
        Ok(all.sqrt())
    }

    /// Bytes of the sums, and of what else the backward pass fills.
    pub fn bytes(&self) -> (usize, usize) {
        let bytes = |buckets: &[Vec<f32>]| buckets.iter().map(Vec::len).sum::<usize>() * size_of::<f32>();
        (bytes(&self.sums), bytes(&self.local) + bytes(&self.spare))
    }

    /// Takes in the bucket that has been under way longest.
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

    /// A buffer of zeros for a bucket of `len`.
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

/// The part of every bucket whose sums and moments this rank holds.
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

    /// The first of two ranks, of which the other adds nothing.
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

    /// The sums of two steps of two trees of ones, over ten buckets of 4 elements.
    fn passes(zero_stage: u8) -> (Vec<Vec<f32>>, (usize, usize)) {
        let mut layout = Layout::default();
        (0..10).for_each(|bucket| layout.push(bucket, &bucket.to_string(), &[4]));
        let mut gradients = GradientSums::new(&First, zero_stage, Arc::new(layout));
        for _ in 0..2 {
            gradients.sums.iter_mut().for_each(|sums| sums.fill(0.0)); // what the optimizer does
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
