//! One block of the decoder: attention and MLP with their norms, forward and backward.

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

/// Where the tensors of one block lie.
#[derive(Clone, Debug)]
pub(crate) struct BlockSpans {
    /// By [`Projection`].
    projections: [Span; 4],
    pub input_norm: Span,
    pub post_norm: Span,
    pub qkv_bias: Option<Span>,
    /// Those of the query heads and of the key heads, which are neighbours.
    pub qk_norm: Option<[Span; 2]>,
}

impl BlockSpans {
    /// The spans of `layer`; every tensor named here is one that [`Layout::new`] makes.
    pub fn new(layout: &Layout, layer: usize) -> Option<Self> {
        let name = |name: &str| format!("model.layers.{layer}.{name}");
        let one = |tensor: &str| layout.span(&name(tensor), &name(tensor));
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

    /// The weight of a projection.
    pub fn projection(&self, projection: Projection) -> &Span {
        &self.projections[projection as usize]
    }
}

/// Sizes that every block of a model shares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockShape {
    pub hidden: usize,
    pub intermediate: usize,
    pub eps: f32,
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

/// One block with its weights, and the rows of a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    pub shape: BlockShape,
    pub weights: &'a Weights,
    pub spans: &'a BlockSpans,
    pub rope: &'a RopeTable,
    pub precision: Precision,
    /// Where there is one, it is trained and the weights are not.
    pub adapter: Option<BlockAdapter<'a>>,
    pub rows: Rows<'a>,
}

/// Where the rows of a pass stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    pub positions: &'a [u32],
    pub tiles: &'a [Tile],
    /// The rows whose output is wanted, if not that of all: only they go through the MLP.
    pub wanted: Option<&'a [usize]>,
}

impl Rows<'_> {
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Number of rows of the output.
    pub fn outputs(&self) -> usize {
        self.wanted.map_or(self.len(), <[usize]>::len)
    }
}

impl Block<'_> {
    /// `y = x · Wᵀ`, and what the adapter adds to it.
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

    /// How the rows' joint projection becomes heads.
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

    /// Everything up to the MLP's two input projections; what goes into products is stored as `E`. With a `cache`, keys and values go to these rows of it, and the tiles
    /// name its rows.
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
        let normed: &mut [E] = scratch.normed.sized(n * hidden);
        rms_norm(x, self.weights.vector(&self.spans.input_norm), eps, normed);
        // only a norm needs the projection again
        let qkv = match self.spans.qk_norm {
            Some(_) => &mut kept.qkv,
            None => &mut scratch.dqkv,
        };
        let qkv: &mut [E] = qkv.sized(n * heads.width());
        self.project(Projection::Qkv, normed, qkv, n, &mut scratch.lora);
        if let Some(bias) = &self.spans.qkv_bias {
            add_bias(qkv, self.weights.vector(bias));
        }
        let split = kept.heads.sized(n * heads.width());
        split_heads(qkv, self.split(), split);

        let qkv = match cache {
            Some((cache, keys)) => cache.store(split, keys, heads, self.precision),
            None => new_rows(split, n, heads, self.precision),
        };
        let attended = kept.attended.sized(n * queries);
        attention(qkv, self.rows.tiles, attended, kept.lse.sized(n * heads.queries));
        let added = kept.added.sized(n * hidden);
        self.project(Projection::Output, attended, added, n, &mut scratch.lora);

        let n = self.rows.outputs();
        let (middle, normed) = (scratch.middle.sized(n * hidden), &mut normed[..n * hidden]);
        let post_norm = self.weights.vector(&self.spans.post_norm);
        add_rms_norm(x, added, self.rows.wanted, middle, post_norm, eps, normed);
        let gate_up: &mut [E] = kept.gate_up.sized(n * 2 * intermediate);
        self.project(Projection::GateUp, normed, gate_up, n, &mut scratch.lora);
    }

    /// The block's output, right after [`Block::forward`] with the same `E`.
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

    /// `dy`, which begins with the gradient of the block's output, becomes that of its input `x`; the gradients of what is trained
    /// are added to `gradients`. Rows whose output is wanted ascend.
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

    /// The place of a weight's gradient, if the weight is trained.
    fn gradient<'g>(&self, span: &Span, gradients: &'g mut [f32]) -> Option<&'g mut [f32]> {
        match self.adapter {
            None => Some(&mut gradients[span.elements.clone()]),
            Some(_) => None,
        }
    }

    /// Backward of [`Block::project`]: the gradient of the weight or of the adapter is added, and `dx` becomes the gradient of the
    /// projection's input `x`.
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

        let activation = scratch.activation.sized(n * intermediate);
        swiglu(gate_up, activation, intermediate);
        let dactivation = scratch.dactivation.sized(n * intermediate);
        let lora = &mut scratch.lora;
        self.backward_project(Projection::Down, dy, activation, dactivation, n, lora, gradients);
        let dgate_up = scratch.dgate_up.sized(n * 2 * intermediate);
        swiglu_backward(gate_up, dactivation, dgate_up, intermediate);

        let normed: &mut [E] = scratch.normed.sized(n * hidden);
        let middle = scratch.middle.sized(n * hidden);
        let post_norm = self.weights.vector(&spans.post_norm);
        let added = kept.added.get(rows.len() * hidden);
        add_rms_norm(x, added, rows.wanted, middle, post_norm, eps, normed);
        let dnormed: &mut [f32] = scratch.dnormed.sized(n * hidden);
        self.backward_project(Projection::GateUp, dgate_up, normed, dnormed, n, lora, gradients);
        let dnorm = self.gradient(&spans.post_norm, gradients);
        rms_norm_backward(middle, post_norm, eps, dnormed, dy, dnorm);
    }

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

        let dattended = scratch.dattended.sized(n * queries);
        let lora = &mut scratch.lora;
        self.backward_project(Projection::Output, dy, attended, dattended, n, lora, gradients);

        let [dq, dk, dv] = [&mut scratch.dqueries, &mut scratch.dkeys, &mut scratch.dvalues]
            .map(|buffer| buffer.sized(n * queries));
        let output = AttentionOutput {
            out: attended,
            lse: kept.lse.get(n * heads.queries),
            dout: dattended,
        };
        let qkv = new_rows(kept.heads.get(n * heads.width()), n, heads, self.precision);
        attention_backward(qkv, self.rows.tiles, output, dq, dk, dv);

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
        let bias = spans.qkv_bias.as_ref();
        if let Some(dbias) = bias.and_then(|bias| self.gradient(bias, gradients)) {
            add_bias_backward(dqkv, dbias);
        }

        let normed: &mut [E] = scratch.normed.sized(n * hidden);
        rms_norm(x, self.weights.vector(&spans.input_norm), eps, normed);
        let dnormed: &mut [f32] = scratch.dnormed.sized(n * hidden);
        self.backward_project(Projection::Qkv, dqkv, normed, dnormed, n, lora, gradients);
        let dnorm = self.gradient(&spans.input_norm, gradients);
        rms_norm_backward(x, self.weights.vector(&spans.input_norm), eps, dnormed, dy, dnorm);
    }
}

/// Queries, keys and values of the rows of a pass.
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
