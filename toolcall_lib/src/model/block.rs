//! One block of the decoder: attention and MLP with their norms, forward and backward.

use super::cache::LayerCache;
use super::workspace::{BlockActivations, Scratch};
use crate::config::ModelConfig;
use crate::ops::attention::{AttentionOutput, Qkv, Tile, attention, attention_backward};
use crate::ops::heads::{heads_to_rows, rows_to_heads, sum_groups};
use crate::ops::matmul::{
    Output, Precision, add_bias, add_bias_backward, linear, linear_backward_input, linear_backward_weight,
};
use crate::ops::rms_norm::{rms_norm, rms_norm_backward};
use crate::ops::rope::{Heads, QkNorm, RopeTable, Split, split_heads, split_heads_backward};
use crate::ops::swiglu::{swiglu, swiglu_backward};
use crate::weights::{Layout, Slot};
use std::ops::Range;

/// Where the tensors of one block lie in its bucket. Q, K and V, and gate and up, are neighbours and used as one.
#[derive(Clone, Debug)]
pub(super) struct BlockRanges {
    qkv: Range<usize>,
    output: Range<usize>,
    gate_up: Range<usize>,
    down: Range<usize>,
    input_norm: Range<usize>,
    post_norm: Range<usize>,
    qkv_bias: Option<Range<usize>>,
    qk_norm: Option<[Range<usize>; 2]>,
}

impl BlockRanges {
    /// The ranges of `layer`; every tensor named here is one that [`Layout::new`] makes.
    pub fn new(layout: &Layout, layer: usize) -> Option<Self> {
        let range = |name: &str| {
            layout
                .slot(&format!("model.layers.{layer}.{name}"))
                .map(Slot::range)
        };
        let join = |first: &str, last: &str| Some(range(first)?.start..range(last)?.end);
        Some(Self {
            qkv: join("self_attn.q_proj.weight", "self_attn.v_proj.weight")?,
            output: range("self_attn.o_proj.weight")?,
            gate_up: join("mlp.gate_proj.weight", "mlp.up_proj.weight")?,
            down: range("mlp.down_proj.weight")?,
            input_norm: range("input_layernorm.weight")?,
            post_norm: range("post_attention_layernorm.weight")?,
            qkv_bias: join("self_attn.q_proj.bias", "self_attn.v_proj.bias"),
            qk_norm: range("self_attn.q_norm.weight")
                .zip(range("self_attn.k_norm.weight"))
                .map(Into::into),
        })
    }
}

/// Sizes that every block of a model shares.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockShape {
    hidden: usize,
    intermediate: usize,
    eps: f32,
    /// Number and width of the attention heads.
    pub heads: Heads,
}

impl BlockShape {
    pub fn new(config: &ModelConfig) -> Self {
        Self {
            hidden: config.hidden_size,
            intermediate: config.intermediate_size,
            eps: config.rms_norm_eps as f32,
            heads: Heads {
                queries: config.num_attention_heads,
                keys: config.num_key_value_heads,
                dim: config.head_dim,
            },
        }
    }
}

/// One block with its weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    pub shape: BlockShape,
    pub weights: &'a [f32],
    pub ranges: &'a BlockRanges,
    pub rope: &'a RopeTable,
    pub precision: Precision,
}

/// Where the rows of a pass stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    pub positions: &'a [u32],
    pub tiles: &'a [Tile],
}

