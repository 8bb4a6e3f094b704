//! Keys and values of the tokens that a generation has seen.

use crate::batch::TreeBatch;
use crate::ops::attention::{Qkv, Tile};
use crate::ops::matmul::Precision;
use crate::ops::rope::Heads;
use std::ops::Range;

/// Keys and values of one layer, `[key heads, capacity, head_dim]` each.
#[derive(Clone, Debug, Default)]
pub(super) struct LayerCache {
    keys: Vec<f32>,
    values: Vec<f32>,
    capacity: usize,
}

impl LayerCache {
    /// Stores the keys and values of new tokens in these rows and returns the new queries with all keys and values.
    pub fn store<'a>(
        &'a mut self,
        split: &'a [f32],
        rows: &[usize],
        heads: Heads,
        precision: Precision,
    ) -> Qkv<'a> {
        let (n, dim) = (rows.len(), heads.dim);
        let (q, kv) = split.split_at(n * heads.queries * dim);
        let (k, v) = kv.split_at(n * heads.keys * dim);
        self.reserve(rows.iter().max().map_or(0, |last| last + 1), heads);
        for (store, new) in [(&mut self.keys, k), (&mut self.values, v)] {
            let per_head = store
                .chunks_exact_mut(self.capacity * dim)
                .zip(new.chunks_exact(n * dim));
            for (store, new) in per_head {
                for (&row, new) in rows.iter().zip(new.chunks_exact(dim)) {
                    store[row * dim..][..dim].copy_from_slice(new);
                }
            }
        }
        Qkv {
            q,
            k: &self.keys,
            v: &self.values,
            query_rows: n,
            key_rows: self.capacity,
            heads,
            precision,
        }
    }

    /// Makes room for `rows` rows; doubles, so that a long generation copies little.
    fn reserve(&mut self, rows: usize, heads: Heads) {
        if rows <= self.capacity {
            return;
        }
        let capacity = rows.max(2 * self.capacity).next_multiple_of(64);
        for store in [&mut self.keys, &mut self.values] {
            let mut grown = vec![0.0; heads.keys * capacity * heads.dim];
            if self.capacity > 0 {
                let old = store.chunks_exact(self.capacity * heads.dim);
                for (new, old) in grown.chunks_exact_mut(capacity * heads.dim).zip(old) {
                    new[..old.len()].copy_from_slice(old);
                }
            }
            *store = grown;
        }
        self.capacity = capacity;
    }
}

/// Keys and values of every layer for one sequence.
#[derive(Clone, Debug, Default)]
pub struct KvCache {
    pub(super) layers: Vec<LayerCache>,
    ids: Vec<u32>,
}

impl KvCache {
    /// The tokens whose keys and values are stored.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Forgets all tokens after the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.ids.truncate(len);
    }

    pub(super) fn extend(&mut self, ids: &[u32], layers: usize) {
        self.ids.extend_from_slice(ids);
        self.layers.resize_with(layers, LayerCache::default);
    }
}

/// Keys and values of every layer for many sequences that begin as one packed tree: what their prompts share is stored and
/// computed once. What they say is stored in pages, so that memory follows what is really said.
#[derive(Clone, Debug)]
pub struct KvTree {
    pub(super) layers: Vec<LayerCache>,
    /// The rows of each sequence: of its prompt, and of the tokens after it.
    sequences: Vec<[Vec<Range<usize>>; 2]>,
    /// Rows that are given away.
    rows: usize,
}

impl KvTree {
    /// Rows that a sequence is given at once.
    const PAGE: usize = 64;

    /// For the sequences of `tree`, in the order in which they were packed.
    pub fn new(tree: &TreeBatch) -> Self {
        Self {
            layers: Vec::new(),
            sequences: tree
                .ends
                .iter()
                .map(|&end| [tree.path(end), Vec::new()])
                .collect(),
            rows: tree.ids.len(),
        }
    }

    /// Adds a token to each of these sequences. Returns their positions, the rows of their keys, and what they see.
    pub(super) fn grow(&mut self, sequences: &[usize]) -> (Vec<u32>, Vec<usize>, Vec<Tile>) {
        let (mut positions, mut keys, mut tiles) = (Vec::new(), Vec::new(), Vec::new());
        for (query, &sequence) in sequences.iter().enumerate() {
            let [prompt, pages] = &mut self.sequences[sequence];
            if pages.last().is_none_or(|page| page.len() == Self::PAGE) {
                pages.push(self.rows..self.rows);
                self.rows += Self::PAGE;
            }
            let visible: Vec<Range<usize>> = prompt
                .iter()
                .chain(&*pages)
                .filter(|range| !range.is_empty())
                .cloned()
                .collect();
            positions.push(visible.iter().map(Range::len).sum::<usize>() as u32);
            let Some(page) = pages.last_mut() else {
                continue; // one was pushed above
            };
            let key = page.end;
            page.end += 1;
            keys.push(key);
            tiles.push(Tile {
                queries: query..query + 1,
                visible,
                causal: key,
            });
        }
        (positions, keys, tiles)
    }
}
