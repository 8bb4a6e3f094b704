//! One data set in every form that users have: how it is read, its training targets, the reports,
//! and files that cannot be read.

mod forms;
pub mod made;
#[cfg(feature = "parquet")]
pub mod parquet;
mod program;
