//! An NVIDIA GPU: CUDA's driver, its compiler NVRTC and cuBLASLt, all loaded at run time, so that
//! one binary also runs on machines without them.

mod blas;
mod compile;
mod errors;
mod found;
mod nccl;
mod profile;
mod shared;
mod timer;

pub use found::{Gpu, gpus};
pub(crate) use nccl::Nccl;
pub use nccl::nccl_version;
pub use profile::{KernelTime, Profile, profile};
pub(crate) use shared::{first_gpu, gpu_of_rank};

use super::driver::{Driver, Element, Gemm};
use super::kernels;
use crate::error::{Error, Result};
use crate::mutex::locked;
use blas::Blas;
use cudarc::driver::result::{
    self, DriverError, ctx, device, free_async, launch_kernel, malloc_async, mem_pool, memcpy_dtoh_async,
    memcpy_htod_async, memset_d8_async, module, stream,
};
use cudarc::driver::sys;
use errors::cuda;
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::fmt;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard};
use timer::Timer;

/// A GPU with one stream; everything happens in the order of the stream.
pub(crate) struct Nvidia {
    gpu: Gpu,
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
    modules: Vec<sys::CUmodule>,
    kernels: HashMap<&'static str, sys::CUfunction>,
    /// Largest dynamic shared memory that each kernel has been allowed so far.
    shared: Mutex<HashMap<&'static str, u32>>,
    blas: Mutex<Blas>,
    timer: Timer,
    /// Reason why the GPU's results are not to be used: it waited for other ranks in vain.
    trouble: Mutex<Option<String>>,
}

// SAFETY: CUDA's handles may be used from any thread whose current context is theirs; every call
// here makes it current.
unsafe impl Send for Nvidia {}
// SAFETY: as above; CUDA locks its shared state, and ours is behind mutexes.
unsafe impl Sync for Nvidia {}

impl Nvidia {
    /// Opens the GPU `ordinal`, counted from 0, and compiles the kernels for it unless they are on
    /// disk.
    ///
    /// # Errors
    /// There is no such GPU, it is too old, or a library is missing; the message says which one and
    /// where to get it.
    pub fn open(ordinal: usize) -> Result<Self> {
        // 1. Find the GPU and check it.
        let gpus = gpus()?;
        let count = gpus.len();
        let gpu = gpus.into_iter().nth(ordinal).ok_or_else(|| {
            Error::invalid(
                format!("GPU {ordinal}"),
                format!("there are only {count} GPUs, counted from 0"),
            )
        })?;
        gpu.check()?;
        // 2. Context, stream and matrix products.
        let handle = device::get(ordinal as i32).map_err(cuda("finding the GPU"))?;
        // SAFETY: the device exists; the context is released when the driver is dropped.
        let context = unsafe { device_context(handle) }?;
        let stream = stream::create(stream::StreamKind::NonBlocking).map_err(cuda("making a stream"))?;
        let mut driver = Self {
            blas: Mutex::new(Blas::new(stream)?),
            gpu,
            device: handle,
            context,
            stream,
            modules: Vec::new(),
            kernels: HashMap::new(),
            shared: Mutex::default(),
            timer: Timer::default(),
            trouble: Mutex::default(),
        };
        // 3. Memory pool and kernels.
        driver.keep_freed_memory()?;
        driver.load_kernels()?;
        Ok(driver)
    }

    /// Makes the memory pool keep freed memory. By default it returns memory to the system whenever
    /// the host waits.
    fn keep_freed_memory(&self) -> Result<()> {
        let mut threshold = u64::MAX;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        // SAFETY: the attribute is a 64-bit number.
        unsafe {
            let pool = device::get_default_mem_pool(self.device).map_err(cuda("finding the memory pool"))?;
            mem_pool::set_attribute(pool, attribute, (&raw mut threshold).cast())
                .map_err(cuda("setting up the memory pool"))
        }
    }

