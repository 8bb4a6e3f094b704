//! LoRA: low-rank updates of the linear layers, trained while the weights of the model stay as they
//! are.
//!
//! [`LoraConfig`] selects layers ([`TargetModules`]) and sizes, an [`Adapter`] owns the matrices
//! `A` and `B`, and `apply` adds `scale · B · A` to the output of a projection, forward and
//! backward. Projections with the same input (q, k, v) share one product with their stacked `A`.
//! Names and files are those of PEFT, so that an adapter runs there too.

mod adapter;
mod apply;
mod config;
mod dropout;
mod targets;

pub use super::projection::TargetModule;
pub use adapter::Adapter;
#[cfg(feature = "cuda")]
pub(crate) use adapter::Place;
pub(super) use apply::{BlockAdapter, LoraScratch};
pub use config::LoraConfig;
#[cfg(feature = "cuda")]
pub(crate) use dropout::Mask;
pub use dropout::PassId;
pub use targets::TargetModules;
