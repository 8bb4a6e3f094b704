//! Tile lists on the device: the key tiles that each query tile sees, and the reverse.
//!
//! In depth-first order, the rows that see a key are a range: a query at row `r` sees key `c` if
//! `c <= r < ends[c]`. One number per key replaces a mask, and tiles need not end where segments
//! do. A pass over a KV cache is a forest of such trees: each part of the pass brings the keys that
//! it sees, in order, and the last of them are its own.

use super::TILE;
use crate::batch::Segment;
use crate::cuda::buffer::View;
use crate::cuda::numbers::{Numbers, Part};

/// Query tiles of a run, at least: few, so that a small tree keeps all multiprocessors busy.
const SHORTEST_RUN: usize = 4;

/// Query tiles and key tiles of a pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiles<T> {
    /// Number of query rows.
    pub rows: usize,
    pub key_rows: usize,
    /// Row after the last row that sees each key; zeros fill the last tile.
    pub ends: T,
    /// Key tiles that each query tile sees.
    pub of_queries: List<T>,
    /// Query tiles that see each key tile.
    pub of_keys: List<T>,
    /// The same, in runs of about the same length.
    pub runs: Runs<T>,
    /// Over a cache: the row of each query among the keys, and the cache slot of each key. In a
    /// tree both are the rows themselves.
    pub cached: Option<[T; 2]>,
}

/// Tiles of the other side for each tile `t`: `tiles[first[t]..first[t + 1]]`, each `2 · tile`,
/// plus 1 if some pair is hidden.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<T> {
    pub first: T,
    pub tiles: T,
}

impl Tiles<Part> {
    /// Lists the tiles of a packed tree.
    pub fn of_tree(numbers: &mut Numbers, segments: &[Segment]) -> Self {
        let ends = subtree_ends(segments);
        let queries: Vec<usize> = (0..ends.len()).collect();
        Self::new(numbers, &queries, &ends)
    }

    /// Lists the tiles of a pass over a KV cache. Each part has the cache slots that it sees, in
    /// order, and the number of the last ones that are its own: these are its queries.
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

    /// Lists the tiles of queries at these rows of the keys, in rising order.
    fn new(numbers: &mut Numbers, queries: &[usize], ends: &[usize]) -> Self {
        // 1. Key tiles of each query tile, and the reverse.
        let seen = seen_tiles(queries, ends);
        let mut seeing = vec![Vec::new(); ends.len().div_ceil(TILE)];
        for (query, tiles) in seen.iter().enumerate() {
            for &entry in tiles {
                seeing[entry as usize / 2].push(2 * query as u32 + entry % 2);
            }
        }
        // 2. Ends of the keys, up to a whole tile.
        let mut padded: Vec<u32> = ends.iter().map(|&end| end as u32).collect();
        padded.resize(ends.len().next_multiple_of(TILE), 0);
        // 3. Lists in one array, with the first entry of each tile.
        let mut list = |tiles: &[Vec<u32>]| List {
            first: numbers.push_starts(tiles.iter().map(Vec::len)),
            tiles: numbers.push(tiles.iter().flatten().copied()),
        };
        Self {
            rows: queries.len(),
            key_rows: ends.len(),
            of_queries: list(&seen),
            of_keys: list(&seeing),
            runs: Runs::new(numbers, &seeing),
            ends: numbers.push(padded),
            cached: None,
        }
    }

    /// Returns the tiles on the device, given the uploaded numbers.
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
            runs: self.runs.on_device(numbers),
            cached: self.cached.as_ref().map(|parts| parts.each_ref().map(view)),
        }
    }
}

/// Runs of the query tiles that see a key tile (`kernels/attention.cu`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runs<T> {
    /// Key tile, first entry of [`Tiles::of_keys`], end, and slot of each run. A run that is the
    /// only one of its tile has no slot, [`u32::MAX`].
    pub all: T,
    /// Key tile, first slot and end of each tile with several runs.
    pub several: T,
    pub slots: usize,
}

impl Runs<Part> {
    /// Divides the query tiles that see each key tile. Runs are longer in large trees, so that the
    /// partial sums take no more memory than a few times the keys.
    fn new(numbers: &mut Numbers, seeing: &[Vec<u32>]) -> Self {
        let most = seeing.len().div_ceil(8).max(SHORTEST_RUN);
        let (mut all, mut several, mut slots, mut first) = (Vec::new(), Vec::new(), 0, 0);
        for (tile, tiles) in (0..).zip(seeing) {
            let end = first + tiles.len() as u32;
            let runs = tiles.len().div_ceil(most) as u32;
            for run in 0..runs {
                // Entries are divided evenly.
                let entry = |run| first + tiles.len() as u32 * run / runs;
                let slot = if runs == 1 { u32::MAX } else { slots + run };
                all.extend([tile, entry(run), entry(run + 1), slot]);
            }
            if runs > 1 {
                several.extend([tile, slots, slots + runs]);
                slots += runs;
            }
            first = end;
        }
        Self {
            all: numbers.push(all),
            several: numbers.push(several),
            slots: slots as usize,
        }
    }

    fn on_device(&self, numbers: View) -> Runs<View> {
        Runs {
            all: numbers.slice(self.all.clone()),
            several: numbers.slice(self.several.clone()),
            slots: self.slots,
        }
    }
}

/// Returns for each row the first row after the subtree of its segment.
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

/// Returns the entries of each query tile, for queries at these rows of the keys.
fn seen_tiles(queries: &[usize], ends: &[usize]) -> Vec<Vec<u32>> {
    // Most tiles of a forest are far apart; the largest `ends` of a key tile rules them out
    // quickly.
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

/// Returns true if any of the queries sees any of the keys from row `first` on, and if all queries
/// see all keys of a whole tile.
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
        // Rows 64..128 are a branch that rows from 128 on do not see.
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

    #[test]
    fn many_query_tiles_are_shared_out_among_runs() {
        let mut numbers = Numbers::default();
        let seeing = [vec![0; 9], vec![0; 4], vec![0; 5]];
        let runs = Runs::new(&mut numbers, &seeing);
        let alone = u32::MAX;
        let all = [
            [0, 0, 3, 0],
            [0, 3, 6, 1],
            [0, 6, 9, 2],
            [1, 9, 13, alone],
            [2, 13, 15, 3],
            [2, 15, 18, 4],
        ];
        assert_eq!(numbers.get(runs.all), all.as_flattened());
        assert_eq!(numbers.get(runs.several), [0, 0, 3, 2, 3, 5]);
        assert_eq!(runs.slots, 5);
    }
}
