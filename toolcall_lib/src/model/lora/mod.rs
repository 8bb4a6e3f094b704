//! LoRA: low-rank updates of the linear layers, trained while the weights of the model stay as they are.

mod adapter;
mod apply;
mod attach;
mod config;
mod dropout;

pub use adapter::Adapter;
pub(super) use apply::{BlockAdapter, LoraScratch};
pub use config::{LoraConfig, TargetModule};
pub use dropout::Pass;
