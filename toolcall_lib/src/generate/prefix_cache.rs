//! State that outlives a reply: keys and values, compiled constraints, the GPU's copy of the
//! weights.

use super::constraint::Constraints;
use super::engine::{AT_ONCE, Engine};
use crate::device::Device;
use crate::error::Result;
use crate::model::Model;
use std::fmt;

/// The keys and values, and all else that replies of one model share.
///
/// A new prompt does not compute again what it shares with earlier ones (system text, tools, the
/// conversation so far). The cache also keeps the compiled constraints and, on a GPU, a copy of the
/// weights. When the weights of the model have changed, keys, values and copy are made anew.
pub struct PrefixCache {
    bytes: usize,
    pub(super) engine: Option<Engine>,
    pub(super) constraints: Constraints,
}

impl PrefixCache {
    /// Most bytes of keys and values by default: 2 GiB.
    pub const BYTES: usize = 2 << 30;

    /// Makes a cache whose keys and values take at most `bytes`; the least recently used are
    /// evicted first. Conversations that are being written are never evicted: a single one that
    /// needs more gets more.
    pub fn with_bytes(bytes: usize) -> Self {
        Self {
            bytes,
            engine: None,
            constraints: Constraints::default(),
        }
    }

    /// Makes a cache of `bytes` for replies on the GPU of `driver`, with a copy of the model's
    /// weights.
    #[cfg(feature = "cuda")]
    pub(crate) fn on_driver(
        driver: std::sync::Arc<dyn crate::cuda::Driver>,
        model: &Model,
        bytes: usize,
    ) -> Result<Self> {
        let engine = Engine::on_driver(driver, model, bytes)?;
        Ok(Self {
            engine: Some(engine),
            ..Self::with_bytes(bytes)
        })
    }

    /// Puts an engine back.
    pub(crate) fn keep_engine(&mut self, engine: Engine) {
        self.engine = Some(engine);
    }

    /// Returns how many prompts to ask together: twice as many as one batch writes, so that a few
    /// long replies do not leave the batch slots of others empty.
    pub(crate) fn prompts_at_once(&self) -> usize {
        2 * self.engine.as_ref().map_or(AT_ONCE, |engine| engine.at_once)
    }

    /// Takes out the engine for this model, or makes one. The cache stays without one if a pass
    /// over the model fails half-way, so that a half-written KV cache is never read.
    pub(crate) fn take_engine(&mut self, model: &Model, device: Device) -> Result<Engine> {
        match self
            .engine
            .take()
            .filter(|engine| engine.is_valid_for(model, device))
        {
            Some(engine) => Ok(engine),
            None => Engine::new(model, self.bytes, device),
        }
    }
}

impl Default for PrefixCache {
    fn default() -> Self {
        Self::with_bytes(Self::BYTES)
    }
}

impl fmt::Debug for PrefixCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefixCache")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
