//! Buffers of a forward and backward pass: sized once, grown when a larger batch comes, never freed in between.

use super::lora::{LoraScratch, Pass};
use crate::ops::buffer::Buffer;
use crate::ops::matmul::{Precision, multiplies_bf16};

/// What the backward pass keeps of the forward pass.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Recompute {
    /// Everything but norms and activation functions, which are cheap to compute again. Fastest.
    #[default]
    Norms,
    /// Only the input of each block; the block runs again in the backward pass. About a quarter slower, least memory.
    Block,
}

/// What one block leaves for its backward pass. The residual stream and `lse` are f32; what products make or take is stored as
/// [`Workspace::stores_bf16`] says.
#[derive(Debug, Default)]
pub(super) struct BlockActivations {
    /// Joint projection before norm and rotation, `[rows, width]`, where there is a norm.
    pub qkv: Buffer,
    /// Q, K and V, `[heads, rows, dim]`.
    pub heads: Buffer,
    /// Attention output, `[rows, query heads · dim]`.
    pub attended: Buffer,
    /// Log of the softmax denominators, `[rows, query heads]`.
    pub lse: Buffer,
    /// What attention adds to the residual stream, `[rows, hidden]`.
    pub added: Buffer,
    /// Gate and up projection, `[rows, 2 · intermediate]`.
    pub gate_up: Buffer,
}

/// Buffers whose content no one needs for longer than a block.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Residual stream between attention and MLP, `[rows, hidden]`, f32.
    pub middle: Buffer,
    /// A normalized residual stream, and its gradient.
    pub normed: Buffer,
    pub dnormed: Buffer,
    /// MLP activation, and its gradient, `[rows, intermediate]`.
    pub activation: Buffer,
    pub dactivation: Buffer,
    /// Gradient of the attention output.
    pub dattended: Buffer,
    /// Gradients of Q, and each query head's part of those of K and V, `[query heads, rows, dim]`, f32.
    pub dqueries: Buffer,
    pub dkeys: Buffer,
    pub dvalues: Buffer,
    /// Joint projection, or its gradient.
    pub dqkv: Buffer,
    /// Gradient of the MLP's two input projections.
    pub dgate_up: Buffer,
    /// What an adapter needs for one projection.
    pub lora: LoraScratch,
}

/// All buffers of a forward and backward pass.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(super) recompute: Recompute,
    pub(super) precision: Precision,
    /// Which elements the next training pass drops.
    pub(super) pass: Pass,
    /// Input of each block, and after the last the input of the final norm, `[rows, hidden]`, there of the wanted rows.
    pub(super) residual: Vec<Buffer>,
    pub(super) blocks: Vec<BlockActivations>,
    pub(super) scratch: Scratch,
    /// Gradient of the residual stream.
    pub(super) dresidual: Buffer,
    /// Of the rows that have a target the normalized residual stream, and its gradient.
    pub(super) target_rows: [Buffer; 2],
    pub(super) logits: Buffer,
}

impl Workspace {
    /// Empty buffers for a training run.
    pub fn new(recompute: Recompute, precision: Precision) -> Self {
        Self {
            recompute,
            precision,
            ..Self::default()
        }
    }

    /// Says which tree of the run comes next: another one has other dropout masks.
    pub fn begin(&mut self, pass: Pass) {
        self.pass = pass;
    }

    /// Whether a training pass stores as bf16 what goes into bf16 products.
    pub(super) fn stores_bf16(&self) -> bool {
        self.precision != Precision::F32 && multiplies_bf16()
    }

    /// Makes room for a model's blocks.
    pub(super) fn prepare(&mut self, layers: usize) {
        let kept = if self.recompute == Recompute::Block {
            1
        } else {
            layers
        };
        self.residual.resize_with(layers + 1, Buffer::default);
        self.blocks.resize_with(kept, BlockActivations::default);
    }
}
