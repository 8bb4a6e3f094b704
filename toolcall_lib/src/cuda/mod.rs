//! The engine on one NVIDIA GPU.

mod buffer;
mod driver;
#[cfg(test)]
mod emulate;
mod kernels;
