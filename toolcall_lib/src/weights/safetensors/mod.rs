//! Weights in a Hugging Face folder: `model.safetensors`, or shards with
//! `model.safetensors.index.json`.

mod files;
mod read;
mod write;

pub(super) use files::{missing_weights, shards};
pub use read::{read, read_file};
pub use write::save;
pub(crate) use write::{write, write_buckets};
