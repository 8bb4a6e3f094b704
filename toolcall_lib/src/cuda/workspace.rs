//! Device memory of a forward and backward pass: sized once, grown when a larger tree comes.

use super::attention::DecodeScratch;
use super::buffer::Scratch;
use super::driver::Element;
use super::lora::LoraScratch;

/// What a forward pass leaves for a backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Everything but norms and activation functions.
    Everything,
    /// The input of each block.
    Streams,
    Nothing,
}

impl Keep {
    /// The index of the activations of block `layer`.
    pub fn activations(self, layer: usize) -> usize {
        if self == Self::Everything { layer } else { 0 }
    }

    /// The index of the residual stream before block `layer`.
    pub fn stream(self, layer: usize) -> usize {
        if self == Self::Nothing { 0 } else { layer }
    }
}

/// What one block leaves for its backward pass.
#[derive(Debug)]
pub(super) struct BlockActivations {
    /// Joint projection before norm and rotation, where there is a norm.
    pub qkv: Scratch,
    /// Q, K and V, `[rows, heads, dim]`.
    pub heads: Scratch,
    /// Attention output, `[rows, query heads · dim]`.
    pub attended: Scratch,
    /// Logs of the softmax denominators, `[rows, query heads]`.
    pub lse: Scratch,
    /// Residual stream between attention and MLP.
    pub middle: Scratch,
    /// Gate and up projection, `[rows, 2 · intermediate]`.
    pub gate_up: Scratch,
}

/// What no one needs for longer than a block.
#[derive(Debug)]
pub(super) struct BlockScratch {
    /// A normalized residual stream, and its gradient.
    pub normed: Scratch,
    pub dnormed: Scratch,
    /// What a block adds to the residual stream.
    pub added: Scratch,
    /// That of the rows whose output is wanted, f32.
    pub wanted: Scratch,
    pub activation: Scratch,
    pub dactivation: Scratch,
    pub dgate_up: Scratch,
    pub dattended: Scratch,
    /// Gradient of Q, K and V, then of the joint projection.
    pub dqkv: Scratch,
    /// Sums over each head's output and its gradient.
    pub delta: Scratch,
    /// What an adapter needs for one projection.
    pub lora: LoraScratch,
    /// Sums over parts of a cache.
    pub decode: DecodeScratch,
}

/// What the output projection and the loss need.
#[derive(Debug)]
pub(super) struct HeadScratch {
    /// Gradients of the residual stream and of its norm.
    pub dx: Scratch,
    pub dy: Scratch,
    pub logits: Scratch,
    pub dlogits: Scratch,
    /// Loss and right guesses of each row.
    pub sums: Scratch,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Workspace {
    /// Input of each block, and after the last the input of the final norm, of the rows whose output is wanted.
    pub residual: Vec<Scratch>,
    pub blocks: Vec<BlockActivations>,
    pub scratch: BlockScratch,
    pub head: HeadScratch,
    /// The integers of a pass.
    pub numbers: Scratch,
    /// Gradient of the residual stream, and as products take it.
    pub dresidual: Scratch,
    pub rounded: Scratch,
}

impl Workspace {
    /// For `layers` blocks whose activations are of type `element`.
    pub fn new(layers: usize, element: Element) -> Self {
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
