//! MPI: a thread of its own makes all calls, so that numbers travel while this rank computes.
//!
//! Every operation is one exchange of messages between all pairs of ranks, in pieces: as much traffic as a ring, sums in the
//! order of the ranks whatever the MPI library does, and whoever does not answer is known by name.

use super::{Collective, Launch, Pending, Shard};
use crate::error::{Error, Result};
use mpi::Threading;
use mpi::environment::Universe;
use mpi::request::{LocalScope, Request};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Equivalence, Source};
use std::iter::zip;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Elements that are on their way between all ranks at a time: what is received lies beside the buffer.
const ELEMENTS_UNDER_WAY: usize = 1 << 22;
/// Longest pause between two looks at what has arrived; in between nothing moves.
const LONGEST_PAUSE: Duration = Duration::from_micros(100);
/// So long a wait is told, once.
const LONG_WAIT: Duration = Duration::from_secs(60);

type Task = Box<dyn FnOnce(&mut Ranks) + Send>;

/// Ranks that MPI connects.
#[derive(Debug)]
pub struct Mpi {
    shard: Shard,
    tasks: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
    aborting: Arc<AtomicBool>,
}

impl Mpi {
    /// Joins the other ranks; once in a process. A rank for which another has waited `timeout` ends the job.
    ///
    /// # Errors
    /// MPI does not see the ranks that `launch` tells of.
    pub fn join(launch: &Launch, timeout: Duration) -> Result<Self> {
        let ((tell, told), (tasks, queue)) = (channel(), channel::<Task>());
        let aborting = Arc::new(AtomicBool::new(false));
        let asked_to_abort = aborting.clone();
        let serve = move || serve(&tell, &queue, timeout, asked_to_abort);
        let thread = thread::Builder::new().name("mpi".to_string()).spawn(serve);
        let thread = thread.map_err(Error::library("starting the thread for MPI"))?;
        let shard: Option<Shard> = told.recv().map_err(Error::library("starting MPI"))?;
        let shard =
            shard.ok_or_else(|| Error::invalid("MPI", "it has been started before in this process"))?;
        let joined = Self {
            shard,
            tasks: Some(tasks),
            thread: Some(thread),
            aborting,
        };
        if shard.size == launch.size {
            return Ok(joined);
        }
        let problem = format!(
            "{:?} started {} processes, but MPI connects {}; is it the launcher of the MPI that toolcall was built with? With srun, \
             `srun --mpi=list` shows what can be given as --mpi (pmix, pmi2)",
            launch.launcher, launch.size, shard.size
        );
        Err(Error::invalid("MPI", problem))
    }

    /// Has the thread do `work`.
    fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Ranks) -> T + Send + 'static,
    ) -> Result<Receiver<T>> {
        let (reply, result) = channel();
        let task: Task = Box::new(move |ranks| drop(reply.send(work(ranks)))); // nobody waits any more if it cannot be sent
        let tasks = self.tasks.as_ref().and_then(|tasks| tasks.send(task).ok());
        tasks.ok_or_else(|| Error::invalid("MPI", "its thread has ended"))?;
        Ok(result)
    }
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.shard.rank
    }

    fn size(&self) -> usize {
        self.shard.size
    }

    fn start_reduce_scatter(&self, mut buffer: Vec<f32>) -> Result<Pending> {
        let result = self.start(move |ranks| {
            ranks.reduce_scatter(&mut buffer);
            buffer
        });
        result.map(Pending::Running)
    }

    fn start_all_gather(&self, mut buffer: Vec<f32>) -> Result<Pending> {
        let result = self.start(move |ranks| {
            ranks.all_gather(&mut buffer);
            buffer
        });
        result.map(Pending::Running)
    }

    fn exchange(&self, numbers: &[f64]) -> Result<Vec<Vec<f64>>> {
        let numbers = numbers.to_vec();
        self.start(move |ranks| ranks.exchange(&numbers))?
            .recv()
            .map_err(Error::library("waiting for the other ranks"))
    }

    fn abort(&self) -> ! {
        self.aborting.store(true, SeqCst);
        self.start(|ranks| ranks.world.abort(1)).ok();
        loop {
            thread::park(); // until MPI ends this process
        }
    }
}

/// Leaves the other ranks in peace.
impl Drop for Mpi {
    fn drop(&mut self) {
        self.tasks.take();
        self.thread.take().map(JoinHandle::join);
    }
}

/// The thread: does the tasks until nobody can give one any more.
fn serve(tell: &Sender<Option<Shard>>, tasks: &Receiver<Task>, timeout: Duration, aborting: Arc<AtomicBool>) {
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
        tell.send(None).ok();
        return;
    };
    let mut ranks = Ranks::new(universe, timeout, aborting);
    if tell.send(Some(ranks.shard)).is_ok() {
        tasks.iter().for_each(|task| task(&mut ranks));
    }
}

/// The ranks as the thread sees them.
struct Ranks {
    shard: Shard,
    world: SimpleCommunicator,
    timeout: Duration,
    aborting: Arc<AtomicBool>,
    /// What the other ranks send to be summed, one after the other.
    received: Vec<f32>,
    _universe: Universe,
}

