//! Named weights, and their sources: safetensors, GGUF, the hub.
//!
//! [`read()`] turns a [`ModelSource`] into a [`RawModel`]. [`Weights`] are either [`Parameters`],
//! f32 in one flat buffer per bucket, which can be trained, or [`Frozen`], packed matrices that are
//! only read. A [`Layout`] says which tensor lies where; every reader and writer, the optimizer and
//! the collective operations go by it.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod bf12;
mod blocks;
mod dtype;
mod ends;
mod finite;
mod fit;
mod frozen;
mod layout;
mod memory;
mod packed;
mod pieces;
mod random;
mod rest;
mod tensor;
pub mod safetensors;
pub mod gguf;
mod folder;
mod held;
pub mod hub;
mod parameters;
mod raw;
mod source;
mod stored;

#[cfg(target_arch = "x86_64")]
pub(crate) use blocks::unpack;
pub use dtype::Dtype;
pub use folder::TextFiles;
pub use frozen::Frozen;
pub use held::Weights;
pub use layout::{Layout, Slot, Span};
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) use packed::Packed;
#[cfg(target_arch = "x86_64")]
pub(crate) use packed::{Form, Part};
pub use parameters::{Parameters, zero_buckets};
pub use raw::RawModel;
pub use source::{ModelSource, read, read_as};
pub use tensor::Tensor;
#[cfg(test)]
pub(crate) use {memory::guarded, tensor::packed_for_test};
