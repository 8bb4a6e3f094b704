//! GPUs that parts of a process share.

use super::{Nvidia, found, gpus};
use crate::collective::Shard;
use crate::error::Result;
use crate::mutex::locked;
use std::sync::{Arc, Mutex};

/// Returns the first GPU. All runs and replies of a process share it, because opening it and
/// loading the kernels takes longer than a reply.
///
/// # Errors
/// The same as [`Nvidia::open`].
pub(crate) fn first_gpu() -> Result<Arc<Nvidia>> {
    static OPEN: Mutex<Option<Arc<Nvidia>>> = Mutex::new(None);
    let mut open = locked(&OPEN);
    let gpu = match open.take() {
        Some(gpu) => gpu,
        None => Arc::new(Nvidia::open(0)?),
    };
    *open = Some(gpu.clone());
    Ok(gpu)
}

/// Returns the GPU of a rank, given its place among the ranks of its host. Memory that a run keeps
/// on another GPU than the first is freed with the run.
///
/// # Errors
/// The same as [`Nvidia::open`]; or the host has more ranks than GPUs.
pub(crate) fn gpu_of_rank(on_host: Shard) -> Result<Arc<Nvidia>> {
    match found::gpu_of(on_host, gpus()?.len())? {
        0 => first_gpu(),
        ordinal => Ok(Arc::new(Nvidia::open(ordinal)?)),
    }
}