impl Ranks {
    fn new(universe: Universe, timeout: Duration, aborting: Arc<AtomicBool>) -> Self {
        let world = universe.world();
        Self {
            shard: Shard {
                rank: world.rank() as usize,
                size: world.size() as usize,
            },
            world,
            timeout,
            aborting,
            received: Vec::new(),
            _universe: universe,
        }
    }

    fn reduce_scatter(&mut self, buffer: &mut [f32]) {
        let piece = (ELEMENTS_UNDER_WAY / self.shard.size).max(1);
        let longest = buffer.len().div_ceil(self.shard.size);
        let mut received = std::mem::take(&mut self.received);
        for start in (0..longest).step_by(piece) {
            let range = |rank| piece_of(self.shard_of(rank).range(buffer.len()), start, piece);
            let own = range(self.shard.rank);
            received.resize(own.len() * self.shard.size, 0.0);
            self.swap(|rank| &buffer[range(rank)], split(&mut received, |_| own.len()));
            let sums = &mut buffer[own];
            received[self.shard.rank * sums.len()..][..sums.len()].copy_from_slice(sums);
            let (first, others) = received.split_at(sums.len());
            sums.copy_from_slice(first);
            for values in others.chunks_exact(sums.len().max(1)) {
                zip(&mut *sums, values).for_each(|(sum, value)| *sum += value);
            }
        }
        self.received = received;
    }

    fn all_gather(&mut self, buffer: &mut [f32]) {
        let len = buffer.len();
        let own = buffer[self.shard.range(len)].to_vec();
        self.swap(
            |_| &own,
            split(buffer, |rank| self.shard_of(rank).range(len).len()),
        );
    }

    fn exchange(&mut self, numbers: &[f64]) -> Vec<Vec<f64>> {
        let mut all = vec![numbers.to_vec(); self.shard.size];
        self.swap(|_| numbers, all.iter_mut().map(Vec::as_mut_slice));
        all
    }

    fn shard_of(&self, rank: usize) -> Shard {
        Shard { rank, ..self.shard }
    }

    /// Sends every other rank what is for it, and receives what it sends into its place of `incoming`.
    fn swap<'a, T: Equivalence + 'a>(
        &self,
        outgoing: impl Fn(usize) -> &'a [T],
        incoming: impl Iterator<Item = &'a mut [T]>,
    ) {
        mpi::request::scope(|scope| {
            let mut open: Vec<Open<'_, '_, T>> = Vec::new();
            let all = zip(0..self.shard.size, incoming);
            for (rank, values) in all.filter(|(rank, _)| *rank != self.shard.rank) {
                let peer = self.world.process_at_rank(rank as i32);
                open.push((rank, peer.immediate_receive_into(scope, values)));
                open.push((rank, peer.immediate_send(scope, outgoing(rank))));
            }
            self.complete(open);
        });
    }

    /// Waits until all messages have gone and come.
    fn complete<T>(&self, mut open: Vec<Open<'_, '_, T>>) {
        let (started, mut told) = (Instant::now(), false);
        loop {
            open = open
                .into_iter()
                .filter_map(|(rank, request)| Some((rank, request.test().err()?)))
                .collect();
            if open.is_empty() {
                return;
            }
            if self.aborting.load(SeqCst) {
                self.world.abort(1);
            }
            let waited = started.elapsed();
            if waited > self.timeout {
                eprintln!(
                    "error: rank {}: waited {waited:.0?} for {}: it hangs, or needs a longer ddp_timeout; ending all ranks",
                    self.shard.rank,
                    names(&open)
                );
                self.world.abort(1);
            }
            if waited > LONG_WAIT && !told {
                eprintln!("rank {}: waiting for {}", self.shard.rank, names(&open));
                told = true;
            }
            match (waited / 16).min(LONGEST_PAUSE) {
                short if short < Duration::from_micros(5) => thread::yield_now(),
                pause => thread::sleep(pause),
            }
        }
    }
}

/// At most `len` elements of `shard`, from the one at `start` on.
fn piece_of(shard: Range<usize>, start: usize, len: usize) -> Range<usize> {
    let start = shard.end.min(shard.start + start);
    start..shard.end.min(start + len)
}

/// The parts of a buffer that follow one another, as long as `len` says.
fn split<T>(mut buffer: &mut [T], len: impl Fn(usize) -> usize) -> impl Iterator<Item = &mut [T]> {
    (0..).map(move |rank| {
        let (part, rest) = std::mem::take(&mut buffer).split_at_mut(len(rank));
        buffer = rest;
        part
    })
}

/// A message that is under way, and the rank at its other end.
type Open<'r, 's, T> = (usize, Request<'r, [T], &'s LocalScope<'r>>);

/// `rank 2` or `ranks 1, 3`.
fn names<T>(open: &[Open<'_, '_, T>]) -> String {
    let mut ranks: Vec<usize> = open.iter().map(|(rank, _)| *rank).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let list: Vec<String> = ranks.iter().map(usize::to_string).collect();
    format!(
        "rank{} {}",
        if list.len() > 1 { "s" } else { "" },
        list.join(", ")
    )
}
