//! One data set in every form in which people have it: what is read, what is trained on, what is
//! told, and what cannot be read.

mod forms;
pub mod made;
#[cfg(feature = "parquet")]
pub mod parquet;
mod program;
