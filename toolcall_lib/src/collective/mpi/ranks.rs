//! The operations as messages between all pairs of ranks.

use crate::collective::Shard;
use mpi::environment::Universe;
use mpi::request::{LocalScope, Request};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Equivalence, Source};
use std::iter::zip;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// Elements that are on their way between all ranks at a time: what is received lies beside the buffer.
const ELEMENTS_UNDER_WAY: usize = 1 << 22;
/// Longest pause between two looks at what has arrived; in between nothing moves.
const LONGEST_PAUSE: Duration = Duration::from_micros(100);
/// So long a wait is told, once.
const LONG_WAIT: Duration = Duration::from_secs(60);

/// The ranks as the thread sees them.
pub(super) struct Ranks {
    pub shard: Shard,
    world: SimpleCommunicator,
    timeout: Duration,
    aborting: Arc<AtomicBool>,
    /// What the other ranks send to be summed, one after the other.
    received: Vec<f32>,
    _universe: Universe,
}

impl Ranks {
    pub fn new(universe: Universe, timeout: Duration, aborting: Arc<AtomicBool>) -> Self {
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

    pub fn reduce_scatter(&mut self, buffer: &mut [f32]) {
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

    pub fn all_gather(&mut self, buffer: &mut [f32]) {
        let len = buffer.len();
        let own = buffer[self.shard.range(len)].to_vec();
        self.swap(
            |_| &own,
            split(buffer, |rank| self.shard_of(rank).range(len).len()),
        );
    }

    pub fn exchange(&mut self, numbers: &[f64]) -> Vec<Vec<f64>> {
        let mut all = vec![numbers.to_vec(); self.shard.size];
        self.swap(|_| numbers, all.iter_mut().map(Vec::as_mut_slice));
        all
    }

    /// Ends all ranks.
    pub fn abort(&self) -> ! {
        self.world.abort(1)
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
                self.abort();
            }
            let waited = started.elapsed();
            if waited > self.timeout {
                eprintln!(
                    "error: rank {}: waited {waited:.0?} for {}: it hangs, or needs a longer ddp_timeout; ending all ranks",
                    self.shard.rank,
                    names(&open)
                );
                self.abort();
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
