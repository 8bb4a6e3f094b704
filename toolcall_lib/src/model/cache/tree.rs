//! The tree of a [`KvStore`]: finding, splitting and growing its nodes, and finding slots for them.

use super::slots::split_slots;
use super::store::{KvStore, Node};
use crate::ops::attention::join;
use std::ops::Range;

/// Minimum number of slots that a sequence reserves when it grows.
const PAGE: usize = 32;

impl KvStore {
    /// Finds the place where `ids` leaves the tree. Returns the node, the number of its tokens that
    /// `ids` shares, and the number of shared tokens from the root. The last of `ids` is never
    /// matched.
    pub(super) fn find(&self, ids: &[u32]) -> (usize, usize, usize) {
        let (mut at, mut matched) = (0, 0);
        loop {
            let rest = &ids[matched..ids.len().saturating_sub(1)];
            let shared = |&child: &usize| {
                let node = &self.nodes[child];
                // a growing node keeps a token to grow from
                let most = node.ids.len() - usize::from(node.writing);
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

    /// Splits a node before its token number `at` and returns the new node above it.
    pub(super) fn split(&mut self, index: usize, at: usize) -> usize {
        let node = &mut self.nodes[index];
        let below = node.ids.split_off(at);
        let slots = split_slots(&mut node.slots, at);
        let above = Node {
            parent: node.parent,
            children: vec![index],
            ids: std::mem::replace(&mut node.ids, below),
            slots: std::mem::replace(&mut node.slots, slots),
            computed: node.computed.min(at),
            used: node.used,
            ..Node::default()
        };
        // the part above has the computed tokens first; the rest waits for the next pass
        node.computed -= above.computed;
        // hang the new node between the parent and the rest
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

    /// Appends tokens to a node, takes slots for them and marks the node as pending.
    pub(super) fn append(&mut self, index: usize, ids: &[u32]) {
        if ids.is_empty() {
            return;
        }
        if self.nodes[index].computed == self.nodes[index].ids.len() {
            self.pending.push(index);
        }
        let spare: usize = self.nodes[index].spare.iter().map(Range::len).sum();
        if spare < ids.len() {
            let more = self.take((ids.len() - spare).max(PAGE));
            self.nodes[index].spare.extend(more);
        }
        let node = &mut self.nodes[index];
        let rest = split_slots(&mut node.spare, ids.len());
        let new = std::mem::replace(&mut node.spare, rest);
        node.slots = join(node.slots.drain(..).chain(new));
        node.ids.extend_from_slice(ids);
    }

    /// Takes slots for `n` tokens. Removes the least recently used leaves until there is room,
    /// except those being written.
    pub(super) fn take(&mut self, n: usize) -> Vec<Range<usize>> {
        while self.slots.available(self.most_slots) < n {
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
        self.slots.take(n, self.most_slots)
    }

    /// Removes a node from its parent and gives its slots back.
    pub(super) fn remove(&mut self, index: usize) {
        let node = std::mem::take(&mut self.nodes[index]);
        node.slots
            .into_iter()
            .chain(node.spare)
            .for_each(|slots| self.slots.give(slots));
        self.nodes[node.parent].children.retain(|&child| child != index);
        self.pending.retain(|&pending| pending != index);
    }

    /// Stores a node at an unused index, or at a new one, and returns the index.
    pub(super) fn insert(&mut self, node: Node) -> usize {
        let gone = |&i: &usize| self.nodes[i].ids.is_empty() && !self.nodes[i].writing;
        let index = (1..self.nodes.len()).find(gone).unwrap_or(self.nodes.len());
        if index == self.nodes.len() {
            self.nodes.push(node);
        } else {
            self.nodes[index] = node;
        }
        index
    }

    /// Marks a node and all its ancestors as used now.
    pub(super) fn touch(&mut self, index: usize) {
        self.clock += 1;
        let path: Vec<usize> = self.path(index).collect();
        path.into_iter()
            .for_each(|node| self.nodes[node].used = self.clock);
    }

    /// Iterates over a node and its ancestors, without the root.
    pub(super) fn path(&self, index: usize) -> impl Iterator<Item = usize> {
        let start = Some(index).filter(|&index| index > 0);
        std::iter::successors(start, |&index| {
            Some(self.nodes[index].parent).filter(|&parent| parent > 0)
        })
    }
}
