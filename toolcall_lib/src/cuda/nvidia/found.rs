//! The GPUs of this machine, and the reason why one cannot be used.

use super::cuda;
use crate::collective::Shard;
use crate::error::{Error, Result};
use cudarc::driver::result::{self, device};
use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute};
use std::fmt;

/// Oldest compute capability: bf16 on tensor cores and asynchronous copies to shared memory came
/// with it.
const OLDEST: (i32, i32) = (8, 0);

/// Advice for a missing library of CUDA.
const GET: &str = "install the CUDA tool kit 12 or 13, or `pip install nvidia-cuda-nvrtc nvidia-cublas` and put the folders \
                   of their libraries into LD_LIBRARY_PATH";

/// A GPU that CUDA sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Number of the GPU, counted from 0 in the order of `CUDA_VISIBLE_DEVICES`.
    pub ordinal: usize,
    /// Product name.
    pub name: String,
    /// Memory in bytes.
    pub memory: usize,
    /// Compute capability, such as (9, 0) for an H200.
    pub capability: (i32, i32),
}

impl Gpu {
    /// Checks that the engine can use this GPU.
    ///
    /// # Errors
    /// The GPU is too old, or a library of CUDA's tool kit is missing.
    pub fn check(&self) -> Result<()> {
        let place = format!("GPU {}", self.ordinal);
        if self.capability < OLDEST {
            let problem = format!(
                "{} has compute capability {}.{}; expected {}.{} (an A100, or newer)",
                self.name, self.capability.0, self.capability.1, OLDEST.0, OLDEST.1
            );
            return Err(Error::invalid(place, problem));
        }
        // SAFETY: these calls only look for the libraries.
        let libraries = unsafe {
            [
                ("libnvrtc", cudarc::nvrtc::sys::is_culib_present()),
                ("libcublasLt", cudarc::cublaslt::sys::is_culib_present()),
            ]
        };
        match libraries.iter().find(|(_, present)| !present) {
            Some((name, _)) => Err(Error::invalid(place, format!("{name} is not found; {GET}"))),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.capability;
        let gigabytes = self.memory as f64 / f64::from(1 << 30);
        write!(
            f,
            "{}, {gigabytes:.0} GiB, compute capability {major}.{minor}",
            self.name
        )
    }
}

/// Lists the GPUs that CUDA's driver sees, at least one.
///
/// # Errors
/// There is no GPU; the message says why.
pub fn gpus() -> Result<Vec<Gpu>> {
    let none = |problem: &str| Error::invalid("CUDA", problem);
    // SAFETY: this call only looks for the library.
    if !unsafe { sys::is_culib_present() } {
        return Err(none(
            "libcuda is not found: this machine has no NVIDIA driver, or this container was started without one",
        ));
    }
    result::init().map_err(cuda("starting the driver"))?;
    let count = device::get_count().map_err(cuda("counting the GPUs"))?;
    if count == 0 {
        return Err(none("the driver sees no GPU; is CUDA_VISIBLE_DEVICES empty?"));
    }
    (0..count).map(gpu).collect()
}

/// Returns the number of a rank's GPU among `gpus`, given its place among the ranks of its host.
pub(super) fn gpu_of(on_host: Shard, gpus: usize) -> Result<usize> {
    match on_host.rank {
        rank if rank < gpus => Ok(rank),
        _ if gpus == 1 => Ok(0), // Slurm may show each rank its own GPU only
        _ => {
            let problem = format!(
                "{} ranks are on this host, which has {gpus} GPUs; start as many as there are GPUs, or set `device` to cpu",
                on_host.size
            );
            Err(Error::invalid("device", problem))
        }
    }
}

/// Asks the driver about a GPU.
fn gpu(ordinal: i32) -> Result<Gpu> {
    let doing = || format!("asking about GPU {ordinal}");
    let handle = device::get(ordinal).map_err(cuda(doing()))?;
    // SAFETY: the driver has just returned this handle.
    let attribute = |which| unsafe { device::get_attribute(handle, which) }.map_err(cuda(doing()));
    Ok(Gpu {
        ordinal: ordinal as usize,
        name: device::get_name(handle).map_err(cuda(doing()))?,
        // SAFETY: as for `attribute`.
        memory: unsafe { device::total_mem(handle) }.map_err(cuda(doing()))?,
        capability: (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rank_of_a_host_has_its_own_gpu() {
        let of = |rank, size, gpus| gpu_of(Shard { rank, size }, gpus);
        assert_eq!(of(0, 1, 8).unwrap(), 0);
        assert_eq!(of(3, 4, 4).unwrap(), 3);
        assert_eq!(of(3, 4, 1).unwrap(), 0, "the only one that it sees");
        let problem = of(2, 4, 2).unwrap_err().to_string();
        assert!(
            problem.starts_with("device: 4 ranks are on this host, which has 2 GPUs;"),
            "{problem}"
        );
    }
}