    /// Lets connected GPUs read and write this one's memory. Among the threads of a process NCCL
    /// copies directly from GPU to GPU, and memory from a pool is not accessible to others by
    /// default.
    fn share_memory(&self) -> Result<()> {
        for other in 0..device::get_count().map_err(cuda("counting the GPUs"))? {
            let location = sys::CUmemLocation {
                type_: sys::CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE,
                id: device::get(other).map_err(cuda("finding a GPU"))?,
            };
            let access = sys::CUmemAccessDesc {
                location,
                flags: sys::CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
            };
            let mut connected = 0;
            // SAFETY: both devices exist, and `connected` may be written to.
            unsafe {
                let asked = sys::cuDeviceCanAccessPeer(&raw mut connected, location.id, self.device);
                asked.result().map_err(cuda("asking how GPUs are connected"))?;
                if connected != 0 {
                    let pool = device::get_default_mem_pool(self.device);
                    let pool = pool.map_err(cuda("finding the memory pool"))?;
                    let shared = sys::cuMemPoolSetAccess(pool, &raw const access, 1);
                    shared.result().map_err(cuda("sharing memory with another GPU"))?;
                }
            }
        }
        Ok(())
    }

    /// Loads all kernels, compiled for this GPU.
    fn load_kernels(&mut self) -> Result<()> {
        for kernels in kernels::MODULES {
            let cubin = compile::cubin(kernels, self.gpu.capability)?;
            let doing = || format!("loading the kernels of {}", kernels.name);
            // SAFETY: NVRTC made this cubin for this GPU.
            let module = unsafe { module::load_data(cubin.as_ptr().cast()) }.map_err(cuda(doing()))?;
            self.modules.push(module);
            for kernel in kernels.names() {
                let name = CString::new(kernel).map_err(Error::library(doing()))?;
                // SAFETY: the module lives as long as the driver.
                let function = unsafe { module::get_function(module, name) }.map_err(cuda(kernel))?;
                self.kernels.insert(kernel, function);
            }
        }
        Ok(())
    }

    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        locked(&self.trouble)
    }

    /// Returns an error if the GPU has waited for other ranks in vain.
    fn check_trouble(&self) -> Result<()> {
        match &*self.trouble() {
            Some(problem) => Err(Error::invalid("NCCL", problem)),
            None => Ok(()),
        }
    }

    /// Makes the GPU's context current in this thread.
    fn bind(&self) -> Result<()> {
        // SAFETY: the context lives as long as the driver.
        unsafe { ctx::set_current(self.context) }.map_err(cuda("using the GPU"))
    }

    /// Allows a kernel to use `shared` bytes of dynamic shared memory.
    fn allow_shared(&self, kernel: &'static str, function: sys::CUfunction, shared: u32) -> Result<()> {
        let mut allowed = self
            .shared
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let most = allowed.entry(kernel).or_default();
        if shared > *most {
            // Below 48 KiB too, because the kernel's static shared memory counts as well.
            let attribute = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function lives as long as the driver.
            unsafe { result::function::set_function_attribute(function, attribute, shared as i32) }.map_err(
                cuda(format!("asking for {shared} bytes of shared memory for {kernel}")),
            )?;
            *most = shared;
        }
        Ok(())
    }
}

/// Makes the primary context of a device current in this thread.
///
/// # Safety
/// The device exists.
unsafe fn device_context(device: sys::CUdevice) -> Result<sys::CUcontext> {
    // SAFETY: the caller keeps the contract.
    unsafe {
        let context = result::primary_ctx::retain(device).map_err(cuda("using the GPU"))?;
        ctx::set_current(context).map_err(cuda("using the GPU"))?;
        Ok(context)
    }
}

impl Driver for Nvidia {
    fn alloc(&self, bytes: usize) -> Result<u64> {
        self.bind()?;
        // SAFETY: the stream lives as long as the driver.
        unsafe { malloc_async(self.stream, bytes) }.map_err(cuda(format!("allocating {bytes} bytes")))
    }

