//! What is kept from one reply to the next.

use super::constraint::Constraints;
use super::engine::Engine;
use crate::device::Device;
use crate::error::Result;
use crate::model::Model;
use std::fmt;

/// Keys and values of what a model has read and written, so that what a new prompt shares with it (system text and tools, the
/// conversation so far) is not computed again; what calls to these tools may look like; and on a GPU a copy of the weights. Belongs
/// to one model; keys, values and copy are made anew when it was trained meanwhile.
pub struct PrefixCache {
    bytes: usize,
    pub(super) engine: Option<Engine>,
    pub(super) constraints: Constraints,
}

impl PrefixCache {
    /// Bytes that a cache takes at most, where nothing else is said: 2 GiB.
    pub const BYTES: usize = 2 << 30;

    /// A cache whose keys and values take `bytes` at most; what was used least recently goes first. Conversations that are
    /// being written are never refused: a single one that needs more gets more.
    pub fn with_bytes(bytes: usize) -> Self {
        Self {
            bytes,
            engine: None,
            constraints: Constraints::default(),
        }
    }

    /// A cache of `bytes` for replies that are computed on the GPU of `driver`, with a copy of the
    /// model's weights.
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

    /// Takes an engine back.
    pub(crate) fn keep_engine(&mut self, engine: Engine) {
        self.engine = Some(engine);
    }

    /// The engine for this model; taken out, so that it is gone if a pass over the model fails in the middle.
    pub(crate) fn take_engine(&mut self, model: &Model, device: Device) -> Result<Engine> {
        match self.engine.take().filter(|engine| engine.serves(model, device)) {
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
