//! The layout: the place of each tensor in the flat buckets.

use crate::config::ModelConfig;
use std::collections::BTreeMap;
use std::ops::Range;

/// The place of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Hugging Face name.
    pub name: String,
    /// Rows and columns of a matrix (`[out, in]`), or the length of a vector.
    pub shape: Vec<usize>,
    /// Index of the bucket. In a model, 0 is the embedding, `1..=layers` are the blocks, and the
    /// last one holds the final norm and an untied head.
    pub bucket: usize,
    /// First element within the bucket.
    pub offset: usize,
}

impl Slot {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns true for a tensor without elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns its elements within the bucket.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len()
    }

    /// Returns true if this is a matrix, and not a vector.
    pub(crate) fn is_matrix(&self) -> bool {
        self.shape.len() > 1
    }

    /// Returns the span of this tensor alone, given its index in the layout.
    pub(crate) fn span(&self, index: usize) -> Span {
        Span {
            slots: index..index + 1,
            bucket: self.bucket,
            elements: self.range(),
            columns: self.columns(),
        }
    }
}

/// Tensors that lie side by side in a bucket: one, or several that are used as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Indices of the tensors in [`Layout::slots`].
    pub slots: Range<usize>,
    /// Index of the bucket.
    pub bucket: usize,
    /// Elements of the tensors within the bucket.
    pub elements: Range<usize>,
    /// Elements of a matrix row, the same for all tensors of the span.
    pub columns: usize,
}

/// The tensors of a model or of an adapter, bucket by bucket, in the order in which they lie in
/// memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    slots: Vec<Slot>,
    by_name: BTreeMap<String, usize>,
    /// Least number of buckets; the last ones may be empty.
    buckets: usize,
}

impl Layout {
    /// Lists the tensors of a model with this config.
    pub fn new(config: &ModelConfig) -> Self {
        let mut layout = Self::default();
        let hidden = config.hidden_size;
        let (queries, keys) = (
            config.num_attention_heads * config.head_dim,
            config.num_key_value_heads * config.head_dim,
        );
        // Bucket 0: the embedding.
        layout.push(0, "model.embed_tokens.weight", &[config.vocab_size, hidden]);
        // A bucket for each block. Q, K and V lie side by side, and so do gate and up, so that each
        // group is one matrix product; vectors come last.
        for layer in 0..config.num_hidden_layers {
            let mut push = |name: &str, shape: &[usize]| {
                layout.push(layer + 1, &format!("model.layers.{layer}.{name}"), shape);
            };
            push("self_attn.q_proj.weight", &[queries, hidden]);
            push("self_attn.k_proj.weight", &[keys, hidden]);
            push("self_attn.v_proj.weight", &[keys, hidden]);
            push("self_attn.o_proj.weight", &[hidden, queries]);
            push("mlp.gate_proj.weight", &[config.intermediate_size, hidden]);
            push("mlp.up_proj.weight", &[config.intermediate_size, hidden]);
            push("mlp.down_proj.weight", &[hidden, config.intermediate_size]);
            push("input_layernorm.weight", &[hidden]);
            push("post_attention_layernorm.weight", &[hidden]);
            if config.attention_bias {
                push("self_attn.q_proj.bias", &[queries]);
                push("self_attn.k_proj.bias", &[keys]);
                push("self_attn.v_proj.bias", &[keys]);
            }
            if config.qk_norm {
                push("self_attn.q_norm.weight", &[config.head_dim]);
                push("self_attn.k_norm.weight", &[config.head_dim]);
            }
        }
        // The last bucket: final norm, and the head if it is not tied.
        let last = config.num_hidden_layers + 1;
        layout.push(last, "model.norm.weight", &[hidden]);
        if !config.tie_word_embeddings {
            layout.push(last, "lm_head.weight", &[config.vocab_size, hidden]);
        }
        layout
    }

    /// Makes a layout of `buckets` buckets without a tensor.
    pub fn with_buckets(buckets: usize) -> Self {
        Self {
            buckets,
            ..Self::default()
        }
    }

    /// Adds a tensor at the end of a bucket.
    pub fn push(&mut self, bucket: usize, name: &str, shape: &[usize]) {
        let before = self.slots.iter().rev().find(|slot| slot.bucket == bucket);
        let offset = before.map_or(0, |slot| slot.range().end);
        self.by_name.insert(name.to_string(), self.slots.len());
        self.slots.push(Slot {
            name: name.to_string(),
            shape: shape.to_vec(),
            bucket,
            offset,
        });
    }

    /// Returns the place of a tensor by its Hugging Face name.
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.index(name).map(|i| &self.slots[i])
    }

    /// Returns the index of a tensor in [`Layout::slots`].
    fn index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Returns the span of the tensors from `first` to `last`, which must lie in one bucket.
    pub fn span(&self, first: &str, last: &str) -> Option<Span> {
        let (start, end) = (self.index(first)?, self.index(last)?);
        let span = self.slots[start].span(start);
        Some(Span {
            slots: start..end + 1,
            elements: span.elements.start..self.slots[end].range().end,
            ..span
        })
    }

    /// Returns all tensors, in the order in which they lie in memory.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Returns the number of blocks of a model with this layout; its other buckets are the first
    /// and the last.
    pub(super) fn layers(&self) -> usize {
        self.slots.last().map_or(0, |slot| slot.bucket).saturating_sub(1)
    }

    /// Returns the number of elements of each bucket.
    pub fn bucket_sizes(&self) -> Vec<usize> {
        let buckets = self.slots.last().map_or(0, |s| s.bucket + 1).max(self.buckets);
        let mut sizes = vec![0; buckets];
        for slot in &self.slots {
            sizes[slot.bucket] += slot.len();
        }
        sizes
    }
}
