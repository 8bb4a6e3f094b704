//! One block of the decoder on the device, forward and backward.

use super::attention::{AttentionOutput, Qkv, Tiles, attention, attention_backward};
use super::buffer::View;
use super::ops::{Device, HeadNorms, SplitHeads};
use super::weights::DeviceWeights;
use super::workspace::{BlockActivations, BlockScratch};
use crate::error::Result;
use crate::model::{BlockShape, BlockSpans, Projection};
use crate::weights::Span;

/// One block with its weights, and where the rows of a pass stand.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub device: &'a Device,
    pub shape: BlockShape,
    pub weights: &'a DeviceWeights,
    pub spans: &'a BlockSpans,
    pub positions: View,
    /// Cosines and sines.
    pub table: View,
    pub tiles: &'a Tiles,
}

/// The gradient of the residual stream: f32, and as products take it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub exact: View,
    pub rounded: View,
}

impl Block<'_> {
    fn rows(&self) -> usize {
        self.positions.len
    }

    /// `y = x · Wᵀ`.
    fn project(&self, projection: Projection, x: View, y: View) -> Result<()> {
        let span = self.spans.projection(projection);
        let (inputs, outputs) = (span.columns, span.elements.len() / span.columns);
        let sizes = [self.rows(), outputs, inputs];
        let weight = self.weights.matrix(span).t();
        self.device
            .gemm(x.matrix(inputs), weight, y.matrix(outputs), sizes, false)
    }

    /// `dW += dyᵀ · x` and `dx = dy · W`.
    fn backward_project(
        &self,
        projection: Projection,
        dy: View,
        x: View,
        dx: View,
        gradients: View,
    ) -> Result<()> {
        let span = self.spans.projection(projection);
        let (inputs, outputs) = (span.columns, span.elements.len() / span.columns);
        let dw = gradients.slice(span.elements.clone()).matrix(inputs);
        let sizes = [outputs, inputs, self.rows()];
        self.device
            .gemm(dy.matrix(outputs).t(), x.matrix(inputs), dw, sizes, true)?;
        let sizes = [self.rows(), inputs, outputs];
        self.device.gemm(
            dy.matrix(outputs),
            self.weights.matrix(span),
            dx.matrix(inputs),
            sizes,
            false,
        )
    }

    /// The norm of the query heads and behind it that of the key heads.
    fn head_norms(&self) -> Option<Span> {
        let [q, k] = self.spans.qk_norm.clone()?;
        Some(Span {
            elements: q.elements.start..k.elements.end,
            ..q
        })
    }

    fn split(&self) -> SplitHeads {
        let norms = self.head_norms().map(|span| HeadNorms {
            weights: self.weights.vector(&span),
            eps: self.shape.eps,
        });
        let bias = self.spans.qkv_bias.as_ref();
        SplitHeads {
            bias: bias.map_or(View::EMPTY, |span| self.weights.vector(span)),
            positions: self.positions,
            table: self.table,
            norms,
            heads: self.shape.heads,
        }
    }

    /// From the normed input in `scratch` to what the block adds behind its middle, in `scratch.added`.
    pub fn forward(&self, x: View, kept: &mut BlockActivations, scratch: &mut BlockScratch) -> Result<()> {
        let BlockShape {
            hidden,
            intermediate,
            eps,
            heads,
        } = self.shape;
        let (device, driver, n) = (self.device, &self.device.driver, self.rows());
        let normed = scratch.normed.get(n * hidden);
        let split = kept.heads.sized(driver, n * heads.width())?;
        let qkv = match self.spans.qk_norm {
            Some(_) => kept.qkv.sized(driver, n * heads.width())?,
            None => split,
        };
        self.project(Projection::Qkv, normed, qkv)?;
        device.split_heads(qkv, &self.split(), split)?;
        let attended = kept.attended.sized(driver, n * heads.queries * heads.dim)?;
        let lse = kept.lse.sized(driver, n * heads.queries)?;
        attention(driver, &Qkv::joint(split, heads), self.tiles, attended, lse)?;

        let added = scratch.added.sized(driver, n * hidden)?;
        self.project(Projection::Output, attended, added)?;
        let middle = kept.middle.sized(driver, n * hidden)?;
        let norm = (self.weights.vector(&self.spans.post_norm), eps, normed);
        device.add_rms_norm(x, added, middle, Some(norm))?;
        let gate_up = kept.gate_up.sized(driver, n * 2 * intermediate)?;
        self.project(Projection::GateUp, normed, gate_up)?;
        let activation = scratch.activation.sized(driver, n * intermediate)?;
        device.swiglu(gate_up, activation, intermediate)?;
        self.project(Projection::Down, activation, added)
    }

    /// The gradient of the block's output, `stream`, becomes that of its input `x`; the gradients of its weights are added to
    /// `gradients`, its bucket.
    pub fn backward(
        &self,
        x: View,
        kept: &BlockActivations,
        scratch: &mut BlockScratch,
        stream: Stream,
        gradients: View,
    ) -> Result<()> {
        self.backward_mlp(kept, scratch, stream, gradients)?;
        self.backward_attention(x, kept, scratch, stream, gradients)
    }

    /// Through a norm of the stream `x` whose output has the gradient `dnormed`.
    fn backward_norm(
        &self,
        span: &Span,
        x: View,
        dnormed: View,
        stream: Stream,
        gradients: View,
    ) -> Result<()> {
        let rounded = match stream.rounded.address == stream.exact.address {
            true => View::EMPTY, // they are one
            false => stream.rounded,
        };
        let (w, dw) = (self.weights.vector(span), gradients.slice(span.elements.clone()));
        self.device
            .rms_norm_backward(x, w, self.shape.eps, dnormed, stream.exact, rounded, dw)
    }

    fn backward_mlp(
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
        let (device, driver, spans, n) = (self.device, &self.device.driver, self.spans, self.rows());
        let (middle, gate_up) = (
            kept.middle.get(n * hidden),
            kept.gate_up.get(n * 2 * intermediate),
        );
        let activation = scratch.activation.sized(driver, n * intermediate)?;
        device.swiglu(gate_up, activation, intermediate)?;
        let dactivation = scratch.dactivation.sized(driver, n * intermediate)?;
        self.backward_project(
            Projection::Down,
            stream.rounded,
            activation,
            dactivation,
            gradients,
        )?;
        let dgate_up = scratch.dgate_up.sized(driver, n * 2 * intermediate)?;
        device.swiglu_backward(gate_up, dactivation, dgate_up, intermediate)?;
        let normed = scratch.normed.sized(driver, n * hidden)?;
        device.rms_norm(middle, self.weights.vector(&spans.post_norm), eps, normed)?;
        let dnormed = scratch.dnormed.sized(driver, n * hidden)?;
        self.backward_project(Projection::GateUp, dgate_up, normed, dnormed, gradients)?;
        self.backward_norm(&spans.post_norm, middle, dnormed, stream, gradients)
    }

    fn backward_attention(
        &self,
        x: View,
        kept: &BlockActivations,
        scratch: &mut BlockScratch,
        stream: Stream,
        gradients: View,
    ) -> Result<()> {
        let BlockShape {
            hidden, eps, heads, ..
        } = self.shape;
        let (device, driver, spans, n) = (self.device, &self.device.driver, self.spans, self.rows());
        let queries = n * heads.queries * heads.dim;
        let attended = kept.attended.get(queries);
        let dattended = scratch.dattended.sized(driver, queries)?;
        self.backward_project(Projection::Output, stream.rounded, attended, dattended, gradients)?;
        let dqkv = scratch.dqkv.sized(driver, n * heads.width())?;
        let output = AttentionOutput {
            out: attended,
            lse: kept.lse.get(n * heads.queries),
            dout: dattended,
            delta: scratch.delta.sized(driver, n * heads.queries)?,
        };
        let split = kept.heads.get(n * heads.width());
        attention_backward(driver, split, heads, self.tiles, output, dqkv)?;
        let (dnorms, qkv) = match self.head_norms() {
            Some(span) => (gradients.slice(span.elements), kept.qkv.get(n * heads.width())),
            None => (View::EMPTY, View::EMPTY),
        };
        device.split_heads_backward(dqkv, qkv, &self.split(), dqkv, dnorms)?;
        if let Some(span) = &spans.qkv_bias {
            device.add_activation_columns(dqkv, gradients.slice(span.elements.clone()))?;
        }
        let normed = scratch.normed.sized(driver, n * hidden)?;
        device.rms_norm(x, self.weights.vector(&spans.input_norm), eps, normed)?;
        let dnormed = scratch.dnormed.sized(driver, n * hidden)?;
        self.backward_project(Projection::Qkv, dqkv, normed, dnormed, gradients)?;
        self.backward_norm(&spans.input_norm, x, dnormed, stream, gradients)
    }
}
