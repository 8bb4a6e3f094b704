//! The decoder: forward and backward passes over a packed tree, and generation with a KV cache.
//!
//! Training calls [`Decoder::loss_and_gradients`] with a [`TreeBatch`](crate::batch::TreeBatch);
//! generation calls [`Decoder::next_logits`] with a [`KvStore`]. Both run the same blocks:
//! `decoder` drives the layers in training and `logits` in inference, `block` holds one layer's
//! attention and MLP, `spans` says where its tensors are, `cache` stores keys and values, `lora`
//! adds low-rank updates, and `workspace` owns the buffers of a pass.
//!
//! The backward pass is written by hand, without autograd; `docs/design.md` says why. In this
//! module a *row* of an activation matrix is one token of the pass, and a *slot* is one token's
//! place in the KV cache.

mod attach;
mod block;
mod cache;
mod decoder;
mod gradients;
mod logits;
pub mod lora;
mod projection;
mod spans;
mod stamp;
mod training;
mod workspace;

#[cfg(feature = "cuda")]
pub(crate) use cache::{CachePass, PassPart};
pub use cache::{KvSequence, KvStore};
pub use decoder::Decoder;
#[cfg(feature = "cuda")]
pub(crate) use decoder::{check_rows, target_rows};
pub use gradients::Gradients;
pub use lora::{LoraConfig, TargetModule, TargetModules};
#[cfg(feature = "cuda")]
pub(crate) use projection::Projection;
#[cfg(feature = "cuda")]
pub(crate) use spans::{BlockShape, BlockSpans};
pub use training::{Counted, DataFile, Training};
pub use workspace::{Recompute, Workspace};

use crate::template::ChatTemplate;
use crate::tokens::Tokenizer;
use crate::tool::ToolSchema;
use serde_json::{Map, Value};

/// A language model and everything that is saved with its weights.
#[derive(Clone, Debug)]
pub struct Model {
    /// The model's shape and weights.
    pub decoder: Decoder,
    /// Turns text into token ids.
    pub tokenizer: Tokenizer,
    /// Turns a conversation into text.
    pub template: ChatTemplate,
    /// The content of `generation_config.json`.
    pub generation_config: Map<String, Value>,
    /// The tools that the model was trained to call, if they are few. They are saved with the model
    /// as `tools.json`, and inside of a GGUF file.
    pub tools: Vec<ToolSchema>,
    /// Record of its training; saved with it, and shown in its `README.md`.
    pub training: Option<Training>,
    /// The licence that its own files name, such as `apache-2.0`.
    pub license: Option<String>,
    /// The path or Hub name that the model was loaded from.
    pub origin: String,
    /// Remarks for the user about how the model was loaded.
    pub notes: Vec<String>,
}

impl Model {
    /// Returns the last part of the origin, without `.gguf`: `Qwen3-0.6B` for `Qwen/Qwen3-0.6B`.
    pub fn name(&self) -> &str {
        let last = self.origin.trim_end_matches('/').rsplit('/').next();
        let last = last.unwrap_or(&self.origin);
        last.strip_suffix(".gguf").unwrap_or(last)
    }

    /// Returns the name under which others know the model, or the base of its adapter: an id on the
    /// hub, or the name of a folder or file without its place.
    pub(crate) fn base_name(&self) -> String {
        let adapter = self.decoder.adapter.as_ref();
        training::public_name(adapter.map_or(&self.origin, |adapter| &adapter.base))
    }
}
