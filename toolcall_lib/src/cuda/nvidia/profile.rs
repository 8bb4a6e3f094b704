//! Profiles: the time that a GPU spends on each kernel.

use super::timer::Timed;
use super::{Nvidia, cuda, first_gpu};
use crate::error::Result;
use cudarc::driver::result::{device, event, mem_pool, stream};
use cudarc::driver::sys;
use std::collections::BTreeMap;

/// Work of a GPU during [`profile`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Times by kernel, products and copies included, the longest first.
    pub kernels: Vec<KernelTime>,
    /// Peak memory of the process on the GPU, in bytes.
    pub peak_bytes: usize,
}

/// Time of one kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// Name of the kernel.
    pub name: String,
    /// Number of runs.
    pub calls: usize,
    /// Seconds of all runs, with the gaps in which the GPU waited for the host to start it.
    pub seconds: f64,
}

/// Runs `work` and measures the time that the first GPU spends on each kernel. Measuring costs a
/// few microseconds per kernel.
///
/// # Errors
/// The errors of `work`, or there is no GPU.
pub fn profile<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Profile)> {
    let gpu = first_gpu()?;
    gpu.timer.begin();
    let done = work();
    let times = gpu.timer.end();
    gpu.bind()?;
    // SAFETY: the stream lives as long as the driver.
    unsafe { stream::synchronize(gpu.stream) }.map_err(cuda("waiting for the GPU"))?;
    let profile = Profile {
        kernels: sums(times)?,
        peak_bytes: gpu.peak_bytes()?,
    };
    done.map(|done| (done, profile))
}

/// Sums the times by name, once all events have passed, and destroys the events.
fn sums(times: Vec<Timed>) -> Result<Vec<KernelTime>> {
    let mut all = BTreeMap::<&str, (usize, f64)>::new();
    for Timed { name, start, end } in times {
        // SAFETY: both events were made for this, and this is their last use.
        let passed = unsafe {
            let passed = event::elapsed(start, end).map_err(cuda("reading a time"));
            event::destroy(start).map_err(cuda("freeing an event"))?;
            event::destroy(end).map_err(cuda("freeing an event"))?;
            passed?
        };
        let (calls, seconds) = all.entry(name).or_default();
        *calls += 1;
        *seconds += f64::from(passed) / 1e3;
    }
    let times = all.into_iter().map(|(name, (calls, seconds))| KernelTime {
        name: name.to_string(),
        calls,
        seconds,
    });
    let mut times: Vec<KernelTime> = times.collect();
    times.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    Ok(times)
}

impl Nvidia {
    /// Returns the high-water mark of the memory pool, in bytes.
    fn peak_bytes(&self) -> Result<usize> {
        let mut most = 0u64;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
        // SAFETY: the attribute is a 64-bit number.
        unsafe {
            let pool = device::get_default_mem_pool(self.device).map_err(cuda("finding the memory pool"))?;
            mem_pool::get_attribute(pool, attribute, (&raw mut most).cast())
                .map_err(cuda("asking the memory pool"))?;
        }
        Ok(most as usize)
    }
}
