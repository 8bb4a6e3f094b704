//! One block of the decoder: attention and MLP with their norms, forward and backward.
//!
//! Forward, for the residual stream `x` (`[rows, hidden]`, one row per token of the pass):
//! `middle = x + attention(norm(x))`, then `output = middle + mlp(norm(middle))`.
//!
//! [`Block::forward`] stops before the activation of the MLP and [`Block::output`] does the rest,
//! because the backward pass recomputes only the first part. In the last block only the rows whose
//! output is wanted go through the MLP. Activations are stored as `E`: f32, or bf16 where the
//! processor multiplies bf16. The residual stream is f32 in any case.

use super::cache::LayerCache;
use super::lora::{BlockAdapter, LoraScratch, TargetModule};
use super::projection::Projection;
use super::workspace::{BlockActivations, Scratch};
use crate::config::ModelConfig;
use crate::ops::attention::{AttentionOutput, Qkv, Tile, attention, attention_backward};
use crate::ops::element::Element;
use crate::ops::matmul::{Output, Precision, add_bias, add_bias_backward, linear_backward_weight};
use crate::ops::rms_norm::{add, add_rms_norm, rms_norm, rms_norm_backward, spread_rows};
use crate::ops::rope::{HeadGradients, Heads, QkNorm, RopeTable, Split, split_heads, split_heads_backward};
use crate::ops::swiglu::{swiglu, swiglu_backward};
use crate::ops::tiles::{linear_tiles, linear_tiles_backward_input};
use crate::weights::{Layout, Span, Weights};

/// Location of one block's tensors in the weights.
#[derive(Clone, Debug)]
pub(crate) struct BlockSpans {
    /// Weights of the linear layers, indexed by [`Projection`].
    projections: [Span; 4],
    pub input_norm: Span,
    pub post_norm: Span,
    pub qkv_bias: Option<Span>,
    /// Norm weights of the query heads and of the key heads, which are neighbours.
    pub qk_norm: Option<[Span; 2]>,
}

impl BlockSpans {
    /// Looks up the spans of `layer`. Returns `None` if a tensor is missing; [`Layout::new`] makes
    /// all of them.
    pub fn new(layout: &Layout, layer: usize) -> Option<Self> {
        let name = |name: &str| format!("model.layers.{layer}.{name}");
        let one = |tensor: &str| layout.span(&name(tensor), &name(tensor));
        // the span from the first to the last of several neighbouring tensors
        let join = |modules: &[TargetModule], kind: &str| {
            let name = |module: &TargetModule| name(&format!("{}.{kind}", module.path()));
            layout.span(&name(modules.first()?), &name(modules.last()?))
        };
        let weight = |projection: Projection| join(projection.modules(), "weight");
        Some(Self {
            projections: [
                weight(Projection::Qkv)?,
                weight(Projection::Output)?,
                weight(Projection::GateUp)?,
                weight(Projection::Down)?,
            ],
            input_norm: one("input_layernorm.weight")?,
            post_norm: one("post_attention_layernorm.weight")?,
            qkv_bias: join(Projection::Qkv.modules(), "bias"),
            qk_norm: one("self_attn.q_norm.weight")
                .zip(one("self_attn.k_norm.weight"))
                .map(Into::into),
        })
    }

    /// Returns the weight of a projection.
    pub fn projection(&self, projection: Projection) -> &Span {
        &self.projections[projection as usize]
    }
}

/// Sizes that all blocks of a model share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockShape {
    pub hidden: usize,
    pub intermediate: usize,
    /// Added to the mean square in each RMS norm.
    pub eps: f32,
    /// Number and width of the attention heads.
    pub heads: Heads,
}

impl BlockShape {
    /// Reads the sizes from the config.
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

/// One block with its weights, and the rows of a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    pub shape: BlockShape,
    pub weights: &'a Weights,
    pub spans: &'a BlockSpans,
    pub rope: &'a RopeTable,
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
    /// Query tiles with the keys that they attend to.
    pub tiles: &'a [Tile],
    /// Indices of the rows whose output is wanted, ascending; `None` means all. Only wanted rows go
    /// through the MLP.
    pub wanted: Option<&'a [usize]>,
}

