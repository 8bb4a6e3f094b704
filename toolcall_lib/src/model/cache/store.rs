//! What sequences share is stored and computed once: a tree over token ids, whose nodes hold rows of the cache.
//!
//! A sequence that is being written is a leaf of the tree. When it is over, the leaf stays until its rows are needed: those that
//! were used least recently go first. So the next prompt finds what it shares with earlier ones, as in SGLang's RadixAttention.

use super::layer::LayerCache;
use super::rows::Rows;
use crate::config::ModelConfig;
use crate::ops::attention::{TILE, Tile, join};
use std::ops::Range;

/// Keys and values of many sequences, in a bounded number of rows.
#[derive(Clone, Debug)]
pub struct KvStore {
    pub(in crate::model) layers: Vec<LayerCache>,
    rows: Rows,
    most_rows: usize,
    /// The first is the root, an empty prefix; others without tokens are gone.
    nodes: Vec<Node>,
    /// Nodes with rows that the next pass has to compute.
    pending: Vec<usize>,
    clock: u64,
}

/// A sequence of a [`KvStore`], from [`KvStore::begin`] to [`KvStore::end`].
#[derive(Debug)]
pub struct KvSequence(usize);

#[derive(Clone, Debug, Default)]
struct Node {
    parent: usize,
    children: Vec<usize>,
    ids: Vec<u32>,
    /// Where the keys of `ids` stand, in order.
    rows: Vec<Range<usize>>,
    /// How many of them are computed.
    computed: usize,
    /// A sequence is being written here: the node may grow, and may not go.
    writing: bool,
    /// Rows that it will grow into.
    spare: Vec<Range<usize>>,
    /// When it was used last.
    used: u64,
}

/// The rows of a pass over the model, those of all sequences behind one another.
#[derive(Debug, Default)]
pub(in crate::model) struct Pass {
    pub ids: Vec<u32>,
    pub positions: Vec<u32>,
    /// Row of the cache where the key of each goes.
    pub keys: Vec<usize>,
    pub tiles: Vec<Tile>,
    /// The last row of each sequence.
    pub last: Vec<usize>,
}

impl KvStore {
    /// Rows that a sequence is given at once when it grows.
    const PAGE: usize = 32;

