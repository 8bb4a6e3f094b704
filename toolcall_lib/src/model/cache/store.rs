//! A prefix tree of token sequences whose nodes own slots of the KV cache.
//!
//! Prefixes that sequences share are stored and computed once. A sequence that is being written is
//! a leaf of the tree. When it ends, the leaf stays until its slots are needed; least recently used
//! leaves go first. So the next prompt finds what it shares with earlier ones, as in SGLang's
//! RadixAttention (Zheng et al., 2024).
//!
//! [`KvStore::begin`] appends token ids and reserves slots, `pass` plans the computation of all
//! pending nodes, the model computes them at once, and [`KvStore::end`] keeps what was computed.

use super::layer::LayerCache;
use super::slots::{Slots, split_slots};
use crate::config::ModelConfig;
use crate::ops::attention::{TILE, Tile, join};
use std::cmp::Reverse;
use std::ops::Range;

/// Keys and values of many sequences, in a bounded number of slots.
#[derive(Clone, Debug)]
pub struct KvStore {
    /// Keys and values on the CPU. Those on a GPU belong to its decoder.
    pub(in crate::model) layers: Vec<LayerCache>,
    /// Allocator of the slots.
    pub(super) slots: Slots,
    /// Number of slots that fit the memory limit.
    pub(super) most_slots: usize,
    /// Nodes of the tree. The first is the root, an empty prefix; any other node without tokens is
    /// unused, unless a sequence is being written there.
    pub(super) nodes: Vec<Node>,
    /// Nodes with tokens that the next pass has to compute.
    pub(super) pending: Vec<usize>,
    /// Counts uses, for the least recently used order.
    pub(super) clock: u64,
}

/// A sequence of a [`KvStore`], from [`KvStore::begin`] to [`KvStore::end`]. It holds the index of
/// its leaf.
#[derive(Debug)]
pub struct KvSequence(pub(super) usize);

/// A run of tokens in the tree; the path from the root spells a prefix.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub parent: usize,
    pub children: Vec<usize>,
    pub ids: Vec<u32>,
    /// Cache slots of the keys of `ids`, in the order of the tokens.
    pub slots: Vec<Range<usize>>,
    /// Number of tokens of `ids` whose keys and values are computed.
    pub computed: usize,
    /// True while a sequence is being written here: the node may grow and must not be removed.
    pub writing: bool,
    /// Reserved slots that the node will grow into.
    pub spare: Vec<Range<usize>>,
    /// Clock value at the last use.
    pub used: u64,
}

/// The tokens of one pass over the model, part by part, longest part first. A row is a token of the
/// pass.
#[derive(Debug, Default)]
pub(crate) struct CachePass {
    pub ids: Vec<u32>,
    pub positions: Vec<u32>,
    /// Cache slot for the key of each row.
    pub keys: Vec<usize>,
    pub parts: Vec<PassPart>,
    /// Index of each sequence's last row, by sequence.
    pub last: Vec<usize>,
}

/// Consecutive rows of a pass that belong to one node.
#[derive(Debug)]
pub(crate) struct PassPart {
    pub rows: Range<usize>,
    /// Cache slots that all rows of the part see, in the order of their tokens. Each row also sees
    /// the rows of the part up to and including itself.
    pub visible: Vec<Range<usize>>,
}

impl CachePass {
    /// Returns the cache slots that row `row` of the pass sees, in order. The row belongs to
    /// `part`.
    #[cfg(feature = "cuda")]
    pub fn seen(&self, part: &PassPart, row: usize) -> Vec<Range<usize>> {
        let own = self.keys[part.rows.start..=row].iter().map(|&key| key..key + 1);
        join(part.visible.iter().cloned().chain(own))
    }

    /// Cuts the pass into tiles of the CPU's attention: runs of consecutive slots, up to [`TILE`]
    /// rows.
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
    /// Creates an empty store for a model of this shape. It takes at most `bytes`, or what the
    /// sequences being written need, if that is more.
    pub fn new(config: &ModelConfig, bytes: usize) -> Self {
        Self::of_elements(config, bytes, size_of::<f32>())
    }

    /// Creates the same store for keys and values of `element` bytes each.
    pub(crate) fn of_elements(config: &ModelConfig, bytes: usize, element: usize) -> Self {
        // bytes of a slot: a key and a value in every layer
        let row = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * element;
        Self {
            layers: vec![LayerCache::default(); config.num_hidden_layers],
            slots: Slots::default(),
            most_slots: bytes / row.max(1),
            nodes: vec![Node::default()],
            pending: Vec::new(),
            clock: 0,
        }
    }

    /// Returns the number of tokens that the store has room for.
    pub fn most_tokens(&self) -> usize {
        self.most_slots
    }

    /// Returns the number of tokens of the sequences being written, counting shared tokens once.
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

    /// Returns the number of leading tokens of a prompt that are stored. The last token of the
    /// prompt never counts, because its logits have to be computed.
    pub fn stored(&self, ids: &[u32]) -> usize {
        let (_, _, matched) = self.find(ids);
        matched
    }

    /// Begins a sequence with `ids`, which must not be empty. Splits a node where `ids` leaves the
    /// tree.
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
        let slots = self.take(ids.len() - matched);
        self.nodes[leaf].spare = slots;
        self.append(leaf, &ids[matched..]);
        KvSequence(leaf)
    }

    /// Ends a sequence. The tokens that were computed stay in the tree and can be found by others.
    pub fn end(&mut self, sequence: KvSequence) {
        let leaf = sequence.0;
        self.touch(leaf);
        let node = &mut self.nodes[leaf];
        node.writing = false;
        // 1. Give back reserved slots, and those of tokens that were never computed.
        let mut free = std::mem::take(&mut node.spare);
        let computed = node.computed;
        node.ids.truncate(computed);
        free.extend(split_slots(&mut node.slots, computed));
        let parent = node.parent;
        free.into_iter().for_each(|slots| self.slots.give(slots));
        self.pending.retain(|&node| node != leaf);
        // 2. Remove the leaf if it is empty, or if a sibling begins with the same tokens.
        let doubled =
            |&other: &usize| other != leaf && self.nodes[other].ids.starts_with(&self.nodes[leaf].ids);
        if self.nodes[parent].children.iter().any(doubled) || computed == 0 {
            self.remove(leaf);
        }
    }

    /// Appends tokens to sequences and plans the next pass, which also computes the pending tokens
    /// of other sequences.
    pub(crate) fn pass(&mut self, new: &[(&KvSequence, &[u32])]) -> CachePass {
        for (sequence, ids) in new {
            self.append(sequence.0, ids);
        }
        let mut pass = CachePass::default();
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

    /// Adds the tokens of a node that are not computed yet to `pass`.
    fn add_to(&self, pass: &mut CachePass, index: usize) {
        let node = &self.nodes[index];
        // slots of all ancestors, from the root down
        let mut above: Vec<usize> = self.path(node.parent).collect();
        above.reverse();
        let mut visible: Vec<Range<usize>> =
            above.iter().flat_map(|&i| self.nodes[i].slots.clone()).collect();
        let before: usize = visible.iter().map(Range::len).sum();
        // the node's own slots: computed ones are visible, the others are written by this pass
        let mut slots = node.slots.clone();
        let new = split_slots(&mut slots, node.computed);
        visible.extend(slots);
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
