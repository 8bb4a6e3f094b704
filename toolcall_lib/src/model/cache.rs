//! Keys and values of the tokens that a generation has seen.

use crate::ops::attention::Qkv;
use crate::ops::matmul::Precision;
use crate::ops::rope::Heads;

/// Keys and values of one layer, `[key heads, capacity, head_dim]` each.
#[derive(Clone, Debug, Default)]
pub(super) struct LayerCache {
    keys: Vec<f32>,
    values: Vec<f32>,
    capacity: usize,
    len: usize,
}

impl LayerCache {
    /// Stores the keys and values of `n` new rows and returns the new queries with all keys and values.
    pub fn append<'a>(
        &'a mut self,
        split: &'a [f32],
        n: usize,
        heads: Heads,
        precision: Precision,
    ) -> Qkv<'a> {
        let (q, kv) = split.split_at(n * heads.queries * heads.dim);
        let (k, v) = kv.split_at(n * heads.keys * heads.dim);
        self.reserve(self.len + n, heads);
        for (store, new) in [(&mut self.keys, k), (&mut self.values, v)] {
            let per_head = store
                .chunks_exact_mut(self.capacity * heads.dim)
                .zip(new.chunks_exact(n * heads.dim));
            for (store, new) in per_head {
                store[self.len * heads.dim..][..new.len()].copy_from_slice(new);
            }
        }
        self.len += n;
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
        for layer in &mut self.layers {
            layer.len = layer.len.min(len);
        }
    }

    pub(super) fn extend(&mut self, ids: &[u32], layers: usize) {
        self.ids.extend_from_slice(ids);
        self.layers.resize_with(layers, LayerCache::default);
    }
}
