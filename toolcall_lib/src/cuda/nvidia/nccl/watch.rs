//! A thread that notices when a collective operation does not end; the host would wait for it for
//! ever.

use super::Nvidia;
use super::communicator::Communicator;
use crate::error::{Error, Result};
use cudarc::driver::result::event;
use cudarc::driver::sys::{CUevent, CUresult};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Time between two checks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Time that running operations have to end after another thread's rank has left.
const AFTER_ANOTHER_LEFT: Duration = Duration::from_secs(5);

/// Ids of the connections that a rank of this process has left. NCCL does not notify the other
/// ranks, and threads cannot be killed.
static LEFT: Mutex<Vec<[u8; 128]>> = Mutex::new(Vec::new());

/// The watching thread, and the operations that it watches.
pub(super) struct Watch {
    operations: Arc<Mutex<VecDeque<Operation>>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<Ended>>,
}

/// State of the operations when a [`Watch`] was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All operations had ended.
    All,
    /// Some operations were still running.
    NotAll,
    /// The watch had aborted them.
    Aborted,
}

/// A started operation, and the event after it.
struct Operation {
    started: Instant,
    done: CUevent,
}

// SAFETY: CUDA's events may be used from any thread.
unsafe impl Send for Operation {}

impl Watch {
    /// Watches the operations. If one has not ended after `timeout`, or NCCL reports an error, the
    /// watch notifies the driver and aborts all operations.
    pub fn start(driver: &Arc<Nvidia>, communicator: &Arc<Communicator>, timeout: Duration) -> Result<Self> {
        let (stop, stopped) = channel();
        let operations = Arc::<Mutex<VecDeque<Operation>>>::default();
        let (driver, communicator, seen) = (driver.clone(), communicator.clone(), operations.clone());
        let work = move || watch(&driver, &communicator, &seen, timeout, &stopped);
        let thread = thread::Builder::new().name("nccl".to_string()).spawn(work);
        Ok(Self {
            operations,
            stop: Some(stop),
            thread: Some(thread.map_err(Error::library("starting a thread"))?),
        })
    }

    /// Adds an operation, with an event after it that nobody else uses.
    pub fn add(&self, done: CUevent) {
        lock(&self.operations).push_back(Operation {
            started: Instant::now(),
            done,
        });
    }

    /// Stops the thread.
    pub fn stop(&mut self) -> Ended {
        self.stop.take();
        let ended = self.thread.take().and_then(|thread| thread.join().ok());
        ended.unwrap_or(Ended::NotAll)
    }
}

/// Checks the operations until it is stopped or something is wrong.
fn watch(
    driver: &Nvidia,
    communicator: &Communicator,
    operations: &Mutex<VecDeque<Operation>>,
    timeout: Duration,
    stopped: &Receiver<()>,
) -> Ended {
    loop {
        // 1. Drop the operations that have ended.
        let goes_on = matches!(stopped.recv_timeout(LOOK_EVERY), Err(RecvTimeoutError::Timeout));
        let mut open = lock(operations);
        while let Some(first) = open.front().filter(|first| ended(driver, first.done)) {
            // SAFETY: the event was made for this list.
            unsafe { event::destroy(first.done) }.ok();
            open.pop_front();
        }
        // 2. Stopped: this rank leaves the connection.
        if !goes_on {
            lock(&LEFT).push(communicator.id);
            return if open.is_empty() {
                Ended::All
            } else {
                Ended::NotAll
            };
        }
        // 3. Look for trouble: an error of NCCL, a rank of this process that has left, or a
        //    timeout.
        let waited = open
            .front()
            .map_or(Duration::ZERO, |first| first.started.elapsed());
        drop(open);
        let left = waited > AFTER_ANOTHER_LEFT && lock(&LEFT).contains(&communicator.id);
        let problem = match communicator.trouble() {
            Some(problem) => problem,
            None if left => "another rank has ended".to_string(),
            None if waited > timeout => format!(
                "the exchange between the GPUs did not end within {timeout:.0?}: another rank or the network \
                    hangs, or it needs a longer ddp_timeout"
            ),
            None => continue,
        };
        *driver.trouble() = Some(problem);
        communicator.abort();
        return Ended::Aborted;
    }
}

/// Returns true if an operation has ended.
fn ended(driver: &Nvidia, done: CUevent) -> bool {
    // SAFETY: the event is alive as long as it is in the list.
    let status = driver.bind().map(|()| unsafe { event::query(done) });
    !matches!(status, Ok(Err(error)) if error.0 == CUresult::CUDA_ERROR_NOT_READY)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
