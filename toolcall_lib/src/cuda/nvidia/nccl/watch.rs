//! A thread that sees when an operation of many ranks does not end: the host would wait for it for ever.

use super::{Communicator, Nvidia};
use crate::error::{Error, Result};
use cudarc::driver::result::event;
use cudarc::driver::sys::{CUevent, CUresult};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The thread, and what it is told.
pub(super) struct Watch {
    operations: Arc<Mutex<VecDeque<Operation>>>,
    stop: Mutex<Option<Sender<()>>>,
    thread: Mutex<Option<JoinHandle<bool>>>,
}

/// What has been started, and the event behind it.
struct Operation {
    started: Instant,
    done: CUevent,
}

// SAFETY: CUDA's events may be used from any thread.
unsafe impl Send for Operation {}

impl Watch {
    /// Looks after what is started. Where one has not ended after `timeout`, or NCCL reports an error, the driver is told, and all
    /// that is under way is ended.
    pub fn start(driver: &Arc<Nvidia>, communicator: &Arc<Communicator>, timeout: Duration) -> Result<Self> {
        let (stop, stopped) = channel();
        let operations = Arc::<Mutex<VecDeque<Operation>>>::default();
        let (driver, communicator, seen) = (driver.clone(), communicator.clone(), operations.clone());
        let work = move || watch(&driver, &communicator, &seen, timeout, &stopped);
        let thread = thread::Builder::new().name("nccl".to_string()).spawn(work);
        Ok(Self {
            operations,
            stop: Mutex::new(Some(stop)),
            thread: Mutex::new(Some(thread.map_err(Error::library("starting a thread"))?)),
        })
    }

    /// One more, with an event behind it that nobody else uses.
    pub fn add(&self, done: CUevent) {
        lock(&self.operations).push_back(Operation {
            started: Instant::now(),
            done,
        });
    }

    /// Ends the thread; true unless it has ended what was under way.
    pub fn stop(&self) -> bool {
        lock(&self.stop).take();
        let thread = lock(&self.thread).take();
        thread.is_some_and(|thread| thread.join().unwrap_or(false))
    }
}

fn watch(
    driver: &Nvidia,
    communicator: &Communicator,
    operations: &Mutex<VecDeque<Operation>>,
    timeout: Duration,
    stopped: &Receiver<()>,
) -> bool {
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK_EVERY) {
        let mut open = lock(operations);
        while let Some(first) = open.front().filter(|first| ended(driver, first.done)) {
            // SAFETY: it was made for this list.
            unsafe { event::destroy(first.done) }.ok();
            open.pop_front();
        }
        let late = open.front().filter(|first| first.started.elapsed() > timeout);
        let late = late.map(|_| {
            format!(
                "what the GPUs do together has not ended after {timeout:.0?}: another rank or the network hangs, or it needs a \
                 longer ddp_timeout"
            )
        });
        if let Some(problem) = communicator.trouble().or(late) {
            driver.trouble.set(problem).ok();
            communicator.abort();
            return false;
        }
    }
    true
}

fn ended(driver: &Nvidia, done: CUevent) -> bool {
    // SAFETY: the event is alive as long as it is in the list.
    let status = driver.bind().map(|()| unsafe { event::query(done) });
    !matches!(status, Ok(Err(error)) if error.0 == CUresult::CUDA_ERROR_NOT_READY)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
