//! Device memory of a forward and backward pass: sized once, grown when a larger tree comes.

use super::attention::DecodeScratch;
use super::buffer::Scratch;
use super::driver::Element;
use super::lora::LoraScratch;

/// Activations that a forward pass keeps for the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// All activations, except the outputs of norms and of SwiGLU, which are cheap to compute
    /// again.
    Everything,
    /// The input of each block; the backward pass runs the block forward again.
    Streams,
    /// Nothing: there is no backward pass.
    Nothing,
}

impl Keep {
    /// Returns the index of the activations of block `layer`.
    pub fn activations(self, layer: usize) -> usize {
        if self == Self::Everything { layer } else { 0 }
    }

    /// Returns the index of the residual stream before block `layer`.
    pub fn stream(self, layer: usize) -> usize {
        if self == Self::Nothing { 0 } else { layer }
    }
}

/// Activations that the backward pass of one block reads.
#[derive(Debug)]
pub(super) struct BlockActivations {
    /// Joint projection before norm and rotation, `[rows, (queries + 2 · keys) · dim]`; only with a
    /// norm.
    pub qkv: Scratch,
    /// Q, K and V after norm and rotation, `[rows, heads, dim]`.
    pub heads: Scratch,
    /// Output of attention, `[rows, query heads · dim]`.
    pub attended: Scratch,
    /// Log-sum-exp of the scores, `[rows, query heads]`.
    pub lse: Scratch,
    /// Residual stream between attention and MLP, `[rows, hidden]`.
    pub middle: Scratch,
    /// Gate and up projection, `[rows, 2 · intermediate]`.
    pub gate_up: Scratch,
}

/// Memory that is needed only within a block, and that all blocks share.
#[derive(Debug)]
pub(super) struct BlockScratch {
    /// Normalized residual stream, `[rows, hidden]`, and its gradient.
    pub normed: Scratch,
    pub dnormed: Scratch,
    /// Sum that a block adds to the residual stream, `[rows, hidden]`.
    pub added: Scratch,
    /// `added` of the rows whose output is wanted, f32.
    pub wanted: Scratch,
    pub activation: Scratch,
    pub dactivation: Scratch,
    pub dgate_up: Scratch,
    pub dattended: Scratch,
    /// Gradient of Q, K and V, then of the joint projection.
    pub dqkv: Scratch,
    /// `Σ dout · out` of each row and head.
    pub delta: Scratch,
    /// Parts of the gradients of keys and values, f32.
    pub partial: Scratch,
    /// Memory of the adapter for one projection.
    pub lora: LoraScratch,
    /// Partial sums of attention over the KV cache.
    pub decode: DecodeScratch,
}

/// Memory of the output projection and the loss.
#[derive(Debug)]
pub(super) struct HeadScratch {
    /// Gradients of the last residual stream and of its norm.
    pub dx: Scratch,
    pub dy: Scratch,
    pub logits: Scratch,
    pub dlogits: Scratch,
    /// Loss and correct first guesses of each row.
    pub sums: Scratch,
}

/// All memory of a pass.
#[derive(Debug)]
pub(super) struct Workspace {
    /// Input of each block; the last one is the input of the final norm, of the wanted rows only.
    pub residual: Vec<Scratch>,
    pub blocks: Vec<BlockActivations>,
    pub scratch: BlockScratch,
    pub head: HeadScratch,
    /// The integers of a pass.
    pub numbers: Scratch,
    /// Gradient of the residual stream in f32, and rounded to the type that products take.
    pub dresidual: Scratch,
    pub rounded: Scratch,
}

impl Workspace {
    /// Makes a workspace for `layers` blocks with activations of type `element`; nothing is
    /// allocated yet.
    pub fn new(layers: usize, element: Element) -> Self {
        // Residual stream, loss and sums are f32; everything that products take has the type of
        // activations.
        let activation = || Scratch::new(element);
        let f32 = || Scratch::new(Element::F32);
        let block = |_| BlockActivations {
            qkv: activation(),
            heads: activation(),
            attended: activation(),
            lse: f32(),
            middle: f32(),
            gate_up: activation(),
        };
        Self {
            residual: (0..=layers).map(|_| f32()).collect(),
            blocks: (0..layers).map(block).collect(),
            scratch: BlockScratch {
                normed: activation(),
                dnormed: activation(),
                added: activation(),
                wanted: f32(),
                activation: activation(),
                dactivation: activation(),
                dgate_up: activation(),
                dattended: activation(),
                dqkv: activation(),
                delta: f32(),
                lora: LoraScratch::new(element),
                partial: Scratch::new(Element::F32),
                decode: DecodeScratch::new(),
            },
            head: HeadScratch {
                dx: f32(),
                dy: activation(),
                logits: f32(),
                dlogits: activation(),
                sums: f32(),
            },
            numbers: Scratch::new(Element::U32),
            dresidual: f32(),
            rounded: activation(),
        }
    }
}
