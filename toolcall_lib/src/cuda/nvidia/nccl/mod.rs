//! GPUs of many ranks, connected by NCCL on a separate stream, which events order with the
//! driver's.

mod communicator;
mod library;
mod watch;

pub use library::nccl_version;

use super::timer::record;
use super::{Nvidia, cuda};
use crate::collective::{Collective, Shard};
use crate::cuda::buffer::View;
use crate::cuda::driver::Element;
use crate::cuda::ranks::{DeviceRanks, Ticket, meet};
use crate::error::{Error, Result};
use communicator::Communicator;
use cudarc::driver::result::{event, stream};
use cudarc::driver::sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
use cudarc::driver::sys::{self, CUevent_wait_flags};
use library::{BFLOAT16, FLOAT32, Library, SUM, UniqueId, library};
use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use watch::{Ended, Watch};

/// The GPU of a rank among those of all ranks.
pub(crate) struct Nccl {
    driver: Arc<Nvidia>,
    shard: Shard,
    stream: sys::CUstream,
    communicator: Arc<Communicator>,
    watch: Watch,
}

// SAFETY: any thread may use the stream too, and the rest is `Send`.
unsafe impl Send for Nccl {}
// SAFETY: the one thread that trains starts all operations.
unsafe impl Sync for Nccl {}

impl Nccl {
    /// Connects the GPU of this rank with those of all others; every rank calls this. Operations
    /// that have not ended after `timeout` are given up.
    ///
    /// # Errors
    /// A rank has no NCCL, or NCCL refuses; the message says why.
    pub fn join(driver: &Arc<Nvidia>, ranks: &dyn Collective, timeout: Duration) -> Result<Self> {
        // 1. Every rank learns if one has no NCCL, so that none waits for it.
        let found = library();
        let there = ranks.exchange(&[f64::from(found.is_ok())])?;
        let library = found?;
        if let Some(rank) = there.iter().position(|there| there[0] == 0.0) {
            return Err(Error::invalid(
                format!("rank {rank}"),
                "has no NCCL; install it on the host of this rank",
            ));
        }
        let shard = ranks.shard();
        // 2. Ranks that are threads of one process share their memory.
        let processes = ranks.exchange(&[f64::from(std::process::id())])?;
        let threads =
            ranks.on_host().size == shard.size && processes.iter().all(|process| *process == processes[0]);
        // 3. Connect, in a thread that may be left behind.
        let id = exchange_id(library, ranks);
        let own = driver.clone();
        let communicator = meet(ranks, timeout, move || {
            own.bind()?;
            if threads {
                own.share_memory()?;
            }
            Communicator::new(library, id?, shard)
        })?;
        driver.bind()?;
        Ok(Self {
            stream: stream::create(stream::StreamKind::NonBlocking).map_err(cuda("making a stream"))?,
            watch: Watch::start(driver, &communicator, timeout)?,
            driver: driver.clone(),
            shard,
            communicator,
        })
    }

    /// Queues an operation of NCCL on a buffer, of which every rank has a part of `count` elements.
    /// `work` gets the address of the whole, that of this rank's part, and the count.
    fn start(
        &self,
        buffer: View,
        doing: &str,
        work: impl FnOnce(*mut c_void, *mut c_void, usize) -> library::Status,
    ) -> Result<Ticket> {
        self.driver.check_trouble()?; // the watch may have closed the connection
        self.driver.bind()?;
        let count = self.shard.longest(buffer.len);
        let own = buffer.address + (self.shard.rank * count * buffer.element.size()) as u64;
        // SAFETY: streams and events are alive. An event may be destroyed as soon as a stream waits
        // for it.
        unsafe {
            // 1. NCCL's stream waits for everything asked of the driver so far.
            let ready = record(self.driver.stream, CU_EVENT_DISABLE_TIMING)?;
            let waits = wait(self.stream, ready);
            event::destroy(ready).map_err(cuda("freeing an event"))?;
            waits?;
            // 2. The operation.
            let status = work(buffer.address as *mut c_void, own as *mut c_void, count);
            self.communicator.library.check(status, doing)?;
            // 3. One event for the watch, one for the ticket.
            self.watch.add(record(self.stream, CU_EVENT_DISABLE_TIMING)?);
            record(self.stream, CU_EVENT_DISABLE_TIMING).map(|done| Ticket(done as u64))
        }
    }
}

/// Returns the id of the connection, which the first rank makes and sends to the others.
fn exchange_id(library: &Library, ranks: &dyn Collective) -> Result<UniqueId> {
    let mut id = UniqueId([0; 128]);
    let mut made = Ok(());
    if ranks.rank() == 0 {
        // SAFETY: `id` may be written to.
        let status = unsafe { (library.get_unique_id)(&raw mut id) };
        // reported after the exchange, so that the others do not wait
        made = library.check(status, "naming the connection");
    }
    let numbers: Vec<f64> = id.0.iter().map(|&byte| f64::from(byte)).collect();
    let all = ranks.exchange(&numbers)?;
    made?;
    Ok(UniqueId(std::array::from_fn(|i| all[0][i] as u8)))
}

/// Makes everything asked of the stream from now on wait for the event.
///
/// # Safety
/// Both are alive.
unsafe fn wait(stream: sys::CUstream, event: sys::CUevent) -> Result<()> {
    // SAFETY: the caller keeps the contract.
    unsafe { stream::wait_event(stream, event, CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT) }
        .map_err(cuda("ordering two streams"))
}

impl DeviceRanks for Nccl {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn start_reduce_scatter(&self, buffer: View) -> Result<Ticket> {
        let Communicator { library, handle, .. } = *self.communicator;
        // SAFETY: the buffer is as long as it says, and nobody touches it until the ticket is
        // joined. NCCL works in place if the result is this rank's part.
        self.start(buffer, "summing gradients", |all, own, count| unsafe {
            (library.reduce_scatter)(all, own, count, FLOAT32, SUM, handle, self.stream)
        })
    }

    fn start_all_gather(&self, buffer: View) -> Result<Ticket> {
        let Communicator { library, handle, .. } = *self.communicator;
        let element = match buffer.element {
            Element::Bf16 => BFLOAT16,
            Element::F32 | Element::U32 => FLOAT32, // the elements are moved, not added
        };
        // SAFETY: as in `start_reduce_scatter`.
        self.start(buffer, "gathering weights", |all, own, count| unsafe {
            (library.all_gather)(own, all, count, element, handle, self.stream)
        })
    }

    fn join(&self, ticket: Ticket) -> Result<()> {
        self.driver.bind()?;
        let done = ticket.0 as sys::CUevent;
        // SAFETY: the ticket belongs to an operation, and is joined once.
        unsafe {
            let waits = wait(self.driver.stream, done);
            event::destroy(done).map_err(cuda("freeing an event"))?;
            waits
        }
    }
}

/// Closes the connection. Aborts operations that still run, because other ranks may never join
/// them.
impl Drop for Nccl {
    fn drop(&mut self) {
        let ended = self.watch.stop();
        self.driver.trouble().take(); // it concerned this connection, and others use the GPU too
        if self.driver.bind().is_err() {
            return;
        }
        // SAFETY: this value owns all of these, and nothing uses them any more.
        unsafe {
            match ended {
                Ended::All => drop((self.communicator.library.comm_destroy)(self.communicator.handle)),
                Ended::NotAll => self.communicator.abort(),
                Ended::Aborted => {}
            }
            stream::destroy(self.stream).ok();
        }
    }
}

impl fmt::Debug for Nccl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nccl({:?}, {:?})", self.shard, self.driver)
    }
}

#[cfg(test)]
mod tests;
