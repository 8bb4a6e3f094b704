//! The GPUs that a process uses.

use super::{Nvidia, found, gpus};
use crate::collective::Shard;
use crate::error::Result;
use std::sync::{Arc, Mutex, PoisonError};

/// The first GPU. All runs and replies of a process share it: to open it, and to load the kernels, takes longer than a reply.
///
/// # Errors
/// Those of [`Nvidia::open`].
pub(crate) fn first_gpu() -> Result<Arc<Nvidia>> {
    static OPEN: Mutex<Option<Arc<Nvidia>>> = Mutex::new(None);
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let gpu = match open.take() {
        Some(gpu) => gpu,
        None => Arc::new(Nvidia::open(0)?),
    };
    *open = Some(gpu.clone());
    Ok(gpu)
}

/// The GPU of a rank, which is this one of those of its host. What a run keeps on another than the first is free again behind it.
///
/// # Errors
/// As [`Nvidia::open`]; or the host has more ranks than GPUs.
pub(crate) fn gpu_of_rank(on_host: Shard) -> Result<Arc<Nvidia>> {
    match found::gpu_of(on_host, gpus()?.len())? {
        0 => first_gpu(),
        ordinal => Ok(Arc::new(Nvidia::open(ordinal)?)),
    }
}
