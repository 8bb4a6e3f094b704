//! The sizes of a block and the places of its tensors, the same for the CPU and the GPU.

use super::projection::{Projection, TargetModule, in_block};
use crate::config::ModelConfig;
use crate::ops::rope::Heads;
use crate::weights::{Layout, Span};

/// Location of one block's tensors in the weights.
#[derive(Clone, Debug)]
pub(crate) struct BlockSpans {
    /// Weights of the linear layers, `[out, in]`, indexed by [`Projection`].
    projections: [Span; 4],
    /// Weight of the norm before the attention, `[hidden]`.
    pub input_norm: Span,
    /// Weight of the norm before the MLP, `[hidden]`. Hugging Face names it
    /// `post_attention_layernorm`.
    pub post_norm: Span,
    /// Bias of the joint Q, K, V projection, `[width]`; Qwen2 has one.
    pub qkv_bias: Option<Span>,
    /// Norm weights of the query heads and of the key heads, `[dim]` each; Qwen3 has them. They lie
    /// side by side in the layout, because the CUDA block reads both as one vector.
    pub qk_norm: Option<[Span; 2]>,
}

impl BlockSpans {
    /// Looks up the spans of `layer`. Returns `None` if a tensor that every block has is missing.
    /// Where the layout has none for bias or QK norm, the block runs without them.
    pub fn new(layout: &Layout, layer: usize) -> Option<Self> {
        let one = |tensor: &str| {
            let name = in_block(layer, tensor);
            layout.span(&name, &name)
        };
        // spans everything from the first to the last module: `Layout::new` must push the modules
        // of a projection side by side, in this order
        let join = |modules: &[TargetModule], kind: &str| {
            let name = |module: &TargetModule| format!("{}.{kind}", module.full_name(layer));
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
