//! The engine on one NVIDIA GPU.

mod buffer;
mod driver;
