//! Processes that train one model together: their ranks, and how they exchange numbers.
//!
//! Each process is a *rank*, a number below the world size. Every rank calls the same operations in
//! the same order; each operation says what it needs of the others. A flat buffer belongs to all
//! ranks together: [`Shard`] gives each rank its part.
//!
//! Back ends: [`OneRank`]; processes that MPI connects, with the feature `mpi`; processes that find
//! each other over TCP, like those of `torchrun`; and [`threads`] of one process. GPUs exchange
//! large buffers by themselves (`cuda`), and everything else here.

mod launch;
mod messenger;
#[cfg(feature = "mpi")]
mod mpi;
mod ranks;
mod tcp;
mod threads;

pub use launch::{Launch, Launcher};
pub use threads::threads;

use crate::error::{Error, Result};
use std::fmt::Debug;
use std::ops::Range;
use std::sync::mpsc::Receiver;
use std::time::Duration;

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

/// Connects this process with the others that `mpirun`, `srun` or `torchrun` started, and takes
/// this process's share of the host's cores ([`Launch::threads`]). A process that was started alone
/// is [`OneRank`]. A rank for which another has waited `timeout` ends the job.
///
/// # Errors
/// The environment tells of other processes, and they cannot be reached: each would train for
/// itself.
pub fn connect(timeout: Duration) -> Result<Box<dyn Collective>> {
    match Launch::from_environment()? {
        None => Ok(Box::new(OneRank)),
        Some(launch) => join(&launch, timeout),
    }
}

/// Connects this process with the others that `launch` tells of.
fn join(launch: &Launch, timeout: Duration) -> Result<Box<dyn Collective>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(launch.threads());
    pool.build_global().ok(); // an existing pool is the program's own decision
    match launch.launcher {
        Launcher::Torchrun => Ok(Box::new(tcp::join(launch, timeout)?)),
        _ => join_mpi(launch, timeout),
    }
}

#[cfg(feature = "mpi")]
fn join_mpi(launch: &Launch, timeout: Duration) -> Result<Box<dyn Collective>> {
    Ok(Box::new(mpi::join(launch, timeout)?))
}

#[cfg(not(feature = "mpi"))]
fn join_mpi(launch: &Launch, _: Duration) -> Result<Box<dyn Collective>> {
    let problem = format!(
        "{} processes were started, but this build has no MPI, so each would train on its own. Build with `--features mpi` \
         (needs libopenmpi-dev and libclang-dev), start them with torchrun, or start one",
        launch.size
    );
    Err(Error::invalid("mpirun", problem))
}

/// A part of a flat buffer: `size` parts of one length, the last of which may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Rank that owns the part.
    pub rank: usize,
    /// Number of parts.
    pub size: usize,
}

impl Shard {
    /// The whole buffer.
    pub const WHOLE: Self = Self { rank: 0, size: 1 };

    /// Returns the elements of this part in a buffer of `len` elements.
    pub fn range(self, len: usize) -> Range<usize> {
        let start = |rank: usize| (rank * self.longest(len)).min(len);
        start(self.rank)..start(self.rank + 1)
    }

    /// Returns the length of the longest part of a buffer of `len` elements.
    pub fn longest(self, len: usize) -> usize {
        len.div_ceil(self.size)
    }

    /// Returns the length of a buffer that has room for the longest part of every rank.
    pub fn room(self, len: usize) -> usize {
        self.longest(len) * self.size
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

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "mpi"))]
    #[test]
    fn ranks_that_cannot_be_reached_are_refused() {
        let launch = Launch {
            launcher: Launcher::OpenMpi,
            rank: 0,
            size: 2,
            local_rank: 0,
            local_size: 2,
        };
        let refusal = join(&launch, Duration::from_secs(1)).unwrap_err().to_string();
        assert!(refusal.contains("this build has no MPI, so each would train on its own"));
    }

    #[test]
    fn shards_follow_one_another_and_only_the_last_are_shorter() {
        for (len, size) in [(0, 3), (2, 3), (10, 3), (12, 4), (9, 4)] {
            let ranges: Vec<_> = (0..size).map(|rank| Shard { rank, size }.range(len)).collect();
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!((ranges[0].start, ranges[size - 1].end), (0, len));
            let longest = Shard { rank: 0, size }.longest(len);
            let whole = ranges.iter().take_while(|range| range.len() == longest).count();
            assert!(ranges[whole..].iter().skip(1).all(|range| range.is_empty()));
        }
    }
}