    fn free(&self, address: u64) {
        if self.bind().is_ok() {
            // SAFETY: the address comes from `alloc`. A failure here follows one that was reported
            // before.
            unsafe { free_async(address, self.stream) }.ok();
        }
    }

    fn alloc_host(&self, bytes: usize) -> Result<NonNull<u8>> {
        self.bind()?;
        let doing = || cuda(format!("allocating {bytes} bytes of the host"));
        // SAFETY: a context is current.
        let memory = unsafe { result::malloc_host(bytes, 0) }.map_err(doing())?;
        NonNull::new(memory.cast())
            .ok_or_else(|| doing()(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)))
    }

    fn free_host(&self, memory: NonNull<u8>, _: usize) {
        if self.bind().is_ok() {
            // SAFETY: the memory comes from `alloc_host`. A failure here follows one that was
            // reported before.
            unsafe { result::free_host(memory.as_ptr().cast()) }.ok();
        }
    }

    fn upload(&self, to: u64, from: &[u8]) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller names memory of that size. CUDA reads pageable memory before this
        // returns.
        let copy = || unsafe { memcpy_htod_async(to, from, self.stream) }.map_err(cuda("copying to the GPU"));
        self.timer.time("copy to the GPU", self.stream, copy)
    }

    fn download(&self, from: u64, to: &mut [u8]) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller names memory of that size, and `to` is borrowed until the copy is
        // done.
        let copy =
            || unsafe { memcpy_dtoh_async(to, from, self.stream) }.map_err(cuda("copying from the GPU"));
        self.timer.time("copy from the GPU", self.stream, copy)?;
        // SAFETY: the stream lives as long as the driver.
        unsafe { stream::synchronize(self.stream) }.map_err(cuda("waiting for the GPU"))?;
        self.check_trouble()
    }

    fn zero(&self, at: u64, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: the caller names memory of that size.
        let clear = || unsafe { memset_d8_async(at, 0, bytes, self.stream) }.map_err(cuda("clearing memory"));
        self.timer.time("clear memory", self.stream, clear)
    }

    fn launch(
        &self,
        kernel: &'static str,
        grid: [u32; 3],
        block: [u32; 3],
        shared: u32,
        args: &mut [*mut c_void],
    ) -> Result<()> {
        self.bind()?;
        let missing = || Error::invalid("CUDA", format!("there is no kernel {kernel}"));
        let function = *self.kernels.get(kernel).ok_or_else(missing)?;
        self.allow_shared(kernel, function, shared)?;
        let start = || {
            // SAFETY: the engine passes each kernel its own arguments; the tests of the kernels
            // check that.
            unsafe { launch_kernel(function, grid.into(), block.into(), shared, self.stream, args) }
                .map_err(|error| cuda(format!("starting {kernel}"))(error))
        };
        self.timer.time(kernel, self.stream, start)
    }

    fn gemm(&self, gemm: &Gemm) -> Result<()> {
        self.bind()?;
        let mut blas = self.blas.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let name = match (gemm.a.element, gemm.d.element) {
            (Element::Bf16, Element::Bf16) => "product of bf16 in bf16",
            (Element::Bf16, _) => "product of bf16 in f32",
            _ => "product of f32",
        };
        self.timer.time(name, self.stream, || blas.gemm(gemm))
    }
}

impl Drop for Nvidia {
    fn drop(&mut self) {
        if self.bind().is_err() {
            return;
        }
        // SAFETY: this driver owns all of these, and nothing runs once the stream has been waited
        // for. The end of the process frees whatever fails here.
        unsafe {
            stream::synchronize(self.stream).ok();
            if let Ok(blas) = self.blas.get_mut() {
                blas.close();
            }
            for loaded in self.modules.drain(..) {
                module::unload(loaded).ok();
            }
            stream::destroy(self.stream).ok();
            result::primary_ctx::release(self.device).ok();
        }
    }
}

impl fmt::Debug for Nvidia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nvidia({})", self.gpu)
    }
}

#[cfg(test)]
mod tests;
