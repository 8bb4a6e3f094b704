//! A connection of NCCL, and the errors of its calls.

use super::library::{Comm, IN_PROGRESS, Library, UniqueId};
use crate::collective::Shard;
use crate::error::Result;
use std::ffi::c_int;
use std::sync::Arc;

/// NCCL's communicator.
pub(crate) struct Communicator {
    pub(super) library: &'static Library,
    pub(super) handle: Comm,
    pub(super) id: [u8; 128],
}

// SAFETY: any thread may use NCCL's communicator, one at a time; asking for errors and aborting are
// exempt.
unsafe impl Send for Communicator {}

// SAFETY: as above.
unsafe impl Sync for Communicator {}

impl Communicator {
    /// Connects to all other ranks; waits even for one that never comes.
    pub(super) fn new(library: &'static Library, id: UniqueId, shard: Shard) -> Result<Arc<Self>> {
        let mut handle: Comm = std::ptr::null_mut();
        // SAFETY: all ranks have the same id, and each uses its rank once.
        let status = unsafe {
            (library.comm_init_rank)(&raw mut handle, shard.size as c_int, id, shard.rank as c_int)
        };
        library.check(status, "connecting the GPUs")?;
        Ok(Arc::new(Self {
            library,
            handle,
            id: id.0,
        }))
    }

    /// Returns an error that NCCL has met since the start, on this rank or a neighbour.
    pub(super) fn trouble(&self) -> Option<String> {
        let mut status = 0;
        // SAFETY: the communicator lives as long as `self`.
        let asked = unsafe { (self.library.comm_get_async_error)(self.handle, &raw mut status) };
        [asked, status]
            .into_iter()
            .find(|status| ![0, IN_PROGRESS].contains(status))
            .map(|status| self.library.text(status))
    }

    /// Ends all running operations, so that no thread waits for them any more.
    pub(super) fn abort(&self) {
        // SAFETY: the communicator is alive, and `Nccl` does not destroy it after this.
        unsafe { (self.library.comm_abort)(self.handle) };
    }
}
