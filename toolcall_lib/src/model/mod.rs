//! The decoder: forward and backward over a packed tree, and generation with a KV cache.

mod block;
mod cache;
mod decoder;
mod gradients;
pub mod lora;
mod projection;
mod stamp;
mod training;
mod workspace;

#[cfg(feature = "cuda")]
pub(crate) use block::{BlockShape, BlockSpans};
pub use cache::{KvSequence, KvStore};
#[cfg(feature = "cuda")]
pub(crate) use cache::{Pass as CachePass, PassPart};
pub use decoder::Decoder;
#[cfg(feature = "cuda")]
pub(crate) use decoder::{check_rows, target_rows};
pub use gradients::Gradients;
pub use lora::{LoraConfig, TargetModule, TargetModules};
#[cfg(feature = "cuda")]
pub(crate) use projection::Projection;
pub use training::{Counted, DataFile, Training};
pub use workspace::{Recompute, Workspace};

use crate::template::ChatTemplate;
use crate::tokens::Tokenizer;
use crate::tool::ToolSchema;
use serde_json::{Map, Value};

/// A language model with everything that is saved beside its weights.
#[derive(Clone, Debug)]
pub struct Model {
    /// Shape and weights.
    pub decoder: Decoder,
    /// Text to token ids.
    pub tokenizer: Tokenizer,
    /// Conversation to text.
    pub template: ChatTemplate,
    /// The content of `generation_config.json`.
    pub generation_config: Map<String, Value>,
    /// The tools that it was trained to call, where they are few; they are saved beside it as
    /// `tools.json`.
    pub tools: Vec<ToolSchema>,
    /// How it was trained; saved beside it, and told in its `README.md`.
    pub training: Option<Training>,
    /// The licence that its own files name, such as `apache-2.0`.
    pub license: Option<String>,
    /// Where it was loaded from.
    pub origin: String,
    /// What a user should know about how it was loaded.
    pub notes: Vec<String>,
}

impl Model {
    /// The last part of where it was loaded from, without `.gguf`: `Qwen3-0.6B` of `Qwen/Qwen3-0.6B`.
    pub fn name(&self) -> &str {
        let last = self.origin.trim_end_matches('/').rsplit('/').next();
        let last = last.unwrap_or(&self.origin);
        last.strip_suffix(".gguf").unwrap_or(last)
    }

    /// What others call the model that it is, or that its adapter is for: an id on the hub, or the
    /// name of a folder or file without its place.
    pub(crate) fn base_name(&self) -> String {
        let adapter = self.decoder.adapter.as_ref();
        training::public_name(adapter.map_or(&self.origin, |adapter| &adapter.base))
    }
}
