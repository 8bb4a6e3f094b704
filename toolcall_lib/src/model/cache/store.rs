//! What sequences share is stored and computed once: a tree over token ids, whose nodes hold rows of the cache.
//!
//! A sequence that is being written is a leaf of the tree. When it is over, the leaf stays until its rows are needed: those that
//! were used least recently go first. So the next prompt finds what it shares with earlier ones, as in SGLang's RadixAttention.

use super::layer::LayerCache;
use super::rows::Rows;
use super::tree::split_rows;
use crate::config::ModelConfig;
use crate::ops::attention::{TILE, Tile, join};
use std::cmp::Reverse;
use std::ops::Range;

/// Keys and values of many sequences, in a bounded number of rows.
#[derive(Clone, Debug)]
pub struct KvStore {
    /// The CPU's keys and values; those of a GPU are with its decoder.
    pub(in crate::model) layers: Vec<LayerCache>,
    pub(super) rows: Rows,
    pub(super) most_rows: usize,
    /// The first is the root, an empty prefix; others without tokens are gone.
    pub(super) nodes: Vec<Node>,
    /// Nodes with rows that the next pass has to compute.
    pub(super) pending: Vec<usize>,
    pub(super) clock: u64,
}

/// A sequence of a [`KvStore`], from [`KvStore::begin`] to [`KvStore::end`].
#[derive(Debug)]
pub struct KvSequence(pub(super) usize);

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub parent: usize,
    pub children: Vec<usize>,
    pub ids: Vec<u32>,
    /// Where the keys of `ids` stand, in order.
    pub rows: Vec<Range<usize>>,
    /// How many of them are computed.
    pub computed: usize,
    /// A sequence is being written here: the node may grow, and may not go.
    pub writing: bool,
    /// Rows that it will grow into.
    pub spare: Vec<Range<usize>>,
    /// When it was used last.
    pub used: u64,
}

/// The rows of a pass over the model, part by part: the longest first.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    pub ids: Vec<u32>,
    pub positions: Vec<u32>,
    /// Row of the cache where the key of each goes.
    pub keys: Vec<usize>,
    pub parts: Vec<PassPart>,
    /// The last row of each sequence.
    pub last: Vec<usize>,
}

/// Rows of a pass that follow one another.
#[derive(Debug)]
pub(crate) struct PassPart {
    pub rows: Range<usize>,
    /// Rows of the cache that all of them see, in the order of their tokens. Each sees, besides, the rows of the part up to itself.
    pub visible: Vec<Range<usize>>,
}

impl Pass {
    /// The rows of the cache that row `row` of a part sees, in order.
    #[cfg(feature = "cuda")]
    pub fn seen(&self, part: &PassPart, row: usize) -> Vec<Range<usize>> {
        let own = self.keys[part.rows.start..=row].iter().map(|&key| key..key + 1);
        join(part.visible.iter().cloned().chain(own))
    }

    /// As tiles of the CPU's attention.
    pub fn tiles(&self) -> Vec<Tile> {
        let mut tiles = Vec::new();
        for part in &self.parts {
            let (mut visible, mut start) = (part.visible.clone(), part.rows.start);
            while start < part.rows.end {
                let causal = self.keys[start];
                let follows = |&(i, &key): &(usize, &usize)| key == causal + i && i < TILE;
                let keys = self.keys[start..part.rows.end].iter().enumerate();
                let end = start + keys.take_while(follows).count();
                tiles.push(Tile {
                    queries: start..end,
                    visible: join(visible.iter().cloned()),
                    causal,
                });
                visible.push(causal..causal + (end - start));
                start = end;
            }
        }
        tiles
    }
}

impl KvStore {
    /// An empty store for a model of this shape that takes `bytes` at most, or what the sequences need that are being written.
    pub fn new(config: &ModelConfig, bytes: usize) -> Self {
        Self::of_elements(config, bytes, size_of::<f32>())
    }

    /// The same where keys and values take so many bytes an element.
    pub(crate) fn of_elements(config: &ModelConfig, bytes: usize, element: usize) -> Self {
        let row = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * element;
        Self {
            layers: vec![LayerCache::default(); config.num_hidden_layers],
            rows: Rows::default(),
            most_rows: bytes / row.max(1),
            nodes: vec![Node::default()],
            pending: Vec::new(),
            clock: 0,
        }
    }

