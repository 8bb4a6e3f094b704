//! The KV cache: keys and values of the tokens that a model has seen.
//!
//! [`KvStore`] keeps a tree of token sequences, so that shared prefixes are stored and computed
//! once. `slots` of the cache are the rows of the key and value matrices; `rows` gives them out and
//! takes them back, `tree` finds, splits and grows nodes, and `layer` holds the numbers of one
//! layer. A slot keeps one token of one node, and the slots of a node need not be neighbours.

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
