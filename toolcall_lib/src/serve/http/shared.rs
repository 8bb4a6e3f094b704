//! State that all requests share.

use super::super::ServeConfig;
use super::super::metrics::Metrics;
use super::super::scheduler::Job;
use super::super::wire::{Defaults, Refusal};
use crate::generate::Constraints;
use crate::model::Model;
use crate::tool::ToolSchema;
use sha2::{Digest, Sha256};
use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use tokio::sync::{Semaphore, watch};

/// Most requests whose prompt and grammar are made at the same time.
const PREPARED_AT_ONCE: usize = 2;
/// Most bytes of bodies in memory at once; one of the largest size has room in any case.
const ROOM: usize = 64 << 20;

/// State that all requests share.
pub(crate) struct Shared {
    pub config: ServeConfig,
    pub models: Vec<Arc<Served>>,
    pub metrics: Arc<Metrics>,
    /// Digest of the key, if one is required.
    pub(super) key: Option<[u8; 32]>,
    /// Places in the queue.
    pub(super) places: Arc<Semaphore>,
    /// Memory for bodies, in bytes.
    pub(super) bodies: Semaphore,
    /// Places for requests whose prompt and grammar are being made.
    pub(super) preparing: Arc<Semaphore>,
    /// True when the server no longer waits for replies.
    over: watch::Sender<bool>,
}

/// A model that is served.
pub(crate) struct Served {
    pub name: String,
    pub model: Arc<Model>,
    /// Channel to the thread of the model.
    pub jobs: Sender<Job>,
    pub constraints: Constraints,
    pub defaults: Defaults,
    /// Tools for requests that cannot bring their own.
    pub tools: Vec<ToolSchema>,
    /// Time at which the model was saved, in seconds since 1970.
    pub created: u64,
}

impl Shared {
    /// Makes the state of a server.
    pub fn new(config: ServeConfig, models: Vec<Arc<Served>>, metrics: Arc<Metrics>) -> Self {
        Self {
            key: config.api_key.as_deref().map(digest),
            places: Arc::new(Semaphore::new(config.queue)),
            bodies: Semaphore::new(ROOM.max(config.max_body).min(Semaphore::MAX_PERMITS)),
            preparing: Arc::new(Semaphore::new(PREPARED_AT_ONCE)),
            over: watch::Sender::new(false),
            config,
            models,
            metrics,
        }
    }

    /// Ends all replies; their clients are told so.
    pub(super) fn give_up(&self) {
        self.over.send_replace(true);
    }

    /// Returns a future that is ready when the server no longer waits for replies.
    pub(super) fn given_up(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut over = self.over.subscribe();
        async move {
            over.wait_for(|over| *over).await.ok();
        }
    }

    /// Returns the model of this name, or the first one if no name is given.
    pub(super) fn model(&self, name: Option<&str>) -> Result<&Arc<Served>, Refusal> {
        let found = match name {
            None => self.models.first(),
            Some(name) => self.models.iter().find(|served| served.name == name),
        };
        found.ok_or_else(|| {
            let names: Vec<&str> = self.models.iter().map(|served| &*served.name).collect();
            Refusal::no_such_model(name.unwrap_or_default(), &names)
        })
    }
}

/// Returns the digest of a key; all digests have the same length, so comparing them leaks none.
pub(super) fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}
