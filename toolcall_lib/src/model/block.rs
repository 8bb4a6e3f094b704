//! One block of the decoder: attention and MLP with their norms, forward and backward.
//!
//! Forward, for the residual stream `x` (`[rows, hidden]`, one row per token of the pass):
//! `middle = x + attention(norm(x))`, then `output = middle + mlp(norm(middle))`.
//!
//! The forward pass has two parts. [`Block::forward_to_gate_up`] ends with the gate and up
//! projections, [`Block::forward_from_gate_up`] does the rest. With `Recompute::Block` the backward
//! pass repeats the first part alone, since it does not read the block's output. It always
//! recomputes the norms and the activation. In the last block only the rows whose output is wanted
//! go through the MLP.
//!
//! Shapes: `n` or `rows` counts the tokens of the pass, `outputs` the rows whose output is wanted.
//! `heads` are all query heads, then the key heads, then the value heads, each `dim` wide; `width`
//! is `heads · dim`, `query_width` is `query heads · dim`. A weight is `[out, in]`.
//!
//! Types: inputs and outputs of matrix products and their gradients are `E` (f32, or bf16 where the
//! processor multiplies bf16). The residual stream (`x`, `middle`, `y`), its gradient `dy`, the
//! log-sum-exp `lse` of each softmax, and `dnormed`, `dq`, `dk` and `dv` are f32. `workspace` holds
//! the buffers.
//!
//! A new kind of block changes `config` (fields, and `model_type` in `json.rs`), the tensors in
//! `weights::Layout::new`, this file, the same steps in `cuda::block`, and, if it is to be read
//! from GGUF, `weights::gguf`. A new linear layer also needs a [`Projection`] and a
//! [`TargetModule`](super::lora::TargetModule), a new tensor a span in `spans`.

use super::cache::LayerCache;
use super::lora::{BlockAdapter, LoraScratch};
use super::projection::Projection;
use super::spans::{BlockShape, BlockSpans};
use super::workspace::{BlockActivations, Scratch};
use crate::ops::attention::{AttentionOutput, Qkv, Tile, attention, attention_backward};
use crate::ops::element::Element;
use crate::ops::linear::{
    add_bias, add_bias_backward, linear_backward_weight, linear_tiles, linear_tiles_backward_input,
};
use crate::ops::matmul::{Output, Precision};
use crate::ops::rms_norm::{add, add_rms_norm, rms_norm, rms_norm_backward, spread_rows};
use crate::ops::rope::{HeadGradients, Heads, QkNorm, RopeTable, Split, split_heads, split_heads_backward};
use crate::ops::swiglu::{swiglu, swiglu_backward};
use crate::weights::{Span, Weights};

/// One block with its weights, and the rows of a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    pub shape: BlockShape,
    pub weights: &'a Weights,
    pub spans: &'a BlockSpans,
    pub rope: &'a RopeTable,
    /// Precision of the matrix products, those of the attention too.
    pub precision: Precision,
    /// With an adapter, the adapter is trained and the weights are not.
    pub adapter: Option<BlockAdapter<'a>>,
    pub rows: Rows<'a>,
}

/// Positions of the rows (tokens) of a pass, and the rows they attend to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    /// Position of each row in its sequence.
    pub positions: &'a [u32],
    /// Tiles of queries, each with the ranges of keys that they attend to.
    pub tiles: &'a [Tile],
    /// Rows whose output is wanted, in the order of the output rows; `None` means all. Only wanted
    /// rows go through the MLP. They must ascend in a backward pass, which moves the gradients of
    /// the outputs to their rows in place.
    pub wanted: Option<&'a [usize]>,
}

impl Rows<'_> {
    /// Returns the number of rows of the pass.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Returns the number of rows whose output is wanted.
    pub fn outputs(&self) -> usize {
        self.wanted.map_or(self.len(), <[usize]>::len)
    }
}

