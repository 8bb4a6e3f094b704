//! The engine on NVIDIA GPUs, one GPU per rank: the CPU's numbers in f32, or with activations in
//! bf16.
//!
//! Kernels are CUDA C, compiled for the GPU at first use; matrix products are cuBLASLt's.
//! Everything above `Driver` also runs on the host, with emulated kernels, which is how the tests
//! work without a GPU. `DeviceDecoder` runs forward and backward passes over packed trees,
//! `DeviceOptimizer` steps AdamW, `DeviceGenerator` writes replies from a KV cache.

mod attention;
mod block;
mod buffer;
mod decoder;
mod driver;
#[cfg(test)]
pub(crate) mod emulate;
mod generation;
mod gradients;
mod kernels;
mod lora;
mod numbers;
mod nvidia;
mod ops;
mod optimizer;
pub(crate) mod ranks;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod weights;
mod workspace;

pub(crate) use decoder::DeviceDecoder;
pub(crate) use driver::Driver;
pub(crate) use generation::DeviceGenerator;
pub use nvidia::{Gpu, KernelTime, Profile, gpus, nccl_version, profile};
pub(crate) use nvidia::{Nccl, first_gpu, gpu_of_rank};
pub(crate) use optimizer::DeviceOptimizer;
pub(crate) use ranks::{Alone, DeviceRanks};
