//! The KV cache: keys and values of the tokens that a model has seen.
//!
//! [`KvStore`] keeps a tree of token sequences, so that shared prefixes are stored and computed
//! once. A *slot* of the cache is a row of the key and value matrices. It holds one token of one
//! node of the tree, and the slots of a node need not be neighbours. `slots` gives slots out and
//! takes them back, `tree` finds, splits and grows nodes, and `layer` holds the numbers of one
//! layer.

mod layer;
mod slots;
mod store;
#[cfg(test)]
mod tests;
mod tree;

pub(super) use layer::LayerCache;
#[cfg(feature = "cuda")]
pub(crate) use store::{CachePass, PassPart};
pub use store::{KvSequence, KvStore};