impl Block<'_> {
    /// Computes `y = x · Wᵀ` and adds the adapter's update. `x` is `[n, in]`, `W` is `[out, in]`,
    /// `y` is `[n, out]`.
    fn project<X: Element, Y: Element>(
        &self,
        projection: Projection,
        x: &[X],
        y: &mut [Y],
        n: usize,
        scratch: &mut LoraScratch,
    ) {
        let weight = self.weights.matrix(self.spans.projection(projection));
        linear_tiles(x, weight, y, self.precision);
        if let Some(adapter) = &self.adapter {
            adapter.forward(projection, x, y, n, scratch);
        }
    }

    /// Collects what [`split_heads`] needs: positions, rotation table, QK norm and head sizes.
    fn head_split(&self) -> Split<'_> {
        let norm = self.spans.qk_norm.as_ref();
        let norm = norm.map(|[q, k]| QkNorm {
            q: self.weights.vector(q),
            k: self.weights.vector(k),
            eps: self.shape.eps,
        });
        Split {
            positions: self.rows.positions,
            rope: self.rope,
            norm,
            heads: self.shape.heads,
        }
    }

    /// Computes everything up to and including the gate and up projections, from the block's input
    /// `x` (`[rows, hidden]`). Stores in `kept` what the backward pass needs, and in
    /// `scratch.middle` the residual sum that [`Block::forward_from_gate_up`] needs.
    ///
    /// With a `cache`, the keys and values of row `i` go to the `i`-th of the given cache slots,
    /// and the key ranges of the tiles are cache slots. The backward pass never has a cache.
    pub fn forward_to_gate_up<E: Element>(
        &self,
        x: &[f32],
        kept: &mut BlockActivations,
        scratch: &mut Scratch,
        cache: Option<(&mut LayerCache<E>, &[usize])>,
    ) {
        let BlockShape {
            hidden,
            intermediate,
            eps,
            heads,
        } = self.shape;
        let n = self.rows.len();
        let query_width = heads.queries * heads.dim;
        // 1. Input norm: normed [n, hidden].
        let normed: &mut [E] = scratch.normed.sized(n * hidden);
        rms_norm(x, self.weights.vector(&self.spans.input_norm), eps, normed);
        // 2. Joint Q, K, V projection: [n, width]. Kept only for the backward pass of a QK norm;
        //    without one it uses the buffer `dqkv`, which is free until the backward pass.
        let projected = match self.spans.qk_norm {
            Some(_) => &mut kept.qkv,
            None => &mut scratch.dqkv,
        };
        let projected: &mut [E] = projected.sized(n * heads.width());
        self.project(Projection::Qkv, normed, projected, n, &mut scratch.lora);
        if let Some(bias) = &self.spans.qkv_bias {
            add_bias(projected, self.weights.vector(bias));
        }
        // 3. QK norm and rotation: by_head [heads, n, dim].
        let by_head = kept.heads.sized(n * heads.width());
        split_heads(projected, self.head_split(), by_head);

        // 4. Attention over the new rows, or over the cache: attended [n, query_width], and the
        // log-sum-exp of each softmax, lse [n, query heads].
        let qkv = match cache {
            Some((cache, slots)) => cache.store(by_head, slots, heads, self.precision),
            None => qkv_of(by_head, n, heads, self.precision),
        };
        let attended = kept.attended.sized(n * query_width);
        attention(qkv, self.rows.tiles, attended, kept.lse.sized(n * heads.queries));
        // 5. Output projection: added [n, hidden].
        let added = kept.added.sized(n * hidden);
        self.project(Projection::Output, attended, added, n, &mut scratch.lora);

        // 6. Residual sum and post-attention norm of the wanted rows: middle, normed
        // [outputs, hidden].
        let outputs = self.rows.outputs();
        let middle = scratch.middle.sized(outputs * hidden);
        let normed = &mut normed[..outputs * hidden];
        let post_norm = self.weights.vector(&self.spans.post_norm);
        add_rms_norm(x, added, self.rows.wanted, middle, post_norm, eps, normed);
        // 7. Gate and up projections: [outputs, 2 · intermediate].
        let gate_up: &mut [E] = kept.gate_up.sized(outputs * 2 * intermediate);
        self.project(Projection::GateUp, normed, gate_up, outputs, &mut scratch.lora);
    }

    /// Computes the block's output `y` (`[outputs, hidden]`). Must directly follow
    /// [`Block::forward_to_gate_up`] with the same `E`, `kept` and `scratch`: it reads
    /// `kept.gate_up` and `scratch.middle`.
    pub fn forward_from_gate_up<E: Element>(
        &self,
        kept: &BlockActivations,
        scratch: &mut Scratch,
        y: &mut [f32],
    ) {
        let BlockShape {
            hidden, intermediate, ..
        } = self.shape;
        let outputs = self.rows.outputs();
        // 1. SwiGLU: activation [outputs, intermediate].
        let activation: &mut [E] = scratch.activation.sized(outputs * intermediate);
        let gate_up = kept.gate_up.get(outputs * 2 * intermediate);
        swiglu(gate_up, activation, intermediate);
        // 2. Down projection: y [outputs, hidden].
        self.project(Projection::Down, activation, y, outputs, &mut scratch.lora);
        // 3. Residual sum: y += middle.
        add(scratch.middle.get(outputs * hidden), y);
    }

    /// Replaces the gradient `dy` of the block's output by that of its input `x`
    /// (`[rows, hidden]`), given what the forward pass has kept. `dy` is `[rows, hidden]`: at first
    /// only its leading `outputs` rows are read, and in the end all rows are written. Adds the
    /// gradients of the trained parameters to `gradients`, the bucket of this block: that of its
    /// weights, or of its adapter if there is one.
    pub fn backward<E: Element>(
        &self,
        x: &[f32],
        kept: &BlockActivations,
        scratch: &mut Scratch,
        dy: &mut [f32],
        gradients: &mut [f32],
    ) {
        let hidden = self.shape.hidden;
        let dy_of_outputs = &mut dy[..self.rows.outputs() * hidden];
        self.backward_mlp::<E>(x, kept, scratch, dy_of_outputs, gradients);
        // `dy` has been [outputs, hidden] so far: move its rows to the wanted ones of [rows,
        // hidden], and zero the others.
        if let Some(wanted) = self.rows.wanted {
            spread_rows(dy, wanted, hidden);
        }
        self.backward_attention::<E>(x, kept, scratch, dy, gradients);
    }

    /// Returns the place of a weight's gradient, or `None` if an adapter is trained instead.
    fn gradient<'g>(&self, span: &Span, gradients: &'g mut [f32]) -> Option<&'g mut [f32]> {
        match self.adapter {
            None => Some(&mut gradients[span.elements.clone()]),
            Some(_) => None,
        }
    }

    /// Runs the backward pass of [`Block::project`] for its input `x` (`[n, in]`) and the gradient
    /// `dy` (`[n, out]`) of its output: adds the gradient of the weight or adapter to `gradients`,
    /// and overwrites `dx` (`[n, in]`).
    #[allow(clippy::too_many_arguments)] // a product, its gradients, and what the adapter needs
    fn backward_project<Y: Element, X: Element, D: Element>(
        &self,
        projection: Projection,
        dy: &[Y],
        x: &[X],
        dx: &mut [D],
        n: usize,
        scratch: &mut LoraScratch,
        gradients: &mut [f32],
    ) {
        let span = self.spans.projection(projection);
        match &self.adapter {
            None => {
                let dw = &mut gradients[span.elements.clone()];
                linear_backward_weight(dy, x, dw, Output::Add, n, span.columns, self.precision);
            }
            Some(adapter) => adapter.backward_weights(projection, dy, x, n, scratch, gradients),
        }
        linear_tiles_backward_input(dy, self.weights.matrix(span), dx, self.precision);
        if let Some(adapter) = &self.adapter {
            // adds to the product above, and reads what `backward_weights` left in `scratch`
            adapter.backward_input(projection, dx, n, scratch);
        }
    }

    /// Runs the backward pass of the MLP: `dy` (`[outputs, hidden]`) becomes the gradient of
    /// `middle`, the sum of the block's input and attention.
    fn backward_mlp<E: Element>(
        &self,
        x: &[f32],
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
        let (spans, rows, outputs) = (self.spans, self.rows, self.rows.outputs());
        let gate_up: &[E] = kept.gate_up.get(outputs * 2 * intermediate);

        // 1. Recompute the activation, then the gradient through the down projection.
        let activation = scratch.activation.sized(outputs * intermediate);
        swiglu(gate_up, activation, intermediate);
        let dactivation: &mut [E] = scratch.dactivation.sized(outputs * intermediate);
        let lora = &mut scratch.lora;
        self.backward_project(
            Projection::Down,
            dy,
            activation,
            dactivation,
            outputs,
            lora,
            gradients,
        );
        // 2. Gradient through SwiGLU: dgate_up [outputs, 2 · intermediate].
        let dgate_up: &mut [E] = scratch.dgate_up.sized(outputs * 2 * intermediate);
        swiglu_backward(gate_up, dactivation, dgate_up, intermediate);

        // 3. Recompute middle and its norm, then the gradient through the gate and up projections.
        let normed: &mut [E] = scratch.normed.sized(outputs * hidden);
        let middle = scratch.middle.sized(outputs * hidden);
        let post_norm = self.weights.vector(&spans.post_norm);
        let added = kept.added.get(rows.len() * hidden);
        add_rms_norm(x, added, rows.wanted, middle, post_norm, eps, normed);
        let dnormed: &mut [f32] = scratch.dnormed.sized(outputs * hidden);
        self.backward_project(
            Projection::GateUp,
            dgate_up,
            normed,
            dnormed,
            outputs,
            lora,
            gradients,
        );
        // 4. Gradient through the norm. `rms_norm_backward` adds it to `dy`, which still holds the
        // gradient of the residual path.
        let dnorm = self.gradient(&spans.post_norm, gradients);
        rms_norm_backward(middle, post_norm, eps, dnormed, dy, dnorm);
    }

    /// Runs the backward pass of the attention: `dy` (`[rows, hidden]`) goes from the gradient of
    /// `middle` to that of the block's input.
    fn backward_attention<E: Element>(
        &self,
        x: &[f32],
        kept: &BlockActivations,
        scratch: &mut Scratch,
        dy: &mut [f32],
        gradients: &mut [f32],
    ) {
        let BlockShape {
            hidden, eps, heads, ..
        } = self.shape;
        let (spans, n) = (self.spans, self.rows.len());
        let query_width = heads.queries * heads.dim;
        let attended: &[E] = kept.attended.get(n * query_width);

        // 1. Output projection: dattended [n, query_width].
        let dattended: &mut [E] = scratch.dattended.sized(n * query_width);
        let lora = &mut scratch.lora;
        self.backward_project(Projection::Output, dy, attended, dattended, n, lora, gradients);

        // 2. Attention: dq, dk, dv [query heads, n, dim]. `dk` and `dv` hold one share per query
        // head; step 3 adds up the shares of the query heads that use the same key head.
        let [dq, dk, dv] = [&mut scratch.dqueries, &mut scratch.dkeys, &mut scratch.dvalues]
            .map(|buffer| buffer.sized(n * query_width));
        let output = AttentionOutput {
            out: attended,
            lse: kept.lse.get(n * heads.queries),
            dout: dattended,
        };
        let qkv = qkv_of(kept.heads.get(n * heads.width()), n, heads, self.precision);
        attention_backward(qkv, self.rows.tiles, output, dq, dk, dv);

        // 3. Rotation and QK norm: dqkv [n, width], and the gradients of the norm weights.
        let dqkv: &mut [E] = scratch.dqkv.sized(n * heads.width());
        let projected = match spans.qk_norm {
            Some(_) => kept.qkv.get(n * heads.width()),
            None => &[],
        };
        let dheads = HeadGradients { dq, dk, dv };
        let dnorms = split_heads_backward(dheads, projected, self.head_split(), dqkv);
        for (span, dnorm) in spans.qk_norm.iter().flatten().zip(dnorms) {
            if let Some(sums) = self.gradient(span, gradients) {
                add(&dnorm, sums);
            }
        }
        // 4. Bias of the joint projection.
        let bias = spans.qkv_bias.as_ref();
        if let Some(dbias) = bias.and_then(|bias| self.gradient(bias, gradients)) {
            add_bias_backward(dqkv, dbias);
        }

        // 5. Joint projection, with the input norm recomputed.
        let normed: &mut [E] = scratch.normed.sized(n * hidden);
        rms_norm(x, self.weights.vector(&spans.input_norm), eps, normed);
        let dnormed: &mut [f32] = scratch.dnormed.sized(n * hidden);
        self.backward_project(Projection::Qkv, dqkv, normed, dnormed, n, lora, gradients);
        // 6. Gradient through the input norm, added to `dy`, which holds that of the residual path.
        let dnorm = self.gradient(&spans.input_norm, gradients);
        rms_norm_backward(x, self.weights.vector(&spans.input_norm), eps, dnormed, dy, dnorm);
    }
}

/// Views a pass's heads (`[heads, n, dim]`) as queries, keys and values.
fn qkv_of<E>(by_head: &[E], n: usize, heads: Heads, precision: Precision) -> Qkv<'_, E> {
    let (q, kv) = by_head.split_at(n * heads.queries * heads.dim);
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
