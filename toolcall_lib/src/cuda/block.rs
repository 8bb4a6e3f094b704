//! One block of the decoder on the device, forward and backward.

use super::attention::{
    AttentionOutput, DecodeScratch, Qkv, Tiles, VisibleRanges, attention, attention_backward,
};
use super::buffer::{DeviceBuffer, Scratch, View};
use super::driver::{Element, Rounding};
use super::lora::{BlockAdapter, LoraScratch};
use super::ops::{Device, HeadNorms, SplitHeads};
use super::weights::DeviceWeights;
use super::workspace::{BlockActivations, BlockScratch};
use crate::error::Result;
use crate::model::{BlockShape, BlockSpans, Projection};
use crate::weights::Span;

/// The rows of a pass: one row for each token of the tree, or for each new token of a sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassRows<'a> {
    pub ids: View,
    pub positions: View,
    /// Keys that the queries see: in a tree all rows are queries, over a cache the first
    /// `tiles.rows`.
    pub tiles: Tiles<View>,
    /// Rows of the last block whose output is wanted.
    pub wanted: View,
    pub cache: Option<CacheRows<'a>>,
}

/// The KV cache that the rows of a pass read and extend.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheRows<'a> {
    /// Keys and values of each layer, `[cache slots, 2 · keys · dim]`.
    pub layers: &'a [DeviceBuffer],
    /// Cache slot for the keys and values of each row of the pass.
    pub places: View,
    /// Cache slots that the rows after those of the tiles see, one query at a time.
    pub single: VisibleRanges<View>,
}

/// A block: its weights, and the rows of a pass.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub device: &'a Device,
    pub shape: BlockShape,
    pub weights: &'a DeviceWeights,
    pub spans: &'a BlockSpans,
    /// Adapter of the block. If there is one, it is trained and the weights are frozen.
    pub adapter: Option<BlockAdapter<'a>>,
    /// Cosines and sines of the rotary embedding.
    pub table: View,
    pub layer: usize,
    pub rows: PassRows<'a>,
    /// Rows whose output is wanted, if not all: only they go through the MLP.
    pub wanted: Option<View>,
}

/// Gradient of the residual stream: in f32, and in the type that products take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub exact: View,
    pub rounded: View,
}

impl Stream {
    /// Rounds `exact` into `room` if products take bf16; otherwise both views are the same.
    pub fn new(device: &Device, exact: View, room: &mut Scratch) -> Result<Self> {
        let rounded = match device.element {
            Element::Bf16 => {
                let rounded = room.sized(&device.driver, exact.len)?;
                device.round(exact, rounded, Rounding::Nearest)?;
                rounded
            }
            _ => exact,
        };
        Ok(Self { exact, rounded })
    }
}

