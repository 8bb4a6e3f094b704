//! LoRA: low-rank updates of the linear layers, trained while the weights of the model stay as they are.

mod adapter;
mod apply;
mod attach;
mod config;
mod dropout;
mod targets;

pub use adapter::Adapter;
#[cfg(feature = "cuda")]
pub(crate) use adapter::Place;
pub(super) use apply::{BlockAdapter, LoraScratch};
pub use config::{LoraConfig, TargetModule};
#[cfg(feature = "cuda")]
pub(crate) use dropout::Mask;
pub use dropout::Pass;
pub use targets::TargetModules;
