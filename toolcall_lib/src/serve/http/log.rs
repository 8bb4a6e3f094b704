//! The log: a line on standard error for each request that is refused or fails, under the id that
//! its answer has. It holds neither keys nor what clients wrote.

use crate::error::tell;
use crate::serve::wire::{Refusal, random_id};

/// Id of an answer, under which clients report problems.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub String);

impl RequestId {
    /// Returns a new id.
    pub fn new() -> Self {
        Self(random_id("req_"))
    }

    /// Logs why `what`, such as `GET /health`, did not succeed.
    pub fn log(&self, what: &str, refusal: &Refusal) {
        tell(format!("{}: {what}: {}", self.0, refusal.for_log()));
    }
}
