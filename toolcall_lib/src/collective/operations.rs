//! The operations that ranks call together, and a single rank that needs none.

use super::shard::Shard;
use crate::error::{Error, Result};
use std::fmt::Debug;
use std::sync::mpsc::Receiver;

/// Collective operations of all ranks. A rank that does not take part ends the job with a message
/// that names it.
pub trait Collective: Debug + Sync {
    /// Returns this rank among all ranks, and so its part of every buffer.
    fn shard(&self) -> Shard;

    /// Returns this rank among the ranks of its host, which share the host's GPUs.
    fn on_host(&self) -> Shard;

    /// Starts summing `buffer`, whose length is the same on all ranks. It comes back with the sums
    /// in this rank's [`Shard`]; the rest of it is undefined. Ranks are added in their order.
    ///
    /// # Errors
    /// The thread that reaches the other ranks has ended.
    fn start_reduce_scatter(&self, buffer: Vec<f32>) -> Result<Pending>;

    /// Starts filling `buffer` with the [`Shard`]s of all ranks; each rank brings its own.
    ///
    /// # Errors
    /// The thread that reaches the other ranks has ended.
    fn start_all_gather(&self, buffer: Vec<f32>) -> Result<Pending>;

    /// Exchanges a few numbers; returns those of every rank, in the order of the ranks.
    ///
    /// # Errors
    /// A rank has ended or does not answer, on a back end that does not end this process then.
    fn exchange(&self, numbers: &[f64]) -> Result<Vec<Vec<f64>>>;

    /// Ends all ranks at once. A rank that cannot go on has to call it, because the others would
    /// wait.
    fn abort(&self) -> !;

    /// Returns the number of this rank, counted from 0. Rank 0 prints and saves for all.
    fn rank(&self) -> usize {
        self.shard().rank
    }

    /// Returns the number of ranks: the world size.
    fn size(&self) -> usize {
        self.shard().size
    }
}

impl dyn Collective + '_ {
    /// Sums numbers over all ranks; every rank gets the same bits.
    ///
    /// # Errors
    /// The same as [`exchange`](Collective::exchange).
    pub fn sum<const N: usize>(&self, numbers: [f64; N]) -> Result<[f64; N]> {
        let mut sums = [0.0; N];
        for rank in self.exchange(&numbers)? {
            sums.iter_mut().zip(rank).for_each(|(sum, number)| *sum += number);
        }
        Ok(sums)
    }
}

/// An operation that may still be running.
#[derive(Debug)]
pub enum Pending {
    /// The operation is done.
    Ready(Vec<f32>),
    /// The buffer will arrive here.
    Running(Receiver<Result<Vec<f32>>>),
}

impl Pending {
    /// Waits for the operation and returns the buffer.
    ///
    /// # Errors
    /// A rank has ended or does not answer, on a back end that does not end this process then.
    pub fn wait(self) -> Result<Vec<f32>> {
        match self {
            Self::Ready(buffer) => Ok(buffer),
            Self::Running(buffer) => buffer
                .recv()
                .map_err(Error::library("waiting for the other ranks"))?,
        }
    }
}

/// A single process, for which every operation is done at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneRank;

impl Collective for OneRank {
    fn shard(&self) -> Shard {
        Shard::WHOLE
    }

    fn on_host(&self) -> Shard {
        Shard::WHOLE
    }

    fn start_reduce_scatter(&self, buffer: Vec<f32>) -> Result<Pending> {
        Ok(Pending::Ready(buffer))
    }

    fn start_all_gather(&self, buffer: Vec<f32>) -> Result<Pending> {
        Ok(Pending::Ready(buffer))
    }

    fn exchange(&self, numbers: &[f64]) -> Result<Vec<Vec<f64>>> {
        Ok(vec![numbers.to_vec()])
    }

    fn abort(&self) -> ! {
        std::process::exit(1)
    }
}