impl Block<'_> {
    fn rows(&self) -> usize {
        self.rows.ids.len
    }

    /// Returns the number of rows of the output.
    pub fn outputs(&self) -> usize {
        self.wanted.map_or(self.rows(), |wanted| wanted.len)
    }

    /// Computes `y = x · Wᵀ`, plus the adapter's part: `x` is `[rows, inputs]`, `y` is
    /// `[rows, outputs]`.
    fn project(&self, projection: Projection, x: View, y: View, scratch: &mut LoraScratch) -> Result<()> {
        let span = self.spans.projection(projection);
        let (inputs, outputs) = (span.columns, span.elements.len() / span.columns);
        let rows = x.len / inputs;
        let sizes = [rows, outputs, inputs];
        let weight = self.weights.matrix(span).t();
        self.device
            .gemm(x.matrix(inputs), weight, y.matrix(outputs), sizes, false)?;
        match &self.adapter {
            Some(adapter) => adapter.forward(projection, x, y, rows, scratch),
            None => Ok(()),
        }
    }

    /// Returns the elements of a weight's gradient, or an empty view if the weight is frozen.
    fn gradient(&self, span: &Span, gradients: View) -> View {
        match self.adapter {
            None => gradients.slice(span.elements.clone()),
            Some(_) => View::EMPTY,
        }
    }

    /// Computes the backward pass of [`Block::project`]: adds the gradient of the weight or of the
    /// adapter to `gradients`, and writes that of the input to `dx`.
    fn backward_project(
        &self,
        projection: Projection,
        dy: View,
        x: View,
        dx: View,
        scratch: &mut LoraScratch,
        gradients: View,
    ) -> Result<()> {
        let span = self.spans.projection(projection);
        let (inputs, outputs) = (span.columns, span.elements.len() / span.columns);
        let rows = x.len / inputs;
        // dW[outputs, inputs] += dyᵀ · x
        if self.adapter.is_none() {
            let dw = gradients.slice(span.elements.clone()).matrix(inputs);
            let sizes = [outputs, inputs, rows];
            self.device
                .gemm(dy.matrix(outputs).t(), x.matrix(inputs), dw, sizes, true)?;
        }
        // dx[rows, inputs] = dy · W
        let sizes = [rows, inputs, outputs];
        self.device.gemm(
            dy.matrix(outputs),
            self.weights.matrix(span),
            dx.matrix(inputs),
            sizes,
            false,
        )?;
        match &self.adapter {
            Some(adapter) => adapter.backward(projection, dy, x, dx, rows, scratch, gradients),
            None => Ok(()),
        }
    }

    /// Returns the span of the norm of the query heads and, after it, that of the key heads.
    fn head_norms(&self) -> Option<Span> {
        let [q, k] = self.spans.qk_norm.clone()?;
        Some(Span {
            elements: q.elements.start..k.elements.end,
            ..q
        })
    }

    /// Collects what turns the joint projection into heads.
    fn split(&self) -> SplitHeads {
        let norms = self.head_norms().map(|span| HeadNorms {
            weights: self.weights.vector(&span),
            eps: self.shape.eps,
        });
        let bias = self.spans.qkv_bias.as_ref();
        SplitHeads {
            bias: bias.map_or(View::EMPTY, |span| self.weights.vector(span)),
            positions: self.rows.positions,
            table: self.table,
            norms,
            heads: self.shape.heads,
        }
    }

    /// Computes attention of the rows. `projected` holds their heads,
    /// `[rows, (queries + 2 · keys) · dim]`.
    ///
    /// Over a cache, the new keys and values are stored first. Long parts of the pass then run in
    /// tiles of queries, the other rows as single queries.
    fn attend(&self, projected: View, attended: View, lse: View, scratch: &mut DecodeScratch) -> Result<()> {
        let (driver, heads, tiles) = (&self.device.driver, self.shape.heads, &self.rows.tiles);
        let Some(cache) = self.rows.cache else {
            return attention(driver, &Qkv::joint(projected, heads), tiles, attended, lse);
        };
        let kept = cache.layers[self.layer].all();
        let (row, queries) = (heads.width(), heads.queries * heads.dim);
        let new = projected.slice(queries..projected.len);
        let width = row - queries;
        self.device
            .store_rows(new, cache.places, kept, [row, width], width)?;
        attention(driver, &Qkv::cached(projected, kept, heads), tiles, attended, lse)?;
        let single = projected.slice(tiles.rows * row..projected.len);
        let attended = attended.slice(tiles.rows * queries..attended.len);
        scratch.attention(driver, &Qkv::cached(single, kept, heads), &cache.single, attended)
    }

    /// Normalizes the block's input into `scratch.normed`.
    pub fn norm_input(&self, x: View, scratch: &mut BlockScratch) -> Result<View> {
        let normed = scratch.normed.sized(&self.device.driver, x.len)?;
        let weight = self.weights.vector(&self.spans.input_norm);
        self.device.rms_norm(x, weight, self.shape.eps, normed)?;
        Ok(normed)
    }

    /// Runs the block from its input `x`, whose norm is in `scratch`, to the MLP's gate and up
    /// projection.
    pub fn forward_to_gate_up(
        &self,
        x: View,
        kept: &mut BlockActivations,
        scratch: &mut BlockScratch,
    ) -> Result<()> {
        let BlockShape {
            hidden,
            intermediate,
            eps,
            heads,
        } = self.shape;
        let (device, driver, n) = (self.device, &self.device.driver, self.rows());
        // 1. Joint projection: [rows, hidden] -> [rows, heads · dim]. Without a norm it is not
        //    needed later, so it turns into heads in place.
        let normed = scratch.normed.get(n * hidden);
        let split = kept.heads.sized(driver, n * heads.width())?;
        let qkv = match self.spans.qk_norm {
            Some(_) => kept.qkv.sized(driver, n * heads.width())?,
            None => split,
        };
        self.project(Projection::Qkv, normed, qkv, &mut scratch.lora)?;
        device.split_heads(qkv, &self.split(), split)?;
        // 2. Attention: out [rows, query heads · dim], lse [rows, query heads].
        let attended = kept.attended.sized(driver, n * heads.queries * heads.dim)?;
        let lse = kept.lse.sized(driver, n * heads.queries)?;
        self.attend(split, attended, lse, &mut scratch.decode)?;

        // 3. Output projection: [rows, hidden].
        let added = scratch.added.sized(driver, n * hidden)?;
        self.project(Projection::Output, attended, added, &mut scratch.lora)?;

        // 4. Residual stream and its norm, of all rows or of the wanted ones.
        let n = self.outputs();
        let (middle, normed) = (
            kept.middle.sized(driver, n * hidden)?,
            normed.slice(0..n * hidden),
        );
        let post_norm = self.weights.vector(&self.spans.post_norm);
        match self.wanted {
            None => device.add_rms_norm(x, added, middle, (post_norm, eps, normed))?,
            Some(wanted) => {
                let wanted_added = scratch.wanted.sized(driver, n * hidden)?;
                device.gather_rows(x, wanted, middle, hidden)?;
                device.gather_rows(added, wanted, wanted_added, hidden)?;
                device.add(wanted_added, middle)?;
                device.rms_norm(middle, post_norm, eps, normed)?;
            }
        }
        // 5. Gate and up projection: [rows, 2 · intermediate].
        let gate_up = kept.gate_up.sized(driver, n * 2 * intermediate)?;
        self.project(Projection::GateUp, normed, gate_up, &mut scratch.lora)
    }

    /// Runs the MLP's second half after [`Block::forward_to_gate_up`]. Returns the residual stream
    /// between attention and MLP, and the sum that the MLP adds to it.
    pub fn forward_from_gate_up(
        &self,
        kept: &BlockActivations,
        scratch: &mut BlockScratch,
    ) -> Result<(View, View)> {
        let BlockShape {
            hidden, intermediate, ..
        } = self.shape;
        let (device, driver, n) = (self.device, &self.device.driver, self.outputs());
        let activation = scratch.activation.sized(driver, n * intermediate)?;
        device.swiglu(kept.gate_up.get(n * 2 * intermediate), activation, intermediate)?;
        let added = scratch.added.get(n * hidden);
        self.project(Projection::Down, activation, added, &mut scratch.lora)?;
        Ok((kept.middle.get(n * hidden), added))
    }

    /// Adds to `stream` the gradient of a norm's input `x`, given that of its output, `dnormed`.
    fn backward_norm(
        &self,
        span: &Span,
        x: View,
        dnormed: View,
        stream: Stream,
        gradients: View,
    ) -> Result<()> {
        let rounded = match stream.rounded.address == stream.exact.address {
            true => View::EMPTY, // one buffer holds both
            false => stream.rounded,
        };
        let (w, dw) = (self.weights.vector(span), self.gradient(span, gradients));
        self.device
            .rms_norm_backward(x, w, self.shape.eps, dnormed, stream.exact, rounded, dw)
    }

    /// Turns the gradient of the block's output, `stream`, into that of the residual stream between
    /// attention and MLP. Adds the gradients of the weights to `gradients`, the block's bucket.
    pub fn backward_mlp(
        &self,
        kept: &BlockActivations,
        scratch: &mut BlockScratch,
        stream: Stream,
        gradients: View,
    ) -> Result<()> {
        let BlockShape {
            hidden,
            intermediate,
            eps,
            ..
        } = self.shape;
        let (device, driver, spans, n) = (self.device, &self.device.driver, self.spans, self.outputs());
        let (middle, gate_up) = (
            kept.middle.get(n * hidden),
            kept.gate_up.get(n * 2 * intermediate),
        );
        // 1. Compute the activation again: [rows, intermediate].
        let activation = scratch.activation.sized(driver, n * intermediate)?;
        device.swiglu(gate_up, activation, intermediate)?;
        // 2. Down projection.
        let dactivation = scratch.dactivation.sized(driver, n * intermediate)?;
        self.backward_project(
            Projection::Down,
            stream.rounded,
            activation,
            dactivation,
            &mut scratch.lora,
            gradients,
        )?;
        // 3. SwiGLU.
        let dgate_up = scratch.dgate_up.sized(driver, n * 2 * intermediate)?;
        device.swiglu_backward(gate_up, dactivation, dgate_up, intermediate)?;
        // 4. Compute the norm again, then gate and up projection.
        let normed = scratch.normed.sized(driver, n * hidden)?;
        device.rms_norm(middle, self.weights.vector(&spans.post_norm), eps, normed)?;
        let dnormed = scratch.dnormed.sized(driver, n * hidden)?;
        let lora = &mut scratch.lora;
        self.backward_project(Projection::GateUp, dgate_up, normed, dnormed, lora, gradients)?;
        // 5. The norm adds its part to the stream.
        self.backward_norm(&spans.post_norm, middle, dnormed, stream, gradients)
    }

    /// Turns `stream` of all rows, after [`Block::backward_mlp`], into the gradient of the block's
    /// input `x`.
    pub fn backward_attention(
        &self,
        x: View,
        kept: &BlockActivations,
        scratch: &mut BlockScratch,
        stream: Stream,
        gradients: View,
    ) -> Result<()> {
        let BlockShape { hidden, heads, .. } = self.shape;
        let (device, driver, spans, n) = (self.device, &self.device.driver, self.spans, self.rows());
        // 1. Output projection: dattended [rows, query heads · dim].
        let queries = n * heads.queries * heads.dim;
        let attended = kept.attended.get(queries);
        let dattended = scratch.dattended.sized(driver, queries)?;
        let lora = &mut scratch.lora;
        self.backward_project(
            Projection::Output,
            stream.rounded,
            attended,
            dattended,
            lora,
            gradients,
        )?;
        // 2. Attention: dqkv [rows, (queries + 2 · keys) · dim].
        let dqkv = scratch.dqkv.sized(driver, n * heads.width())?;
        let output = AttentionOutput {
            out: attended,
            lse: kept.lse.get(n * heads.queries),
            dout: dattended,
            delta: scratch.delta.sized(driver, n * heads.queries)?,
        };
        let split = kept.heads.get(n * heads.width());
        let (tiles, partial) = (&self.rows.tiles, &mut scratch.partial);
        attention_backward(driver, split, heads, tiles, output, dqkv, partial)?;
        // 3. Rotation, norm and bias, in place.
        let (dnorms, qkv) = match self.head_norms() {
            Some(span) => (self.gradient(&span, gradients), kept.qkv.get(n * heads.width())),
            None => (View::EMPTY, View::EMPTY),
        };
        device.split_heads_backward(dqkv, qkv, &self.split(), dqkv, dnorms)?;
        if let (Some(span), None) = (&spans.qkv_bias, &self.adapter) {
            device.add_activation_columns(dqkv, gradients.slice(span.elements.clone()))?;
        }
        // 4. Joint projection, with its input computed again.
        let normed = self.norm_input(x, scratch)?;
        let dnormed = scratch.dnormed.sized(driver, n * hidden)?;
        let lora = &mut scratch.lora;
        self.backward_project(Projection::Qkv, dqkv, normed, dnormed, lora, gradients)?;
        self.backward_norm(&spans.input_norm, x, dnormed, stream, gradients)
    }
}
