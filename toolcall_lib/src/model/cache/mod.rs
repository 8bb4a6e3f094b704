//! Keys and values of the tokens that a model has seen.

mod layer;
mod rows;
mod store;
#[cfg(test)]
mod tests;
mod tree;

pub(super) use layer::LayerCache;
pub use store::{KvSequence, KvStore};
#[cfg(feature = "cuda")]
pub(crate) use store::{Pass, PassPart};
