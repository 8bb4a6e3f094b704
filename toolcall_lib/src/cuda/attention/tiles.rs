//! Which key tiles a query tile sees, on the device.
//!
//! In depth-first order, what sees a key is a range of rows: row `r` sees key `c` if `c <= r < ends[c]`. One number a key stands in the
//! place of a mask, and tiles need not end where segments do.

use super::TILE;
use crate::batch::Segment;
use crate::cuda::buffer::{Scratch, View};
use crate::cuda::driver::{Driver, Element};
use crate::error::Result;
use std::ops::Range;
use std::sync::Arc;

/// The tiles of queries and keys, in memory that is used again.
#[derive(Debug)]
pub(crate) struct Tiles {
    memory: Scratch,
    /// Query rows; the last of the keys are theirs.
    pub rows: usize,
    pub key_rows: usize,
    /// After the last row that sees each key; zeros up to a whole tile.
    pub ends: View,
    /// Key tiles that each query tile sees.
    pub of_queries: List,
    /// Query tiles that see each key tile.
    pub of_keys: List,
}

/// Of each tile, some tiles of the other side: `tiles[first[t]..first[t + 1]]`, each `2 · tile`, and 1 more where some pair is hidden.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub first: View,
    pub tiles: View,
}

impl Tiles {
    /// Of no rows.
    pub fn new() -> Self {
        let none = List {
            first: View::EMPTY,
            tiles: View::EMPTY,
        };
        Self {
            memory: Scratch::new(Element::U32),
            rows: 0,
            key_rows: 0,
            ends: View::EMPTY,
            of_queries: none,
            of_keys: none,
        }
    }

    /// Those of a packed tree.
    pub fn set_tree(&mut self, driver: &Arc<dyn Driver>, segments: &[Segment]) -> Result<()> {
        let ends = subtree_ends(segments);
        self.set(driver, ends.len(), &ends)
    }

    #[cfg(test)]
    /// Those of `new` rows that follow `past` rows of one sequence, whose keys stand at rows `0..past + new`.
    pub fn set_after(&mut self, driver: &Arc<dyn Driver>, past: usize, new: usize) -> Result<()> {
        self.set(driver, new, &vec![past + new; past + new])
    }

    fn set(&mut self, driver: &Arc<dyn Driver>, rows: usize, ends: &[usize]) -> Result<()> {
        (self.rows, self.key_rows) = (rows, ends.len());
        let seen = seen_tiles(rows, ends);
        let mut seeing = vec![Vec::new(); ends.len().div_ceil(TILE)];
        for (query, tiles) in seen.iter().enumerate() {
            for &entry in tiles {
                seeing[entry as usize / 2].push(2 * query as u32 + entry % 2);
            }
        }
        let mut numbers: Vec<u32> = ends.iter().map(|&end| end as u32).collect();
        numbers.resize(ends.len().next_multiple_of(TILE), 0);
        let mut places: Vec<_> = std::iter::once(0..numbers.len()).collect();
        for list in [&seen, &seeing] {
            let mut first = 0;
            let start = numbers.len();
            numbers.push(first);
            for tiles in list {
                first += tiles.len() as u32;
                numbers.push(first);
            }
            let middle = numbers.len();
            numbers.extend(list.iter().flatten());
            places.extend([start..middle, middle..numbers.len()]);
        }
        let memory = self.memory.sized(driver, numbers.len())?;
        memory.upload(&**driver, &numbers)?;
        let view = |place: usize| memory.slice(places[place].clone());
        let list = |place: usize| List {
            first: view(place),
            tiles: view(place + 1),
        };
        (self.ends, self.of_queries, self.of_keys) = (view(0), list(1), list(3));
        Ok(())
    }
}

/// Of each row, the first row after the subtree of its segment.
fn subtree_ends(segments: &[Segment]) -> Vec<usize> {
    let mut ends: Vec<usize> = segments
        .iter()
        .map(|segment| segment.start + segment.len)
        .collect();
    for (index, segment) in segments.iter().enumerate().rev() {
        if let Some(parent) = segment.parent {
            ends[parent] = ends[parent].max(ends[index]);
        }
    }
    segments
        .iter()
        .zip(ends)
        .flat_map(|(segment, end)| std::iter::repeat_n(end, segment.len))
        .collect()
}

/// The entries of each query tile; the queries are the last `rows` of the keys.
fn seen_tiles(rows: usize, ends: &[usize]) -> Vec<Vec<u32>> {
    let past = ends.len() - rows;
    let tile = |start: usize| {
        let queries = past + start..past + rows.min(start + TILE);
        let entry = |(tile, ends): (usize, &[usize])| match sight(&queries, tile * TILE, ends) {
            (false, _) => None,
            (true, all) => Some(2 * tile as u32 + u32::from(!all)),
        };
        ends[..queries.end]
            .chunks(TILE)
            .enumerate()
            .filter_map(entry)
            .collect()
    };
    (0..rows).step_by(TILE).map(tile).collect()
}

/// Whether any of the queries sees any of the keys, which begin at row `first`, and whether all see all of a whole tile.
fn sight(queries: &Range<usize>, first: usize, ends: &[usize]) -> (bool, bool) {
    let mut any = false;
    let mut all = ends.len() == TILE;
    for (key, &end) in (first..).zip(ends) {
        any |= key.max(queries.start) < end.min(queries.end);
        all &= key <= queries.start && end >= queries.end;
    }
    (any, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_tile_sees_its_ancestors_tiles_and_no_others() {
        let segment = |start, len, parent| Segment {
            start,
            len,
            parent,
            position: 0,
        };
        // rows 64..128 are a branch that rows from 128 on do not see
        let segments = [
            segment(0, 64, None),
            segment(64, 64, Some(0)),
            segment(128, 10, Some(0)),
            segment(138, 2, Some(2)),
        ];
        let ends = subtree_ends(&segments);
        assert_eq!([0, 64, 128, 138].map(|row| ends[row]), [140, 128, 140, 140]);
        assert_eq!(seen_tiles(140, &ends), [vec![1], vec![0, 3], vec![0, 5]]);
        assert_eq!(seen_tiles(2, &[70; 70]), [vec![0, 3]]);
    }
}
