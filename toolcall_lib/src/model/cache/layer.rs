//! The keys and values of one layer, in cache slots.

use crate::ops::attention::Qkv;
use crate::ops::element::Element;
use crate::ops::matmul::Precision;
use crate::ops::rope::Heads;

/// Keys and values of one layer, `[key heads, capacity, head_dim]` each. `capacity` counts slots.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct LayerCache<E = f32> {
    keys: Vec<E>,
    values: Vec<E>,
    capacity: usize,
}

impl<E: Element> LayerCache<E> {
    /// Stores the keys and values of new tokens in these slots, and returns the new queries
    /// with all keys and values. `split` holds the heads of the new tokens,
    /// `[heads, rows, head_dim]`.
    pub fn store<'a>(
        &'a mut self,
        split: &'a [E],
        slots: &[usize],
        heads: Heads,
        precision: Precision,
    ) -> Qkv<'a, E> {
        let (n, dim) = (slots.len(), heads.dim);
        // 1. Split the heads: q, k and v of the new tokens, [heads, n, dim] each.
        let (q, kv) = split.split_at(n * heads.queries * dim);
        let (k, v) = kv.split_at(n * heads.keys * dim);
        // 2. Copy each key and value to its slot, head by head.
        self.reserve(slots.iter().max().map_or(0, |last| last + 1), heads);
        for (store, new) in [(&mut self.keys, k), (&mut self.values, v)] {
            let per_head = store
                .chunks_exact_mut(self.capacity * dim)
                .zip(new.chunks_exact(n * dim));
            for (store, new) in per_head {
                for (&slot, new) in slots.iter().zip(new.chunks_exact(dim)) {
                    store[slot * dim..][..dim].copy_from_slice(new);
                }
            }
        }
        // 3. The new queries attend to all slots; the tiles say which of them.
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

    /// Makes room for at least this number of slots. Grows by a quarter at least, so that a long
    /// generation copies little.
    fn reserve(&mut self, slots: usize, heads: Heads) {
        if slots <= self.capacity {
            return;
        }
        let capacity = slots.max(self.capacity + self.capacity / 4).next_multiple_of(64);
        for store in [&mut self.keys, &mut self.values] {
            let mut grown = vec![E::of(0.0); heads.keys * capacity * heads.dim];
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
