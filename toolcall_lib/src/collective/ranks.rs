//! The operations as messages between all pairs of ranks, in pieces: as much traffic as a ring, sums in the order of the ranks
//! whatever carries the messages, and whoever does not answer is known by name.

use super::Shard;
use crate::error::{Result, tell};
use bytemuck::{cast_slice, cast_slice_mut};
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

/// What carries messages between this rank and every other.
pub(super) trait Pairs {
    /// This rank among all.
    fn shard(&self) -> Shard;

    /// Sends every other rank its part of `outgoing`, and receives what it sends into its part of `incoming`. Where a rank that does
    /// not answer can end all others, this does not return.
    ///
    /// # Errors
    /// A rank that does not answer, where it cannot end the others.
    fn swap(&mut self, outgoing: &[&[u8]], incoming: &mut [&mut [u8]]) -> Result<()>;

    /// Ends all ranks.
    fn abort(&mut self) -> !;

    /// Looks after the other ranks while there is nothing to do.
    fn look(&mut self) {}
}

/// The ranks as the thread sees them.
pub(super) struct Ranks {
    pub pairs: Box<dyn Pairs>,
    pub shard: Shard,
    /// What the other ranks send to be summed, one after the other.
    received: Vec<f32>,
}

impl Ranks {
    pub fn new(pairs: Box<dyn Pairs>) -> Self {
        Self {
            shard: pairs.shard(),
            pairs,
            received: Vec::new(),
        }
    }

    pub fn reduce_scatter(&mut self, buffer: &mut [f32]) -> Result<()> {
        let Shard { rank: me, size } = self.shard;
        let mut received = std::mem::take(&mut self.received);
        for piece in pieces(buffer.len(), self.shard) {
            let own = piece(me);
            received.resize(own.len() * size, 0.0);
            let outgoing: Vec<&[u8]> = (0..size).map(|rank| cast_slice(&buffer[piece(rank)])).collect();
            let incoming = split(&mut received, |_| own.len()).take(size);
            self.pairs
                .swap(&outgoing, &mut incoming.map(cast_slice_mut).collect::<Vec<_>>())?;
            let sums = &mut buffer[own];
            received[me * sums.len()..][..sums.len()].copy_from_slice(sums);
            let (first, others) = received.split_at(sums.len());
            sums.copy_from_slice(first);
            for values in others.chunks_exact(sums.len().max(1)) {
                zip(&mut *sums, values).for_each(|(sum, value)| *sum += value);
            }
        }
        self.received = received;
        Ok(())
    }

    pub fn all_gather(&mut self, buffer: &mut [f32]) -> Result<()> {
        let Shard { rank: me, size } = self.shard;
        let len = buffer.len();
        for piece in pieces(len, self.shard) {
            let own = buffer[piece(me)].to_vec();
            let start = |rank| Shard { rank, size }.range(len).start;
            let parts = split(&mut *buffer, |rank| start(rank + 1) - start(rank)).take(size);
            let parts = zip(0.., parts).map(|(rank, part)| {
                let Range { start: from, end } = piece(rank);
                cast_slice_mut(&mut part[from - start(rank)..end - start(rank)])
            });
            self.pairs
                .swap(&vec![cast_slice(&own); size], &mut parts.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    pub fn exchange(&mut self, numbers: &[f64]) -> Result<Vec<Vec<f64>>> {
        let size = self.shard.size;
        let mut all = vec![numbers.to_vec(); size];
        let mut incoming: Vec<&mut [u8]> = all
            .iter_mut()
            .map(|numbers| cast_slice_mut(&mut numbers[..]))
            .collect();
        self.pairs.swap(&vec![cast_slice(numbers); size], &mut incoming)?;
        Ok(all)
    }
}

/// The pieces in which a buffer of `len` travels: in each, which elements of every rank's shard.
fn pieces(len: usize, all: Shard) -> impl Iterator<Item = impl Fn(usize) -> Range<usize> + Copy> {
    let piece = (ELEMENTS_UNDER_WAY / all.size).max(1);
    (0..all.longest(len)).step_by(piece).map(move |first| {
        move |rank| {
            let shard = Shard { rank, ..all }.range(len);
            let start = shard.end.min(shard.start + first);
            start..shard.end.min(start + piece)
        }
    })
}

/// The parts of a buffer that follow one another, as long as `len` says.
fn split<T>(mut buffer: &mut [T], len: impl Fn(usize) -> usize) -> impl Iterator<Item = &mut [T]> {
    (0..).map(move |rank| {
        let (part, rest) = std::mem::take(&mut buffer).split_at_mut(len(rank));
        buffer = rest;
        part
    })
}

/// How long this rank waits for others.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    pub timeout: Duration,
    /// Set when this rank wants to end all.
    pub aborting: Arc<AtomicBool>,
}

impl Patience {
    pub fn begin(&self, rank: usize) -> Wait<'_> {
        Wait {
            patience: self,
            rank,
            started: Instant::now(),
            told: false,
        }
    }
}

/// A wait of `rank` for others.
pub(super) struct Wait<'a> {
    patience: &'a Patience,
    rank: usize,
    started: Instant,
    told: bool,
}

impl Wait<'_> {
    /// A pause before the next look at what the ranks `open` have sent. False when all ranks have to end; it has said why.
    pub fn pause(&mut self, open: &[usize]) -> bool {
        if self.patience.aborting.load(SeqCst) {
            return false;
        }
        let (waited, rank) = (self.started.elapsed(), self.rank);
        if waited > self.patience.timeout {
            let whom = names(open);
            tell(format!(
                "error: rank {rank}: waited {waited:.0?} for {whom}: it hangs, or needs a longer ddp_timeout; ending all ranks"
            ));
            return false;
        }
        if waited > LONG_WAIT && !self.told {
            tell(format!("rank {rank}: waiting for {}", names(open)));
            self.told = true;
        }
        match (waited / 16).min(LONGEST_PAUSE) {
            short if short < Duration::from_micros(5) => thread::yield_now(),
            pause => thread::sleep(pause),
        }
        true
    }
}

/// `rank 2` or `ranks 1, 3`.
pub(super) fn names(ranks: &[usize]) -> String {
    let mut ranks = ranks.to_vec();
    ranks.sort_unstable();
    ranks.dedup();
    let list: Vec<String> = ranks.iter().map(usize::to_string).collect();
    let plural = if list.len() > 1 { "s" } else { "" };
    format!("rank{plural} {}", list.join(", "))
}
