//! The log: a line on standard error for each request that is refused or fails, under the id that
//! its answer has. It holds neither keys nor what clients wrote.

use crate::error::{shortened, tell};
use crate::serve::wire::{Refusal, random_id};
use axum::extract::Request;

/// Most characters of a path in the log.
const LONGEST: usize = 100;

/// A request, as the log names it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Id of its answer, under which clients report problems.
    pub id: String,
    /// Method and path, such as `GET /health`.
    what: String,
}

impl Asked {
    /// Gives a request an id.
    pub fn new(request: &Request) -> Self {
        let path = shortened(request.uri().path(), LONGEST);
        Self {
            id: random_id("req_"),
            what: format!("{} {path}", request.method()),
        }
    }

    /// Logs why the request did not succeed.
    pub fn log(&self, refusal: &Refusal) {
        tell(format!("{}: {}: {}", self.id, self.what, refusal.for_log()));
    }
}
