//! GPUs of many ranks, connected by NCCL: a stream of its own beside the driver's, ordered with it by events.

mod library;
mod watch;

pub use library::nccl_version;

use super::{Nvidia, cuda};
use crate::collective::{Collective, Shard};
use crate::cuda::buffer::View;
use crate::cuda::driver::Element;
use crate::cuda::ranks::{DeviceRanks, Ticket, meet};
use crate::error::{Error, Result};
use cudarc::driver::result::{event, stream};
use cudarc::driver::sys::{self, CUevent_flags, CUevent_wait_flags};
use library::{BFLOAT16, Comm, FLOAT32, Library, SUM, UniqueId, library};
use std::ffi::{c_int, c_void};
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

/// NCCL's side of the connection.
pub(super) struct Communicator {
    library: &'static Library,
    handle: Comm,
    id: [u8; 128],
}

// SAFETY: NCCL's communicator may be used from any thread, by one at a time but for asking for errors and for aborting.
unsafe impl Send for Communicator {}
// SAFETY: the same.
unsafe impl Sync for Communicator {}
// SAFETY: the stream too, and the rest is `Send`.
unsafe impl Send for Nccl {}
// SAFETY: operations are started by the one thread that trains.
unsafe impl Sync for Nccl {}

impl Nccl {
    /// Connects the GPU of this rank with those of all others, each of which calls it too. What has not ended after `timeout`
    /// is given up.
    ///
    /// # Errors
    /// NCCL is not there on one of the ranks, or refuses; the message says why.
    pub fn join(driver: &Arc<Nvidia>, ranks: &dyn Collective, timeout: Duration) -> Result<Self> {
        let found = library();
        let there = ranks.exchange(&[f64::from(found.is_ok())])?;
        let library = found?;
        if let Some(rank) = there.iter().position(|there| there[0] == 0.0) {
            return Err(Error::invalid(format!("rank {rank}"), "has no NCCL"));
        }
        let shard = ranks.shard();
        let processes = ranks.exchange(&[f64::from(std::process::id())])?;
        let threads =
            ranks.on_host().size == shard.size && processes.iter().all(|process| *process == processes[0]);
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

    /// Has NCCL do something with a buffer, of which every rank has a part of `count` elements. It gets the place of all, that of this
    /// rank's, and the count.
    fn start(
        &self,
        buffer: View,
        doing: &str,
        work: impl FnOnce(*mut c_void, *mut c_void, usize) -> library::Status,
    ) -> Result<Ticket> {
        self.driver.check_trouble()?; // the watch has given the connection back
        self.driver.bind()?;
        let count = self.shard.longest(buffer.len);
        let own = buffer.address + (self.shard.rank * count * buffer.element.size()) as u64;
        // SAFETY: streams and events are alive; an event may be destroyed as soon as it has been waited for in a stream.
        unsafe {
            let ready = record(self.driver.stream)?;
            let waits = wait(self.stream, ready);
            event::destroy(ready).map_err(cuda("freeing an event"))?;
            waits?;
            let status = work(buffer.address as *mut c_void, own as *mut c_void, count);
            self.communicator.library.check(status, doing)?;
            self.watch.add(record(self.stream)?);
            record(self.stream).map(|done| Ticket(done as u64))
        }
    }
}

/// The name of the connection, which the first rank makes up and tells the others.
fn exchange_id(library: &Library, ranks: &dyn Collective) -> Result<UniqueId> {
    let mut id = UniqueId([0; 128]);
    let mut made = Ok(());
    if ranks.rank() == 0 {
        // SAFETY: there is room for an id.
        let status = unsafe { (library.get_unique_id)(&raw mut id) };
        made = library.check(status, "naming the connection"); // told when the others have been
    }
    let numbers: Vec<f64> = id.0.iter().map(|&byte| f64::from(byte)).collect();
    let all = ranks.exchange(&numbers)?;
    made?;
    Ok(UniqueId(std::array::from_fn(|i| all[0][i] as u8)))
}

/// An event behind all that a stream has been asked for.
///
/// # Safety
/// The stream is alive.
unsafe fn record(stream: sys::CUstream) -> Result<sys::CUevent> {
    let made = event::create(CUevent_flags::CU_EVENT_DISABLE_TIMING).map_err(cuda("making an event"))?;
    // SAFETY: that of the caller.
    unsafe { event::record(made, stream) }.map_err(cuda("recording an event"))?;
    Ok(made)
}

/// What the stream is asked for from now on waits for the event.
///
/// # Safety
/// Both are alive.
unsafe fn wait(stream: sys::CUstream, event: sys::CUevent) -> Result<()> {
    // SAFETY: that of the caller.
    unsafe { stream::wait_event(stream, event, CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT) }
        .map_err(cuda("ordering two streams"))
}

impl DeviceRanks for Nccl {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn start_reduce_scatter(&self, buffer: View) -> Result<Ticket> {
        let Communicator { library, handle, .. } = *self.communicator;
        // SAFETY: the buffer is as long as it says, and nobody touches it until the ticket is joined; NCCL works in place where the
        // result is this rank's part.
        self.start(buffer, "summing gradients", |all, own, count| unsafe {
            (library.reduce_scatter)(all, own, count, FLOAT32, SUM, handle, self.stream)
        })
    }

    fn start_all_gather(&self, buffer: View) -> Result<Ticket> {
        let Communicator { library, handle, .. } = *self.communicator;
        let element = match buffer.element {
            Element::Bf16 => BFLOAT16,
            Element::F32 | Element::U32 => FLOAT32, // nothing is added, only moved
        };
        // SAFETY: as above.
        self.start(buffer, "gathering weights", |all, own, count| unsafe {
            (library.all_gather)(own, all, count, element, handle, self.stream)
        })
    }

    fn join(&self, ticket: Ticket) -> Result<()> {
        self.driver.bind()?;
        let done = ticket.0 as sys::CUevent;
        // SAFETY: the ticket is that of an operation, and given back once.
        unsafe {
            let waits = wait(self.driver.stream, done);
            event::destroy(done).map_err(cuda("freeing an event"))?;
            waits
        }
    }
}

impl Communicator {
    /// Waits for all other ranks, even for one that never comes.
    fn new(library: &'static Library, id: UniqueId, shard: Shard) -> Result<Arc<Self>> {
        let mut handle: Comm = std::ptr::null_mut();
        // SAFETY: all ranks have the same id, and each gives its number once.
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

    /// What has gone wrong since the start, on this rank or at one that it talks with.
    fn trouble(&self) -> Option<String> {
        let mut status = 0;
        // SAFETY: the communicator is alive as long as this.
        let asked = unsafe { (self.library.comm_get_async_error)(self.handle, &raw mut status) };
        [asked, status]
            .into_iter()
            .find(|status| ![0, IN_PROGRESS].contains(status))
            .map(|status| self.library.text(status))
    }

    /// Ends what is under way, so that nobody waits for it any more.
    fn abort(&self) {
        // SAFETY: the communicator is alive, and `Nccl` does not give it back after this.
        unsafe { (self.library.comm_abort)(self.handle) };
    }
}

/// `ncclInProgress`.
const IN_PROGRESS: library::Status = 7;

/// Gives the connection back; where something is still under way, which others may never join, it is ended.
impl Drop for Nccl {
    fn drop(&mut self) {
        let ended = self.watch.stop();
        self.driver.trouble().take(); // it was that of this connection, and others use the GPU too
        if self.driver.bind().is_err() {
            return;
        }
        // SAFETY: all of these are ours, and nothing uses them any more.
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
