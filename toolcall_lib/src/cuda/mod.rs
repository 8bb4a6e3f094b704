//! The engine on one NVIDIA GPU.

mod attention;
mod buffer;
mod driver;
#[cfg(test)]
mod emulate;
mod kernels;
mod nvidia;
mod ops;
mod rope;
#[cfg(test)]
mod tests;

pub use nvidia::{Gpu, gpus};
