//! The GPU that a process uses.

use super::Nvidia;
use crate::cuda::driver::Driver;
use crate::error::Result;
use std::sync::{Arc, Mutex, PoisonError};

/// The first GPU. All runs and replies of a process share it: to open it, and to load the kernels, takes longer than a reply.
///
/// # Errors
/// Those of [`Nvidia::open`].
pub(crate) fn first_gpu() -> Result<Arc<dyn Driver>> {
    static OPEN: Mutex<Option<Arc<Nvidia>>> = Mutex::new(None);
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let gpu = match open.take() {
        Some(gpu) => gpu,
        None => Arc::new(Nvidia::open(0)?),
    };
    *open = Some(gpu.clone());
    Ok(gpu)
}
