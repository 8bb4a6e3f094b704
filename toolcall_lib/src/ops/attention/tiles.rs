//! Tiles: up to 64 neighbouring queries, and the keys that they attend to.

use crate::batch::{Segment, ancestors};
use std::iter::once;
use std::ops::Range;

/// Maximum number of query rows that share one matrix of scores.
pub(crate) const TILE: usize = 64;

/// Some query rows, and the key rows that they see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Rows of the queries.
    pub queries: Range<usize>,
    /// Key rows that every query of the tile sees, in as few ranges as possible.
    pub visible: Vec<Range<usize>>,
    /// First of `queries.len()` key rows that are seen causally: query `i` sees the first `i + 1`
    /// of them.
    pub causal: usize,
}

impl Tile {
    /// Returns the number of key rows that the last query sees, which is the width of the scores.
    pub(super) fn context(&self) -> usize {
        self.visible.iter().map(Range::len).sum::<usize>() + self.queries.len()
    }

    /// Returns the number of elements from one row of scores to the next: whole cache lines.
    pub(super) fn stride(&self) -> usize {
        self.context().next_multiple_of(16)
    }

    /// Returns the number of elements of the tile's scores.
    pub(super) fn room(&self) -> usize {
        self.queries.len() * self.stride()
    }

    /// Iterates over all key ranges, each with the column of the scores where it begins.
    pub(super) fn key_ranges(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let causal = self.causal..self.causal + self.queries.len();
        self.visible
            .iter()
            .cloned()
            .chain([causal])
            .scan(0, |column, range| {
                let at = *column;
                *column += range.len();
                Some((at, range))
            })
    }
}

/// Cuts a packed tree into tiles, in row order.
pub fn tiles(segments: &[Segment]) -> Vec<Tile> {
    let mut tiles = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let above = ancestors(segments, index);
        let end = segment.start + segment.len;
        for start in (segment.start..end).step_by(TILE) {
            let visible = join(above.iter().cloned().chain(once(segment.start..start)));
            tiles.push(Tile {
                queries: start..end.min(start + TILE),
                visible,
                causal: start,
            });
        }
    }
    tiles
}

/// Merges ranges that touch and drops empty ones. The order stays as it is.
pub(crate) fn join(ranges: impl IntoIterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges.into_iter().filter(|r| !r.is_empty()) {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}