impl Block<'_> {
    fn weight(&self, range: &Range<usize>) -> &[f32] {
        &self.weights[range.clone()]
    }

    /// How the rows' joint projection becomes heads.
    fn split<'a>(&'a self, positions: &'a [u32]) -> Split<'a> {
        let weight = |range| self.weight(range);
        let norm = self.ranges.qk_norm.as_ref();
        let norm = norm.map(|[q, k]| QkNorm {
            q: weight(q),
            k: weight(k),
            eps: self.shape.eps,
        });
        Split {
            positions,
            rope: self.rope,
            norm,
            heads: self.shape.heads,
        }
    }

    /// Everything up to the MLP's two input projections. With a `cache`, keys and values go to these rows of it, and the tiles
    /// name its rows.
    pub fn forward(
        &self,
        x: &[f32],
        rows: Rows<'_>,
        kept: &mut BlockActivations,
        scratch: &mut Scratch,
        cache: Option<(&mut LayerCache, &[usize])>,
    ) {
        let BlockShape {
            hidden,
            intermediate,
            eps,
            heads,
        } = self.shape;
        let n = rows.positions.len();
        let queries = heads.queries * heads.dim;
        let normed = scratch.normed.sized(n * hidden);
        rms_norm(x, self.weight(&self.ranges.input_norm), eps, normed);
        let qkv = kept.qkv.sized(n * heads.width());
        linear(
            normed,
            self.weight(&self.ranges.qkv),
            qkv,
            n,
            hidden,
            Output::Set,
            self.precision,
        );
        if let Some(bias) = &self.ranges.qkv_bias {
            add_bias(qkv, self.weight(bias));
        }
        let split = kept.heads.sized(n * heads.width());
        split_heads(qkv, self.split(rows.positions), split);

        let qkv = match cache {
            Some((cache, rows)) => cache.store(split, rows, heads, self.precision),
            None => new_rows(split, n, heads, self.precision),
        };
        let attended = kept.attended.sized(n * queries);
        attention(qkv, rows.tiles, attended, kept.lse.sized(n * heads.queries));
        let merged = scratch.merged.sized(n * queries);
        heads_to_rows(attended, n, heads.dim, merged);

        let middle = kept.middle.sized(n * hidden);
        middle.copy_from_slice(x);
        linear(
            merged,
            self.weight(&self.ranges.output),
            middle,
            n,
            queries,
            Output::Add,
            self.precision,
        );
        rms_norm(middle, self.weight(&self.ranges.post_norm), eps, normed);
        let gate_up = kept.gate_up.sized(n * 2 * intermediate);
        linear(
            normed,
            self.weight(&self.ranges.gate_up),
            gate_up,
            n,
            hidden,
            Output::Set,
            self.precision,
        );
    }

    /// The block's output, after [`Block::forward`].
    pub fn output(&self, n: usize, kept: &BlockActivations, scratch: &mut Scratch, y: &mut [f32]) {
        let BlockShape {
            hidden, intermediate, ..
        } = self.shape;
        let activation = scratch.activation.sized(n * intermediate);
        swiglu(kept.gate_up.get(n * 2 * intermediate), activation, intermediate);
        y.copy_from_slice(kept.middle.get(n * hidden));
        linear(
            activation,
            self.weight(&self.ranges.down),
            y,
            n,
            intermediate,
            Output::Add,
            self.precision,
        );
    }

    /// `dy`, the gradient of the block's output, becomes that of its input `x`; weight gradients are added to `gradients`.
    pub fn backward(
        &self,
        x: &[f32],
        rows: Rows<'_>,
        kept: &BlockActivations,
        scratch: &mut Scratch,
        dy: &mut [f32],
        gradients: &mut [f32],
    ) {
        self.backward_mlp(rows.positions.len(), kept, scratch, dy, gradients);
        self.backward_attention(x, rows, kept, scratch, dy, gradients);
    }

    /// Backward of the projection whose weight lies at `range`: its gradient is added, and `x`, the projection's input,
    /// becomes the gradient of the input.
    fn backward_linear(
        &self,
        range: &Range<usize>,
        dy: &[f32],
        x: &mut [f32],
        n: usize,
        gradients: &mut [f32],
    ) {
        let input = x.len() / n;
        linear_backward_weight(dy, x, &mut gradients[range.clone()], n, input, self.precision);
        linear_backward_input(dy, self.weight(range), x, n, input, Output::Set, self.precision);
    }

    fn backward_mlp(
        &self,
        n: usize,
        kept: &BlockActivations,
        scratch: &mut Scratch,
        dy: &mut [f32],
        gradients: &mut [f32],
    ) {
        let BlockShape {
            hidden,
            intermediate,
            eps,
            ..
        } = self.shape;
        let ranges = self.ranges;
        let (middle, gate_up) = (
            kept.middle.get(n * hidden),
            kept.gate_up.get(n * 2 * intermediate),
        );

        let activation = scratch.activation.sized(n * intermediate);
        swiglu(gate_up, activation, intermediate);
        self.backward_linear(&ranges.down, dy, activation, n, gradients);
        let dgate_up = scratch.dgate_up.sized(n * 2 * intermediate);
        swiglu_backward(gate_up, activation, dgate_up, intermediate);

        let normed = scratch.normed.sized(n * hidden);
        rms_norm(middle, self.weight(&ranges.post_norm), eps, normed);
        self.backward_linear(&ranges.gate_up, dgate_up, normed, n, gradients);
        let dnorm = &mut gradients[ranges.post_norm.clone()];
        rms_norm_backward(middle, self.weight(&ranges.post_norm), eps, normed, dy, dnorm);
    }

    fn backward_attention(
        &self,
        x: &[f32],
        rows: Rows<'_>,
        kept: &BlockActivations,
        scratch: &mut Scratch,
        dy: &mut [f32],
        gradients: &mut [f32],
    ) {
        let BlockShape {
            hidden, eps, heads, ..
        } = self.shape;
        let ranges = self.ranges;
        let n = rows.positions.len();
        let queries = heads.queries * heads.dim;
        let attended = kept.attended.get(n * queries);

        let merged = scratch.merged.sized(n * queries);
        heads_to_rows(attended, n, heads.dim, merged);
        self.backward_linear(&ranges.output, dy, merged, n, gradients);
        let dattended = scratch.dattended.sized(n * queries);
        rows_to_heads(merged, n, heads.dim, dattended);

        let dheads = scratch.dheads.sized(n * heads.width());
        let (dq, dkv) = dheads.split_at_mut(n * queries);
        let (dkeys, dvalues) = (
            scratch.dkeys.sized(n * queries),
            scratch.dvalues.sized(n * queries),
        );
        let output = AttentionOutput {
            out: attended,
            lse: kept.lse.get(n * heads.queries),
            dout: dattended,
        };
        let qkv = new_rows(kept.heads.get(n * heads.width()), n, heads, self.precision);
        attention_backward(qkv, rows.tiles, output, dq, dkeys, dvalues);
        let (dk, dv) = dkv.split_at_mut(n * heads.keys * heads.dim);
        sum_groups(dkeys, n * heads.dim, dk);
        sum_groups(dvalues, n * heads.dim, dv);

        let dqkv = scratch.dqkv.sized(n * heads.width());
        let projected = kept.qkv.get(n * heads.width());
        let dnorms = split_heads_backward(dheads, projected, self.split(rows.positions), dqkv);
        for (range, dnorm) in ranges.qk_norm.iter().flatten().zip(dnorms) {
            gradients[range.clone()]
                .iter_mut()
                .zip(dnorm)
                .for_each(|(sum, part)| *sum += part);
        }
        if let Some(bias) = &ranges.qkv_bias {
            add_bias_backward(dqkv, &mut gradients[bias.clone()]);
        }

        let normed = scratch.normed.sized(n * hidden);
        rms_norm(x, self.weight(&ranges.input_norm), eps, normed);
        self.backward_linear(&ranges.qkv, dqkv, normed, n, gradients);
        let dnorm = &mut gradients[ranges.input_norm.clone()];
        rms_norm_backward(x, self.weight(&ranges.input_norm), eps, normed, dy, dnorm);
    }
}

/// Queries, keys and values of the rows of a pass.
fn new_rows(split: &[f32], n: usize, heads: Heads, precision: Precision) -> Qkv<'_> {
    let (q, kv) = split.split_at(n * heads.queries * heads.dim);
    let (k, v) = kv.split_at(n * heads.keys * heads.dim);
    Qkv {
        q,
        k,
        v,
        query_rows: n,
        key_rows: n,
        heads,
        precision,
    }
}