    /// An empty store for a model of this shape that takes `bytes` at most, or what the sequences need that are being written.
    pub fn new(config: &ModelConfig, bytes: usize) -> Self {
        let row =
            2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * size_of::<f32>();
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
    pub(in crate::model) fn pass(&mut self, new: &[(&KvSequence, &[u32])]) -> Pass {
        for (sequence, ids) in new {
            self.append(sequence.0, ids);
        }
        let mut pass = Pass::default();
        let mut last = vec![0; self.nodes.len()];
        for node in std::mem::take(&mut self.pending) {
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
        pass.ids.extend(&node.ids[node.computed..]);
        pass.positions
            .extend((before + node.computed..before + node.ids.len()).map(|p| p as u32));
        for run in new {
            for start in run.clone().step_by(TILE) {
                let keys = start..run.end.min(start + TILE);
                let first = pass.keys.len();
                pass.tiles.push(Tile {
                    queries: first..first + keys.len(),
                    visible: join(visible.iter().cloned()),
                    causal: start,
                });
                pass.keys.extend(keys.clone());
                visible.push(keys);
            }
        }
    }

    /// The node where `ids` leaves the tree, how much of that node it shares, and how much of the tree.
    fn find(&self, ids: &[u32]) -> (usize, usize, usize) {
        let (mut at, mut matched) = (0, 0);
        loop {
            let rest = &ids[matched..ids.len().saturating_sub(1)];
            let shared = |&child: &usize| {
                let node = &self.nodes[child];
                let most = node.ids.len() - usize::from(node.writing); // what grows keeps a token to grow from
                node.ids[..most]
                    .iter()
                    .zip(rest)
                    .take_while(|(a, b)| a == b)
                    .count()
            };
            let whole = |child: usize, n: usize| n == self.nodes[child].ids.len();
            let children = self.nodes[at]
                .children
                .iter()
                .map(|&child| (child, shared(&child)));
            match children.max_by_key(|&(child, n)| (n, whole(child, n))) {
                None | Some((_, 0)) => return (at, self.nodes[at].ids.len(), matched),
                Some((child, n)) if whole(child, n) => (at, matched) = (child, matched + n),
                Some((child, n)) => return (child, n, matched + n),
            }
        }
    }

    /// Cuts a node before its token number `at`; returns the new node above it.
    fn split(&mut self, index: usize, at: usize) -> usize {
        let node = &mut self.nodes[index];
        let below = node.ids.split_off(at);
        let rows = split_rows(&mut node.rows, at);
        let above = Node {
            parent: node.parent,
            children: vec![index],
            ids: std::mem::replace(&mut node.ids, below),
            rows: std::mem::replace(&mut node.rows, rows),
            computed: node.computed.min(at),
            used: node.used,
            ..Node::default()
        };
        node.computed -= above.computed;
        let (parent, waits) = (above.parent, above.computed < at);
        let above = self.insert(above);
        self.nodes[index].parent = above;
        let siblings = &mut self.nodes[parent].children;
        siblings
            .iter_mut()
            .filter(|child| **child == index)
            .for_each(|child| *child = above);
        if waits {
            self.pending.push(above);
        }
        above
    }

    fn append(&mut self, index: usize, ids: &[u32]) {
        if ids.is_empty() {
            return;
        }
        if self.nodes[index].computed == self.nodes[index].ids.len() {
            self.pending.push(index);
        }
        let spare: usize = self.nodes[index].spare.iter().map(Range::len).sum();
        if spare < ids.len() {
            let more = self.take((ids.len() - spare).max(Self::PAGE));
            self.nodes[index].spare.extend(more);
        }
        let node = &mut self.nodes[index];
        let rest = split_rows(&mut node.spare, ids.len());
        let new = std::mem::replace(&mut node.spare, rest);
        node.rows = join(node.rows.drain(..).chain(new));
        node.ids.extend_from_slice(ids);
    }

    /// Rows for `n` tokens; what was used least recently goes for them.
    fn take(&mut self, n: usize) -> Vec<Range<usize>> {
        while self.rows.available(self.most_rows) < n {
            let unused = |&i: &usize| {
                let node = &self.nodes[i];
                node.children.is_empty() && !node.writing && !node.ids.is_empty()
            };
            match (1..self.nodes.len())
                .filter(unused)
                .min_by_key(|&i| self.nodes[i].used)
            {
                Some(oldest) => self.remove(oldest),
                None => break,
            }
        }
        self.rows.take(n, self.most_rows)
    }

    fn remove(&mut self, index: usize) {
        let node = std::mem::take(&mut self.nodes[index]);
        node.rows
            .into_iter()
            .chain(node.spare)
            .for_each(|rows| self.rows.give(rows));
        self.nodes[node.parent].children.retain(|&child| child != index);
        self.pending.retain(|&pending| pending != index);
    }

    fn insert(&mut self, node: Node) -> usize {
        let gone = |&i: &usize| self.nodes[i].ids.is_empty() && !self.nodes[i].writing;
        let index = (1..self.nodes.len()).find(gone).unwrap_or(self.nodes.len());
        if index == self.nodes.len() {
            self.nodes.push(node);
        } else {
            self.nodes[index] = node;
        }
        index
    }

    /// A node and all above it are used now.
    fn touch(&mut self, index: usize) {
        self.clock += 1;
        let path: Vec<usize> = self.path(index).collect();
        path.into_iter()
            .for_each(|node| self.nodes[node].used = self.clock);
    }

    /// A node and all above it, but for the root.
    fn path(&self, index: usize) -> impl Iterator<Item = usize> {
        let start = Some(index).filter(|&index| index > 0);
        std::iter::successors(start, |&index| {
            Some(self.nodes[index].parent).filter(|&parent| parent > 0)
        })
    }
}

/// Leaves the first `n` rows and returns the others.
fn split_rows(rows: &mut Vec<Range<usize>>, n: usize) -> Vec<Range<usize>> {
    let (mut kept, mut others, mut left) = (Vec::new(), Vec::new(), n);
    for range in rows.drain(..) {
        let cut = range.start + left.min(range.len());
        left -= cut - range.start;
        kept.push(range.start..cut);
        others.push(cut..range.end);
    }
    *rows = join(kept);
    join(others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// A store of `rows` rows whose model has one layer with a head of width one.
    fn store(rows: usize) -> KvStore {
        KvStore {
            layers: Vec::new(),
            rows: Rows::default(),
            most_rows: rows,
            nodes: vec![Node::default()],
            pending: Vec::new(),
            clock: 0,
        }
    }

    /// What a model would read: the token that was written to each row.
    type Memory = Vec<u32>;

    fn run(store: &mut KvStore, memory: &mut Memory, new: &[(&KvSequence, &[u32])]) {
        let pass = store.pass(new);
        for (&key, &id) in pass.keys.iter().zip(&pass.ids) {
            memory.resize(memory.len().max(key + 1), 0);
            memory[key] = id;
        }
        for tile in &pass.tiles {
            let seen: usize = tile.visible.iter().map(Range::len).sum();
            assert_eq!(seen, pass.positions[tile.queries.start] as usize);
            assert_eq!(pass.keys[tile.queries.start], tile.causal);
        }
    }

    fn text(store: &KvStore, memory: &Memory, sequence: &KvSequence) -> Vec<u32> {
        let mut path: Vec<usize> = store.path(sequence.0).collect();
        path.reverse();
        let rows = path.iter().flat_map(|&node| store.nodes[node].rows.clone());
        rows.flatten().map(|row| memory[row]).collect()
    }

    #[test]
    fn what_is_over_is_found_again_until_its_rows_are_needed() {
        let (mut store, mut memory) = (store(100), Memory::new());
        for first in 1..=3 {
            let ids: Vec<u32> = (0..30).map(|i| first * 100 + i).collect();
            let sequence = store.begin(&ids);
            run(&mut store, &mut memory, &[(&sequence, &[])]);
            store.end(sequence);
        }
        let found =
            |store: &KvStore, first: u32| store.stored(&(0..31).map(|i| first * 100 + i).collect::<Vec<_>>());
        assert_eq!([1, 2, 3].map(|first| found(&store, first)), [30, 30, 30]);
        let again = store.begin(&[100, 101, 102, 7]);
        assert_eq!((store.stored(&[100, 101, 102, 7]), store.tokens_in_use()), (3, 4));
        run(&mut store, &mut memory, &[(&again, &[])]);
        let other = store.begin(&[9; 40]);
        run(&mut store, &mut memory, &[(&other, &[])]);
        let left = [1, 2, 3].map(|first| found(&store, first));
        assert_eq!(left, [3, 0, 30], "what is in use stays, and what was used last");
        assert!(memory.len() <= 100);
    }

    #[test]
    fn every_sequence_reads_its_own_tokens_whatever_comes_and_goes() {
        for seed in 0..30 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let (mut store, mut memory) = (store(400), Memory::new());
            let mut speaking: Vec<(KvSequence, Vec<u32>)> = Vec::new();
            for _ in 0..120 {
                for _ in 0..random.random_range(0..3) {
                    let ids: Vec<u32> = (0..random.random_range(1..60))
                        .map(|_| random.random_range(0..2))
                        .collect();
                    let stored = store.stored(&ids);
                    assert!(stored < ids.len());
                    speaking.push((store.begin(&ids), ids));
                }
                let added: Vec<Vec<u32>> = speaking
                    .iter()
                    .map(|_| {
                        (0..random.random_range(0..5))
                            .map(|_| random.random_range(0..2))
                            .collect()
                    })
                    .collect();
                let new: Vec<(&KvSequence, &[u32])> = speaking
                    .iter()
                    .zip(&added)
                    .map(|((sequence, _), new)| (sequence, &new[..]))
                    .collect();
                run(&mut store, &mut memory, &new);
                for ((sequence, ids), new) in speaking.iter_mut().zip(&added) {
                    ids.extend(new);
                    assert_eq!(text(&store, &memory, sequence), *ids);
                }
                while speaking.len() > 6 || !speaking.is_empty() && random.random_bool(0.2) {
                    let over = speaking.swap_remove(random.random_range(0..speaking.len()));
                    store.end(over.0);
                }
            }
            let held = store
                .nodes
                .iter()
                .flat_map(|node| node.rows.iter().chain(&node.spare));
            let held: usize = held.map(Range::len).sum();
            assert_eq!(
                held + store.rows.available(0),
                store.rows.given_out(),
                "rows are lost or held twice"
            );
            assert!(store.rows.given_out() < 1000, "{}", store.rows.given_out());
        }
    }
}
