//! Buffers of the forward and backward pass.
//!
//! A [`Workspace`] is created once per run. Its buffers grow when a larger batch comes and are
//! never freed in between, so a training step allocates almost nothing. [`Recompute`] decides how
//! many activations stay for the backward pass.
//!
//! Shapes have the names of `block`: `rows` are the tokens of the pass, `outputs` the rows whose
//! output is wanted, `width` is `heads · dim` over the query, key and value heads. A buffer has the
//! type that [`Workspace::stores_bf16`] selects where its comment does not say f32.

use super::lora::{LoraScratch, PassId};
use crate::ops::buffer::Buffer;
use crate::ops::matmul::{Precision, multiplies_bf16};

/// Selects the activations that the backward pass keeps from the forward pass.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Recompute {
    /// Keeps everything except norms and activation functions, which are cheap to compute again.
    /// Fastest.
    #[default]
    Norms,
    /// Keeps only the input of each block and runs the block again in the backward pass. About a
    /// quarter slower; needs the least memory.
    Block,
}

/// Activations that one block keeps for its backward pass.
#[derive(Debug, Default)]
pub(super) struct BlockActivations {
    /// Joint Q, K, V projection before norm and rotation, `[rows, width]`; only with a QK norm.
    pub qkv: Buffer,
    /// Q, K and V after norm and rotation, `[heads, rows, dim]`.
    pub heads: Buffer,
    /// Attention output, `[rows, query heads · dim]`.
    pub attended: Buffer,
    /// Log-sum-exp of each softmax, `[rows, query heads]`, f32.
    pub lse: Buffer,
    /// Output of the attention projection, which is added to the residual stream, `[rows, hidden]`.
    pub added: Buffer,
    /// Gate and up projections side by side, `[outputs, 2 · intermediate]`.
    pub gate_up: Buffer,
}

/// Buffers whose content is needed within one block only.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Residual stream between attention and MLP, `[outputs, hidden]`, f32.
    pub middle: Buffer,
    /// Normalized residual stream, `[rows, hidden]` before the attention and `[outputs, hidden]`
    /// before the MLP.
    pub normed: Buffer,
    /// Gradient of `normed`, f32.
    pub dnormed: Buffer,
    /// MLP activation and its gradient, `[outputs, intermediate]`.
    pub activation: Buffer,
    pub dactivation: Buffer,
    /// Gradient of the attention output, `[rows, query heads · dim]`.
    pub dattended: Buffer,
    /// Gradients of Q, and each query head's share of the gradients of K and V,
    /// `[query heads, rows, dim]`, f32.
    pub dqueries: Buffer,
    pub dkeys: Buffer,
    pub dvalues: Buffer,
    /// Gradient of the joint Q, K, V projection, `[rows, width]`. In the forward pass, the
    /// projection itself if there is no QK norm, whose backward pass needs it.
    pub dqkv: Buffer,
    /// Gradient of the gate and up projections, `[outputs, 2 · intermediate]`.
    pub dgate_up: Buffer,
    /// Buffers of the LoRA adapter for one projection.
    pub lora: LoraScratch,
}

/// All buffers of a forward and backward pass.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(super) recompute: Recompute,
    pub(super) precision: Precision,
    /// Identity of the next training pass, from which dropout masks are drawn.
    pub(super) pass: PassId,
    /// Input of each block, `[rows, hidden]`, f32. The last entry is the input of the final norm,
    /// `[outputs, hidden]`.
    pub(super) residual: Vec<Buffer>,
    /// Activations of each block, or of one block with [`Recompute::Block`].
    pub(super) blocks: Vec<BlockActivations>,
    pub(super) scratch: Scratch,
    /// Gradient of the residual stream, `[rows, hidden]`, f32: from block to block in place.
    pub(super) dresidual: Buffer,
    /// Output of the final norm and its gradient, `[outputs, hidden]`, f32. The outputs are the
    /// rows that have a target.
    pub(super) target_rows: [Buffer; 2],
    /// Logits of some of these rows at a time, then their gradient, `[some outputs, vocabulary]`,
    /// f32.
    pub(super) logits: Buffer,
}

impl Workspace {
    /// Creates empty buffers for a training run.
    pub fn new(recompute: Recompute, precision: Precision) -> Self {
        Self {
            recompute,
            precision,
            ..Self::default()
        }
    }

    /// Sets the pass (seed, step and tree) that comes next. Each pass has its own dropout masks.
    pub fn begin(&mut self, pass: PassId) {
        self.pass = pass;
    }

    /// Returns true if a training pass stores inputs and outputs of products as bf16.
    pub(super) fn stores_bf16(&self) -> bool {
        self.precision != Precision::F32 && multiplies_bf16()
    }

    /// Makes room for a model of `layers` blocks.
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
