//! Gradient sums in the memory of the host.

use crate::collective::{Collective, Pending, Shard};
use crate::error::Result;
use crate::model::Gradients;
use crate::optimizer::sum_of_squares;
use crate::optimizer::zero::{GradientSums, Memory};
use crate::weights::Layout;
use std::ops::Range;
use std::sync::Arc;

/// The memory of the host, and the ranks that exchange it.
#[derive(Clone, Copy)]
pub(super) struct OnHost<'c>(pub &'c dyn Collective);

impl Memory for OnHost<'_> {
    type Buffer = Vec<f32>;
    /// A reduce-scatter, and whether an all-gather follows.
    type Travelling = (Pending, bool);

    fn shard(&self) -> Shard {
        self.0.shard()
    }

    fn room(&self, size: usize) -> usize {
        size
    }

    fn zeros(&self, len: usize) -> Result<Vec<f32>> {
        Ok(vec![0.0; len])
    }

    fn clear(&self, buffer: &mut Vec<f32>) -> Result<()> {
        buffer.fill(0.0);
        Ok(())
    }

    fn len(buffer: &Vec<f32>) -> usize {
        buffer.len()
    }

    fn start_sum(&self, buffer: Vec<f32>, whole: bool) -> Result<(Pending, bool)> {
        Ok((self.0.start_reduce_scatter(buffer)?, whole))
    }

    fn arrived(&self, (pending, whole): (Pending, bool)) -> Result<Vec<f32>> {
        let buffer = pending.wait()?;
        match whole {
            true => self.0.start_all_gather(buffer)?.wait(),
            false => Ok(buffer),
        }
    }

    fn add(&self, from: &Vec<f32>, part: Range<usize>, to: &mut Vec<f32>) -> Result<()> {
        for (sum, value) in to.iter_mut().zip(&from[part]) {
            *sum += value;
        }
        Ok(())
    }
}

impl Gradients for GradientSums<OnHost<'_>> {
    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn bucket(&mut self, bucket: usize) -> Result<&mut [f32]> {
        Ok(self.buffer(bucket)?)
    }

    fn complete(&mut self, bucket: usize) -> Result<()> {
        self.complete(bucket)
    }
}

/// Returns this rank's sums, bucket by bucket.
pub(super) fn own<'g>(gradients: &'g mut GradientSums<OnHost<'_>>) -> Vec<&'g mut [f32]> {
    let sums = gradients.sums_mut();
    sums.map(|(buffer, part)| &mut buffer[part]).collect()
}

/// Returns the L2 norm of the sums over all ranks and buckets.
pub(super) fn norm(gradients: &GradientSums<OnHost<'_>>) -> Result<f64> {
    let own: Vec<&[f32]> = gradients.sums().map(|(buffer, part)| &buffer[part]).collect();
    let own = sum_of_squares(&own);
    let all = match gradients.shard() {
        Shard::WHOLE => own, // each rank has all of them
        _ => gradients.memory.0.sum([own])?[0],
    };
    Ok(all.sqrt())
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
        let mut gradients = GradientSums::new(OnHost(&First), zero_stage, Arc::new(layout)).unwrap();
        for _ in 0..2 {
            own(&mut gradients).into_iter().for_each(|sums| sums.fill(0.0)); // as the optimizer does
            for tree in 0..2 {
                gradients.begin_tree(tree == 1).unwrap();
                for bucket in (0..10).rev() {
                    let sums = gradients.bucket(bucket).unwrap();
                    sums.iter_mut().for_each(|sum| *sum += 1.0);
                    gradients.complete(bucket).unwrap();
                }
            }
            gradients.finish().unwrap();
        }
        let bytes = gradients.bytes();
        let sums = own(&mut gradients).into_iter().map(|sums| sums.to_vec());
        (sums.collect(), bytes)
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
        assert_eq!(passes(1).1, (20 * bytes, 20 * bytes));
        let (sums, buffers) = passes(2).1;
        assert_eq!(sums, 20 * bytes);
        assert!(buffers <= 3 * 4 * bytes, "{buffers} bytes");
    }
}
