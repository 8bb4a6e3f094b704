//! What devices of many ranks do together.

use super::buffer::View;
use crate::collective::Shard;
use crate::error::Result;
use std::fmt::Debug;

/// Operations of all ranks, which every rank starts in the same order. They go on beside what the driver does, one after the other.
pub(crate) trait DeviceRanks: Debug + Send + Sync {
    /// This rank among all. A buffer has [`Shard::longest`] elements for each of them.
    fn shard(&self) -> Shard;

    /// Starts summing f32 elements over all ranks, when all that the driver has been asked for so far is done. The sums come into
    /// this rank's part of the buffer; what the rest of it holds is not defined.
    fn start_reduce_scatter(&self, buffer: View) -> Result<Ticket>;

    /// Starts filling a buffer with the parts of all ranks, each of which gives its own, when all that the driver has been asked for
    /// so far is done.
    fn start_all_gather(&self, buffer: View) -> Result<Ticket>;

    /// What the driver is asked for from now on waits until this operation, and those started before it, are done.
    fn join(&self, ticket: Ticket) -> Result<()>;
}

/// An operation whose buffer nobody may touch before it has been joined.
#[derive(Debug)]
#[must_use]
pub(crate) struct Ticket(pub u64);

/// A single device.
#[derive(Debug)]
pub(crate) struct Alone;

impl DeviceRanks for Alone {
    fn shard(&self) -> Shard {
        Shard::WHOLE
    }

    fn start_reduce_scatter(&self, _: View) -> Result<Ticket> {
        Ok(Ticket(0))
    }

    fn start_all_gather(&self, _: View) -> Result<Ticket> {
        Ok(Ticket(0))
    }

    fn join(&self, _: Ticket) -> Result<()> {
        Ok(())
    }
}
