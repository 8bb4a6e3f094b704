//! Allocator of cache slots: it knows which are free.

use crate::ops::attention::join;
use std::ops::Range;

/// Cache slots that are given out and taken back, as ranges.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    /// Free ranges in ascending order; no two of them touch.
    free: Vec<Range<usize>>,
    /// First slot that was never given out.
    end: usize,
}

impl Slots {
    /// Returns the number of slots that can be given out while the cache has at most `most` slots.
    pub fn available(&self, most: usize) -> usize {
        self.free.iter().map(Range::len).sum::<usize>() + most.saturating_sub(self.end)
    }

    /// Gives out `n` slots: the smallest free run that is long enough, else new slots at the end,
    /// else the longest free runs. Goes beyond `most` only if fewer than `n` are available.
    pub fn take(&mut self, n: usize, most: usize) -> Vec<Range<usize>> {
        let fitting = (0..self.free.len()).filter(|&i| self.free[i].len() >= n);
        if let Some(i) = fitting.min_by_key(|&i| self.free[i].len()) {
            return vec![self.take_from(i, n)];
        }
        let (mut taken, mut left) = (Vec::new(), n);
        while left > 0 {
            let longest = (0..self.free.len()).max_by_key(|&i| self.free[i].len());
            match longest {
                Some(i) if self.end + left > most => {
                    let n = left.min(self.free[i].len());
                    taken.push(self.take_from(i, n));
                    left -= n;
                }
                _ => {
                    taken.push(self.end..self.end + left);
                    self.end += left;
                    left = 0;
                }
            }
        }
        taken
    }

    /// Takes the first `n` slots of free run `i`.
    fn take_from(&mut self, i: usize, n: usize) -> Range<usize> {
        let range = &mut self.free[i];
        let taken = range.start..range.start + n;
        range.start += n;
        if range.start == range.end {
            self.free.remove(i);
        }
        taken
    }

    /// Takes slots back and joins them with free neighbours.
    pub fn give(&mut self, slots: Range<usize>) {
        if slots.is_empty() {
            return;
        }
        let at = self.free.partition_point(|range| range.start < slots.start);
        self.free.insert(at, slots);
        if self
            .free
            .get(at + 1)
            .is_some_and(|next| next.start == self.free[at].end)
        {
            self.free[at].end = self.free.remove(at + 1).end;
        }
        if at > 0 && self.free[at - 1].end == self.free[at].start {
            self.free[at - 1].end = self.free.remove(at).end;
        }
    }
}

#[cfg(test)]
impl Slots {
    pub fn given_out(&self) -> usize {
        self.end
    }
}

/// Keeps the first `n` slots in `slots` and returns the others.
pub(super) fn split_slots(slots: &mut Vec<Range<usize>>, n: usize) -> Vec<Range<usize>> {
    let (mut kept, mut others, mut left) = (Vec::new(), Vec::new(), n);
    for range in slots.drain(..) {
        let cut = range.start + left.min(range.len());
        left -= cut - range.start;
        kept.push(range.start..cut);
        others.push(cut..range.end);
    }
    *slots = join(kept);
    join(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(slots: &mut Slots, n: usize, most: usize) -> Vec<(usize, usize)> {
        let taken = slots.take(n, most).into_iter();
        taken.map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn slots_come_in_one_run_where_there_is_one() {
        let mut slots = Slots::default();
        assert_eq!(take(&mut slots, 10, 32), [(0, 10)]);
        assert_eq!(take(&mut slots, 10, 32), [(10, 20)]);
        assert_eq!(take(&mut slots, 4, 32), [(20, 24)]);
        slots.give(0..10);
        slots.give(20..24);
        assert_eq!(slots.available(32), 22);
        let smallest = "the smallest run that is long enough";
        assert_eq!(take(&mut slots, 3, 32), [(20, 23)], "{smallest}");
        let new = "slots that were never given out, rather than pieces";
        assert_eq!(take(&mut slots, 12, 40), [(24, 36)], "{new}");
        let pieces = "pieces, if there may be no more";
        assert_eq!(take(&mut slots, 11, 36), [(0, 10), (23, 24)], "{pieces}");
        assert_eq!(slots.available(36), 0);
        assert_eq!(take(&mut slots, 2, 36), [(36, 38)]);
    }

    #[test]
    fn slots_that_come_back_join_their_neighbours() {
        let mut slots = Slots::default();
        slots.take(30, 30);
        for part in [10..20, 0..5, 25..30, 5..10, 20..25] {
            slots.give(part);
        }
        assert_eq!(take(&mut slots, 30, 30), [(0, 30)]);
    }
}
