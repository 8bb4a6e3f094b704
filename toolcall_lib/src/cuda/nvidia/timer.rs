//! Events before and after each kernel, while a profile is being taken.

use super::cuda;
use crate::error::Result;
use crate::mutex::locked;
use cudarc::driver::result::event;
use cudarc::driver::sys::{CUevent, CUevent_flags, CUstream};
use std::sync::{Mutex, MutexGuard};

/// Events before and after one run of a kernel.
pub(super) struct Timed {
    pub(super) name: &'static str,
    pub(super) start: CUevent,
    pub(super) end: CUevent,
}

// SAFETY: CUDA's events may be used from any thread.
unsafe impl Send for Timed {}

/// Collects events while a profile is being taken.
#[derive(Default)]
pub(super) struct Timer(Mutex<Option<Vec<Timed>>>);

impl Timer {
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Vec<Timed>>> {
        locked(&self.0)
    }

    pub(super) fn begin(&self) {
        *self.lock() = Some(Vec::new());
    }

    pub(super) fn end(&self) -> Vec<Timed> {
        self.lock().take().unwrap_or_default()
    }

    /// Runs `work` on a stream, between two events if a profile is being taken.
    pub fn time(
        &self,
        name: &'static str,
        stream: CUstream,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        if self.lock().is_none() {
            return work();
        }
        // SAFETY: the driver's stream is alive.
        let event = || unsafe { record(stream, CUevent_flags::CU_EVENT_DEFAULT) };
        let start = event()?;
        work()?;
        let end = event()?;
        if let Some(times) = &mut *self.lock() {
            times.push(Timed { name, start, end });
        }
        Ok(())
    }
}

/// Records a new event after everything asked of a stream so far.
///
/// # Safety
/// The stream is alive.
pub(super) unsafe fn record(stream: CUstream, flags: CUevent_flags) -> Result<CUevent> {
    let made = event::create(flags).map_err(cuda("making an event"))?;
    // SAFETY: the caller keeps the contract.
    unsafe { event::record(made, stream) }.map_err(cuda("recording an event"))?;
    Ok(made)
}
