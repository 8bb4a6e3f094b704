//! Collective operations as messages between all pairs of ranks, in pieces.
//!
//! They cause as much traffic as a ring. With every back end, sums are made in the order of the
//! ranks, and a rank that does not answer is named.

use super::Shard;
use crate::error::{Result, tell};
use bytemuck::{cast_slice, cast_slice_mut};
use std::iter::zip;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// Largest number of elements that travel between all ranks at a time: received ones need memory
/// besides the buffer.
const ELEMENTS_UNDER_WAY: usize = 1 << 22;
/// Longest pause between two checks for messages; nothing moves in a pause.
const LONGEST_PAUSE: Duration = Duration::from_micros(100);
/// A wait of this length is reported, once.
pub(super) const LONG_WAIT: Duration = Duration::from_secs(60);

/// Carries messages between this rank and every other.
pub(super) trait Pairs {
    /// Returns this rank among all ranks.
    fn shard(&self) -> Shard;

    /// Sends every other rank its part of `outgoing`, and receives from it its part of `incoming`.
    /// A back end that can end all ranks does not return if one does not answer.
    ///
    /// # Errors
    /// A rank does not answer, and this back end cannot end the others.
    fn swap(&mut self, outgoing: &[&[u8]], incoming: &mut [&mut [u8]]) -> Result<()>;

    /// Ends all ranks.
    fn abort(&mut self) -> !;

    /// Checks the other ranks while there is nothing to do.
    fn look(&mut self) {}
}

/// The ranks, as the messenger's thread sees them.
pub(super) struct Ranks {
    pub pairs: Box<dyn Pairs>,
    pub shard: Shard,
    /// Values that other ranks send to be summed, one rank after the other.
    received: Vec<f32>,
}

impl Ranks {
    /// Makes the ranks that `pairs` reaches.
    pub fn new(pairs: Box<dyn Pairs>) -> Self {
        Self {
            shard: pairs.shard(),
            pairs,
            received: Vec::new(),
        }
    }

    /// Sums `buffer` over all ranks; this rank's shard of it receives its sums.
    pub fn reduce_scatter(&mut self, buffer: &mut [f32]) -> Result<()> {
        let Shard { rank: me, size } = self.shard;
        let mut received = std::mem::take(&mut self.received);
        // 1. Send every rank this rank's values for its shard, and receive all values for this
        //    rank's shard.
        for piece in pieces(buffer.len(), self.shard) {
            let own = piece(me);
            received.resize(own.len() * size, 0.0);
            let outgoing: Vec<&[u8]> = (0..size).map(|rank| cast_slice(&buffer[piece(rank)])).collect();
            let incoming = split(&mut received, |_| own.len()).take(size);
            self.pairs
                .swap(&outgoing, &mut incoming.map(cast_slice_mut).collect::<Vec<_>>())?;
            // 2. Add up in the order of the ranks, so that sums do not depend on the arrival of
            //    messages.
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

    /// Fills `buffer` with the shards of all ranks.
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

    /// Exchanges numbers; returns those of every rank.
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

/// Divides a buffer of `len` into pieces that travel one at a time. Each piece is a function from a
/// rank to the elements of its shard.
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

/// Splits a buffer into consecutive parts with the lengths `len(0)`, `len(1)`, ...
fn split<T>(mut buffer: &mut [T], len: impl Fn(usize) -> usize) -> impl Iterator<Item = &mut [T]> {
    (0..).map(move |rank| {
        let (part, rest) = std::mem::take(&mut buffer).split_at_mut(len(rank));
        buffer = rest;
        part
    })
}

/// Longest wait of this rank for others.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    pub timeout: Duration,
    /// Set when this rank wants to end all ranks.
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

/// A wait of `rank` for other ranks.
pub(super) struct Wait<'a> {
    patience: &'a Patience,
    rank: usize,
    started: Instant,
    told: bool,
}

impl Wait<'_> {
    /// Pauses before the next check for messages from the ranks `open`. Returns false if all ranks
    /// have to end, after it has reported why.
    pub fn pause(&mut self, open: &[usize]) -> bool {
        if self.patience.aborting.load(SeqCst) {
            return false;
        }
        let (waited, rank) = (self.started.elapsed(), self.rank);
        if waited > self.patience.timeout {
            let whom = names(open);
            tell(format!(
                "error: rank {rank}: waited {waited:.0?} for {whom}: a rank hangs, or ddp_timeout is too \
                    short; ending all ranks"
            ));
            return false;
        }
        if waited > LONG_WAIT && !self.told {
            tell(format!("rank {rank}: waiting for {}", names(open)));
            self.told = true;
        }
        // The longer the wait so far, the longer the pause.
        match (waited / 16).min(LONGEST_PAUSE) {
            short if short < Duration::from_micros(5) => thread::yield_now(),
            pause => thread::sleep(pause),
        }
        true
    }
}

/// Returns `rank 2` or `ranks 1, 3`.
pub(super) fn names(ranks: &[usize]) -> String {
    let mut ranks = ranks.to_vec();
    ranks.sort_unstable();
    ranks.dedup();
    let list: Vec<String> = ranks.iter().map(usize::to_string).collect();
    let plural = if list.len() > 1 { "s" } else { "" };
    format!("rank{plural} {}", list.join(", "))
}
