//! Parts of a flat buffer, one for each rank.

use std::ops::Range;

/// Rank `rank` of `size`, and its part of a flat buffer. All parts have the same length; those at
/// the end may be shorter or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The rank.
    pub rank: usize,
    /// The world size.
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

#[cfg(test)]
mod tests {
    use super::*;

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
