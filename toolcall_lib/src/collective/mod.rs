//! Many processes that train one model: who they are, and how they exchange numbers.
//!
//! A process is a *rank*. Every rank calls the same operations in the same order; each operation says what it needs of the
//! others. A flat buffer belongs to all ranks together: [`Shard`] says which part of it is whose.
//!
//! Back ends: [`OneRank`]; processes that MPI connects, with the feature `mpi`; processes that find each other over TCP, as those of
//! `torchrun`; and [`threads`] of one process. GPUs exchange what is large by themselves (`cuda`), and the rest here.

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

/// What ranks do together. A rank that does not come ends the job with a message that names it.
pub trait Collective: Debug + Sync {
    /// This rank among all, and the part of every buffer that belongs to it.
    fn shard(&self) -> Shard;

    /// This rank among those of its host, which share its GPUs.
    fn on_host(&self) -> Shard;

    /// Starts summing `buffer`, whose length is the same everywhere, over all ranks. It comes back with the sums in this rank's
    /// [`Shard`]; what the rest of it holds is not defined. The order of the additions is that of the ranks.
    fn start_reduce_scatter(&self, buffer: Vec<f32>) -> Result<Pending>;

    /// Starts filling `buffer` with the [`Shard`]s of all ranks, each of which gives its own.
    fn start_all_gather(&self, buffer: Vec<f32>) -> Result<Pending>;

    /// A few numbers of every rank, in the order of the ranks.
    fn exchange(&self, numbers: &[f64]) -> Result<Vec<Vec<f64>>>;

    /// Ends all ranks at once. A rank that cannot go on has to: the others would wait for it.
    fn abort(&self) -> !;

    /// Which rank this is, counted from 0. The first speaks and saves for all.
    fn rank(&self) -> usize {
        self.shard().rank
    }

    /// Number of ranks.
    fn size(&self) -> usize {
        self.shard().size
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

/// Joins the processes that `mpirun`, `srun` or `torchrun` started together with this one, and takes this one's share of the host's
/// cores ([`Launch::threads`]); a process that was started alone is [`OneRank`]. A rank for which another has waited `timeout` ends
/// the job.
///
/// # Errors
/// The environment says that there are others, and they cannot be reached: each would train for itself.
pub fn connect(timeout: Duration) -> Result<Box<dyn Collective>> {
    match Launch::from_environment()? {
        None => Ok(Box::new(OneRank)),
        Some(launch) => join(&launch, timeout),
    }
}

fn join(launch: &Launch, timeout: Duration) -> Result<Box<dyn Collective>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(launch.threads());
    pool.build_global().ok(); // a program that has made its own has decided
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
        "{} processes were started, and this build has no MPI: each would train for itself. Build with `--features mpi` \
         (needs libopenmpi-dev and libclang-dev), start them with torchrun, or start one",
        launch.size
    );
    Err(Error::invalid("mpirun", problem))
}

/// One part of a flat buffer: `size` parts of one length, of which the last ones may be shorter.
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
        let start = |rank: usize| (rank * self.longest(len)).min(len);
        start(self.rank)..start(self.rank + 1)
    }

    /// Elements of the longest part of a buffer of `len`.
    pub fn longest(self, len: usize) -> usize {
        len.div_ceil(self.size)
    }

    /// Elements of a buffer that has room for parts of that length of all ranks.
    pub fn room(self, len: usize) -> usize {
        self.longest(len) * self.size
    }
}

/// An operation that may still run.
#[derive(Debug)]
pub enum Pending {
    /// It is done.
    Ready(Vec<f32>),
    /// The buffer will come from here.
    Running(Receiver<Result<Vec<f32>>>),
}

impl Pending {
    /// The buffer, when the operation is done.
    ///
    /// # Errors
    /// A rank has ended or does not answer, where that does not end this process.
    pub fn wait(self) -> Result<Vec<f32>> {
        match self {
            Self::Ready(buffer) => Ok(buffer),
            Self::Running(buffer) => buffer
                .recv()
                .map_err(Error::library("waiting for the other ranks"))?,
        }
    }
}

/// A single process, for which every operation is done before it begins.
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
        assert!(refusal.contains("this build has no MPI: each would train for itself"));
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
