//! Which key tiles a query tile sees, on the device.
//!
//! In depth-first order, what sees a key is a range of rows: a query that stands at row `r` sees key `c` if `c <= r < ends[c]`. One number a
//! key stands in the place of a mask, and tiles need not end where segments do. A pass over a cache is a forest of such trees: of each
//! part of the pass the keys that it sees, in order, the last of which are its own.

use super::TILE;
use crate::batch::Segment;
use crate::cuda::buffer::View;
use crate::cuda::numbers::{Numbers, Part};

/// The tiles of queries and keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiles<T> {
    /// Query rows.
    pub rows: usize,
    pub key_rows: usize,
    /// After the last row that sees each key; zeros up to a whole tile.
    pub ends: T,
    /// Key tiles that each query tile sees.
    pub of_queries: List<T>,
    /// Query tiles that see each key tile.
    pub of_keys: List<T>,
    /// Over a cache: where each query stands among the keys, and in which row of the cache each key is. In a tree both are the rows
    /// themselves.
    pub cached: Option<[T; 2]>,
}

/// Of each tile, some tiles of the other side: `tiles[first[t]..first[t + 1]]`, each `2 · tile`, and 1 more where some pair is hidden.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<T> {
    pub first: T,
    pub tiles: T,
}

impl Tiles<Part> {
    /// Those of a packed tree.
    pub fn of_tree(numbers: &mut Numbers, segments: &[Segment]) -> Self {
        let ends = subtree_ends(segments);
        let queries: Vec<usize> = (0..ends.len()).collect();
        Self::new(numbers, &queries, &ends)
    }

    /// Those of some rows of a pass over a cache. Each part has the rows of the cache that it sees, in order, and how many of the last
    /// are its own: these are its queries.
    pub fn of_cache(numbers: &mut Numbers, parts: &[(Vec<usize>, usize)]) -> Self {
        let (mut queries, mut ends, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (keys, new) in parts {
            places.extend(keys.iter().map(|&row| row as u32));
            ends.resize(places.len(), places.len());
            queries.extend(places.len() - new..places.len());
        }
        let mut tiles = Self::new(numbers, &queries, &ends);
        let queries = numbers.push(queries.into_iter().map(|row| row as u32));
        tiles.cached = Some([queries, numbers.push(places)]);
        tiles
    }

    /// Of queries that stand at these rows of the keys, in rising order.
    fn new(numbers: &mut Numbers, queries: &[usize], ends: &[usize]) -> Self {
        let seen = seen_tiles(queries, ends);
        let mut seeing = vec![Vec::new(); ends.len().div_ceil(TILE)];
        for (query, tiles) in seen.iter().enumerate() {
            for &entry in tiles {
                seeing[entry as usize / 2].push(2 * query as u32 + entry % 2);
            }
        }
        let mut padded: Vec<u32> = ends.iter().map(|&end| end as u32).collect();
        padded.resize(ends.len().next_multiple_of(TILE), 0);
        let mut list = |tiles: &[Vec<u32>]| {
            let firsts = tiles.iter().scan(0, |first, tiles| {
                *first += tiles.len() as u32;
                Some(*first)
            });
            List {
                first: numbers.push(std::iter::once(0).chain(firsts)),
                tiles: numbers.push(tiles.iter().flatten().copied()),
            }
        };
        Self {
            rows: queries.len(),
            key_rows: ends.len(),
            of_queries: list(&seen),
            of_keys: list(&seeing),
            ends: numbers.push(padded),
            cached: None,
        }
    }

    /// The same on the device, where the numbers are.
    pub fn on_device(&self, numbers: View) -> Tiles<View> {
        let view = |part: &Part| numbers.slice(part.clone());
        let list = |list: &List<Part>| List {
            first: view(&list.first),
            tiles: view(&list.tiles),
        };
        Tiles {
            rows: self.rows,
            key_rows: self.key_rows,
            ends: view(&self.ends),
            of_queries: list(&self.of_queries),
            of_keys: list(&self.of_keys),
            cached: self.cached.as_ref().map(|parts| parts.each_ref().map(view)),
        }
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

/// The entries of each query tile; the queries stand at these rows of the keys.
fn seen_tiles(queries: &[usize], ends: &[usize]) -> Vec<Vec<u32>> {
    // Most tiles of a forest are far apart, which the largest end of the keys tells.
    let keys: Vec<(usize, &[usize], usize)> = (0..ends.len())
        .step_by(TILE)
        .map(|first| {
            let ends = &ends[first..ends.len().min(first + TILE)];
            (first, ends, ends.iter().copied().max().unwrap_or(0))
        })
        .collect();
    let tile = |queries: &[usize]| {
        let (lowest, highest) = (queries[0], queries[queries.len() - 1]);
        let near = keys
            .iter()
            .take_while(|keys| keys.0 <= highest)
            .filter(|keys| keys.2 > lowest);
        let entry = |&(first, ends, _): &(usize, &[usize], usize)| match sight(queries, first, ends) {
            (false, _) => None,
            (true, all) => Some((2 * first / TILE) as u32 + u32::from(!all)),
        };
        near.filter_map(entry).collect()
    };
    queries.chunks(TILE).map(tile).collect()
}

/// Whether any of the queries sees any of the keys, which begin at row `first`, and whether all see all of a whole tile.
fn sight(queries: &[usize], first: usize, ends: &[usize]) -> (bool, bool) {
    let (lowest, highest) = (queries[0], queries[queries.len() - 1]);
    let (mut any, mut all) = (false, ends.len() == TILE);
    for (key, &end) in (first..).zip(ends) {
        let may_see = queries.partition_point(|&query| query < key);
        any |= queries.get(may_see).is_some_and(|&query| query < end);
        all &= key <= lowest && highest < end;
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
        let rows: Vec<usize> = (0..140).collect();
        assert_eq!(seen_tiles(&rows, &ends), [vec![1], vec![0, 3], vec![0, 5]]);
        assert_eq!(seen_tiles(&[68, 69], &[70; 70]), [vec![0, 3]]);
    }
}