impl Rows<'_> {
    /// Returns the number of rows of the pass.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Returns the number of rows of the output.
    pub fn outputs(&self) -> usize {
        self.wanted.map_or(self.len(), <[usize]>::len)
    }
}

impl Block<'_> {
    /// Computes `y = x · Wᵀ` and adds the adapter's update. `x` is `[n, in]`, `y` is `[n, out]`.
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

    /// Describes how the joint Q, K, V projection is split into heads.
    fn split(&self) -> Split<'_> {
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

    /// Computes everything up to the MLP's gate and up projections. Inputs and outputs of products
    /// are stored as `E`.
    ///
    /// With a `cache`, new keys and values are written to its slots at the given indices, and the
    /// key ranges of the tiles are cache slots.
    pub fn forward<E: Element>(
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
        let queries = heads.queries * heads.dim;
        // 1. Input norm: normed [n, hidden].
        let normed: &mut [E] = scratch.normed.sized(n * hidden);
        rms_norm(x, self.weights.vector(&self.spans.input_norm), eps, normed);
        // 2. Joint Q, K, V projection: [n, width]. Only a QK norm reads it again in the backward
        // pass; without one, it goes to scratch memory.
        let qkv = match self.spans.qk_norm {
            Some(_) => &mut kept.qkv,
            None => &mut scratch.dqkv,
        };
        let qkv: &mut [E] = qkv.sized(n * heads.width());
        self.project(Projection::Qkv, normed, qkv, n, &mut scratch.lora);
        if let Some(bias) = &self.spans.qkv_bias {
            add_bias(qkv, self.weights.vector(bias));
        }
        // 3. QK norm and rotation: heads [heads, n, dim].
        let split = kept.heads.sized(n * heads.width());
        split_heads(qkv, self.split(), split);

        // 4. Attention over the new rows, or over the cache: attended [n, query heads · dim].
        let qkv = match cache {
            Some((cache, keys)) => cache.store(split, keys, heads, self.precision),
            None => new_rows(split, n, heads, self.precision),
        };
        let attended = kept.attended.sized(n * queries);
        attention(qkv, self.rows.tiles, attended, kept.lse.sized(n * heads.queries));
        // 5. Output projection: added [n, hidden].
        let added = kept.added.sized(n * hidden);
        self.project(Projection::Output, attended, added, n, &mut scratch.lora);

        // 6. Residual sum and post-attention norm of the wanted rows: middle, normed
        // [outputs, hidden].
        let n = self.rows.outputs();
        let (middle, normed) = (scratch.middle.sized(n * hidden), &mut normed[..n * hidden]);
        let post_norm = self.weights.vector(&self.spans.post_norm);
        add_rms_norm(x, added, self.rows.wanted, middle, post_norm, eps, normed);
        // 7. Gate and up projections: [outputs, 2 · intermediate].
        let gate_up: &mut [E] = kept.gate_up.sized(n * 2 * intermediate);
        self.project(Projection::GateUp, normed, gate_up, n, &mut scratch.lora);
    }

    /// Computes the block's output `y` (`[outputs, hidden]`): SwiGLU, down projection, residual
    /// sum. Must follow [`Block::forward`] with the same `E`.
    pub fn output<E: Element>(&self, kept: &BlockActivations, scratch: &mut Scratch, y: &mut [f32]) {
        let BlockShape {
            hidden, intermediate, ..
        } = self.shape;
        let n = self.rows.outputs();
        let activation: &mut [E] = scratch.activation.sized(n * intermediate);
        swiglu(kept.gate_up.get(n * 2 * intermediate), activation, intermediate);
        self.project(Projection::Down, activation, y, n, &mut scratch.lora);
        add(scratch.middle.get(n * hidden), y);
    }

    /// Replaces `dy`, which begins with the gradient of the block's output, by the gradient of its
    /// input `x` (`[rows, hidden]`), and adds the gradients of the trained parameters to
    /// `gradients`. Wanted rows must ascend.
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

    /// Runs the backward pass of [`Block::project`]: adds the gradient of the weight or adapter to
    /// `gradients`, and writes the gradient of the projection's input `x` to `dx`.
    #[allow(clippy::too_many_arguments)] // a product, its gradients, and what the adapter needs
    fn backward_project<Y: Element, E: Element, X: Element>(
        &self,
        projection: Projection,
        dy: &[Y],
        x: &[E],
        dx: &mut [X],
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
        let (spans, rows, n) = (self.spans, self.rows, self.rows.outputs());
        let gate_up: &[E] = kept.gate_up.get(n * 2 * intermediate);

        // 1. Recompute the activation, then the gradient through the down projection.
        let activation = scratch.activation.sized(n * intermediate);
        swiglu(gate_up, activation, intermediate);
        let dactivation = scratch.dactivation.sized(n * intermediate);
        let lora = &mut scratch.lora;
        self.backward_project(Projection::Down, dy, activation, dactivation, n, lora, gradients);
        // 2. Gradient through SwiGLU: dgate_up [n, 2 · intermediate].
        let dgate_up = scratch.dgate_up.sized(n * 2 * intermediate);
        swiglu_backward(gate_up, dactivation, dgate_up, intermediate);

        // 3. Recompute middle and its norm, then the gradient through the gate and up projections.
        let normed: &mut [E] = scratch.normed.sized(n * hidden);
        let middle = scratch.middle.sized(n * hidden);
        let post_norm = self.weights.vector(&spans.post_norm);
        let added = kept.added.get(rows.len() * hidden);
        add_rms_norm(x, added, rows.wanted, middle, post_norm, eps, normed);
        let dnormed: &mut [f32] = scratch.dnormed.sized(n * hidden);
        self.backward_project(Projection::GateUp, dgate_up, normed, dnormed, n, lora, gradients);
        // 4. Gradient through the norm, added to that of the residual path.
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
        let queries = heads.queries * heads.dim;
        let attended: &[E] = kept.attended.get(n * queries);

        // 1. Output projection: dattended [n, query heads · dim].
        let dattended = scratch.dattended.sized(n * queries);
        let lora = &mut scratch.lora;
        self.backward_project(Projection::Output, dy, attended, dattended, n, lora, gradients);

        // 2. Attention: dq, dk, dv [query heads, n, dim]; dk and dv are shares per query head.
        let [dq, dk, dv] = [&mut scratch.dqueries, &mut scratch.dkeys, &mut scratch.dvalues]
            .map(|buffer| buffer.sized(n * queries));
        let output = AttentionOutput {
            out: attended,
            lse: kept.lse.get(n * heads.queries),
            dout: dattended,
        };
        let qkv = new_rows(kept.heads.get(n * heads.width()), n, heads, self.precision);
        attention_backward(qkv, self.rows.tiles, output, dq, dk, dv);

        // 3. Rotation and QK norm: dqkv [n, width], and the gradients of the norm weights.
        let dqkv: &mut [E] = scratch.dqkv.sized(n * heads.width());
        let projected = match spans.qk_norm {
            Some(_) => kept.qkv.get(n * heads.width()),
            None => &[],
        };
        let dheads = HeadGradients { dq, dk, dv };
        let dnorms = split_heads_backward(dheads, projected, self.split(), dqkv);
        for (span, dnorm) in spans.qk_norm.iter().flatten().zip(dnorms) {
            let sums = self.gradient(span, gradients).into_iter().flatten();
            sums.zip(dnorm).for_each(|(sum, part)| *sum += part);
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
        // 6. Input norm, added to the gradient of the residual path.
        let dnorm = self.gradient(&spans.input_norm, gradients);
        rms_norm_backward(x, self.weights.vector(&spans.input_norm), eps, dnormed, dy, dnorm);
    }
}

/// Splits a pass's heads (`[heads, n, dim]`) into its queries, keys and values.
fn new_rows<E>(split: &[E], n: usize, heads: Heads, precision: Precision) -> Qkv<'_, E> {
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