    /// Tokens that it has room for.
    pub fn most_tokens(&self) -> usize {
        self.most_rows
    }

    /// Tokens of the sequences that are being written, those that they share once.
    pub fn tokens_in_use(&self) -> usize {
        let mut used = vec![false; self.nodes.len()];
        for leaf in (0..self.nodes.len()).filter(|&i| self.nodes[i].writing) {
            self.path(leaf).for_each(|node| used[node] = true);
        }
        (0..used.len())
            .filter(|&i| used[i])
            .map(|i| self.nodes[i].ids.len())
            .sum()
    }

    /// How many tokens of a prompt are stored; its last is not looked for, since what follows it has to be computed.
    pub fn stored(&self, ids: &[u32]) -> usize {
        let (_, _, matched) = self.find(ids);
        matched
    }

    /// A new sequence that begins with `ids`, of which there must be one.
    pub fn begin(&mut self, ids: &[u32]) -> KvSequence {
        let (mut parent, within, matched) = self.find(ids);
        if within < self.nodes[parent].ids.len() {
            parent = self.split(parent, within);
        }
        self.touch(parent);
        let leaf = self.insert(Node {
            parent,
            writing: true,
            used: self.clock,
            ..Node::default()
        });
        self.nodes[parent].children.push(leaf);
        let rows = self.take(ids.len() - matched);
        self.nodes[leaf].spare = rows;
        self.append(leaf, &ids[matched..]);
        KvSequence(leaf)
    }

    /// The sequence is over; what was computed of it can be found by others.
    pub fn end(&mut self, sequence: KvSequence) {
        let leaf = sequence.0;
        self.touch(leaf);
        let node = &mut self.nodes[leaf];
        node.writing = false;
        let mut free = std::mem::take(&mut node.spare);
        let computed = node.computed;
        node.ids.truncate(computed);
        free.extend(split_rows(&mut node.rows, computed));
        let parent = node.parent;
        free.into_iter().for_each(|rows| self.rows.give(rows));
        self.pending.retain(|&node| node != leaf);
        let doubled =
            |&other: &usize| other != leaf && self.nodes[other].ids.starts_with(&self.nodes[leaf].ids);
        if self.nodes[parent].children.iter().any(doubled) || computed == 0 {
            self.remove(leaf);
        }
    }

    /// Adds tokens to sequences; with what is new of those that have begun, that is the next pass.
    pub(crate) fn pass(&mut self, new: &[(&KvSequence, &[u32])]) -> Pass {
        for (sequence, ids) in new {
            self.append(sequence.0, ids);
        }
        let mut pass = Pass::default();
        let mut last = vec![0; self.nodes.len()];
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_by_key(|&node| Reverse(self.nodes[node].ids.len() - self.nodes[node].computed));
        for node in pending {
            self.add_to(&mut pass, node);
            last[node] = pass.ids.len() - 1;
            let node = &mut self.nodes[node];
            node.computed = node.ids.len();
        }
        pass.last = new.iter().map(|(sequence, _)| last[sequence.0]).collect();
        pass
    }

    fn add_to(&self, pass: &mut Pass, index: usize) {
        let node = &self.nodes[index];
        let mut above: Vec<usize> = self.path(node.parent).collect();
        above.reverse();
        let mut visible: Vec<Range<usize>> = above.iter().flat_map(|&i| self.nodes[i].rows.clone()).collect();
        let before: usize = visible.iter().map(Range::len).sum();
        let mut rows = node.rows.clone();
        let new = split_rows(&mut rows, node.computed);
        visible.extend(rows);
        let start = pass.ids.len();
        pass.ids.extend(&node.ids[node.computed..]);
        pass.positions
            .extend((before + node.computed..before + node.ids.len()).map(|p| p as u32));
        pass.keys.extend(new.into_iter().flatten());
        pass.parts.push(PassPart {
            rows: start..pass.ids.len(),
            visible,
        });
    }
}
