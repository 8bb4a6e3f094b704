//! What is kept from one reply to the next.

use super::constraint::Constraints;
use crate::model::{KvStore, Model, Workspace};
use std::fmt;

/// Keys and values of what a model has read and written, so that what a new prompt shares with it (system text and tools, the
/// conversation so far) is not computed again; and what calls to these tools may look like. Belongs to one model; forget it when
/// the weights change.
#[derive(Clone)]
pub struct PrefixCache {
    bytes: usize,
    pub(super) store: Option<KvStore>,
    pub(super) workspace: Workspace,
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
            store: None,
            workspace: Workspace::default(),
            constraints: Constraints::default(),
        }
    }

    /// The store for this model; taken out, so that it is gone if a pass over the model fails in the middle.
    pub(super) fn take_store(&mut self, model: &Model) -> KvStore {
        let new = || KvStore::new(&model.decoder.config, self.bytes);
        self.store.take().unwrap_or_else(new)
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
