//! Many processes that train one model: who they are, and how they exchange numbers.
//!
//! A process is a *rank*. Every rank calls the same operations in the same order; each operation says what it needs of the
//! others. A flat buffer belongs to all ranks together: [`Shard`] says which part of it is whose.
//!
//! Back ends: [`OneRank`], and MPI with the feature `mpi`. One for GPUs has to give the same four operations: NCCL has
//! `ncclReduceScatter` and `ncclAllGather`, which work in place too, and a stream of its own in the place of the thread.

mod launch;
#[cfg(feature = "mpi")]
mod mpi;

pub use launch::{Launch, Launcher};
#[cfg(feature = "mpi")]
pub use mpi::Mpi;

use crate::error::{Error, Result};
use std::fmt::Debug;
use std::ops::Range;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// What ranks do together. A rank that does not come ends the job with a message that names it.
pub trait Collective: Debug {
    /// Which process this is, counted from 0. The first speaks and saves for all.
    fn rank(&self) -> usize;

    /// Number of processes.
    fn size(&self) -> usize;

    /// Starts summing `buffer`, whose length is the same everywhere, over all ranks. It comes back with the sums in this rank's
    /// [`Shard`]; what the rest of it holds is not defined. The order of the additions is that of the ranks.
    fn start_reduce_scatter(&self, buffer: Vec<f32>) -> Result<Pending>;

    /// Starts filling `buffer` with the [`Shard`]s of all ranks, each of which gives its own.
    fn start_all_gather(&self, buffer: Vec<f32>) -> Result<Pending>;

    /// A few numbers of every rank, in the order of the ranks.
    fn exchange(&self, numbers: &[f64]) -> Result<Vec<Vec<f64>>>;

    /// Ends all ranks at once. A rank that cannot go on has to: the others would wait for it.
    fn abort(&self) -> !;

    /// The part of every buffer that belongs to this rank.
    fn shard(&self) -> Shard {
        Shard {
            rank: self.rank(),
            size: self.size(),
        }
    }
}

impl dyn Collective + '_ {
    /// Sums over all ranks, the same bits everywhere.
    pub fn sum<const N: usize>(&self, numbers: [f64; N]) -> Result<[f64; N]> {
        let mut sums = [0.0; N];
        for rank in self.exchange(&numbers)? {
            sums.iter_mut().zip(rank).for_each(|(sum, number)| *sum += number);
        }
        Ok(sums)
    }
}

/// Joins the processes that `mpirun` or `srun` started together with this one, and takes this one's share of the host's cores
/// ([`Launch::threads`]); a process that was started alone is [`OneRank`]. A rank for which another has waited `timeout` ends the
/// job.
///
/// # Errors
/// The environment says that there are others, and this build has no way to reach them: each would train for itself.
pub fn connect(timeout: Duration) -> Result<Box<dyn Collective>> {
    match Launch::from_environment()? {
        None => Ok(Box::new(OneRank)),
        Some(launch) => join(&launch, timeout),
    }
}

fn join(launch: &Launch, timeout: Duration) -> Result<Box<dyn Collective>> {
    let size = launch.size;
    if launch.launcher == Launcher::Torchrun {
        let advice = "start ranks on CPUs with mpirun or srun";
        let problem = format!("{size} ranks of NCCL, which this build does not have; {advice}");
        return Err(Error::invalid("RANK and WORLD_SIZE", problem));
    }
    join_mpi(launch, timeout)
}

#[cfg(feature = "mpi")]
fn join_mpi(launch: &Launch, timeout: Duration) -> Result<Box<dyn Collective>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(launch.threads());
    pool.build_global().ok(); // a program that has made its own has decided
    Ok(Box::new(Mpi::join(launch, timeout)?))
}

#[cfg(not(feature = "mpi"))]
fn join_mpi(launch: &Launch, _: Duration) -> Result<Box<dyn Collective>> {
    let problem = format!(
        "{} processes were started, and this build has no MPI: each would train for itself. Build with `--features mpi` \
         (needs libopenmpi-dev and libclang-dev), or start one",
        launch.size
    );
    Err(Error::invalid("mpirun", problem))
}

/// One part of a flat buffer: `size` parts of almost the same length, the longer ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Whose part.
    pub rank: usize,
    /// Number of parts.
    pub size: usize,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { rank: 0, size: 1 };

    /// Which elements of a buffer of `len`.
    pub fn range(self, len: usize) -> Range<usize> {
        let start = |rank: usize| rank * (len / self.size) + rank.min(len % self.size);
        start(self.rank)..start(self.rank + 1)
    }
}

/// An operation that may still run.
#[derive(Debug)]
pub enum Pending {
    /// It is done.
    Ready(Vec<f32>),
    /// The buffer will come from here.
    Running(Receiver<Vec<f32>>),
}

impl Pending {
    /// The buffer, when the operation is done.
    ///
    /// # Errors
    /// When what moves the numbers has ended.
    pub fn wait(self) -> Result<Vec<f32>> {
        match self {
            Self::Ready(buffer) => Ok(buffer),
            Self::Running(buffer) => buffer
                .recv()
                .map_err(Error::library("waiting for the other ranks")),
        }
    }
}

/// A single process, for which every operation is done before it begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneRank;

impl Collective for OneRank {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
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

    fn refusal(launcher: Launcher) -> String {
        let launch = Launch {
            launcher,
            rank: 0,
            size: 2,
            local_size: 2,
        };
        join(&launch, Duration::from_secs(1)).unwrap_err().to_string()
    }

    #[test]
    fn ranks_that_cannot_be_reached_are_refused() {
        assert!(refusal(Launcher::Torchrun).contains("2 ranks of NCCL, which this build does not have"));
        #[cfg(not(feature = "mpi"))]
        assert!(refusal(Launcher::OpenMpi).contains("this build has no MPI: each would train for itself"));
    }

    #[test]
    fn shards_follow_one_another_and_differ_by_at_most_one() {
        for (len, size) in [(0, 3), (2, 3), (10, 3), (12, 4)] {
            let ranges: Vec<_> = (0..size).map(|rank| Shard { rank, size }.range(len)).collect();
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!((ranges[0].start, ranges[size - 1].end), (0, len));
            let lens = || ranges.iter().map(|range| range.len());
            assert!(lens().max().unwrap() - lens().min().unwrap() <= 1);
        }
    }
}
