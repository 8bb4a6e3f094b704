//! The single-turn tests of the Berkeley Function Calling Leaderboard, version 4, scored as its own
//! checker does.
//!
//! Their rows are in the Python package `bfcl-eval`, which `scripts/setup.sh bfcl` fetches. A row
//! is a request with tools and, where tools must be called, the calls that count as right: for each
//! argument a list of values, with `""` among them where the argument may be left out. [`load`]
//! reads rows, [`check`] judges the calls of a reply, and [`run`] asks a model the rows.
//!
//! The verdict is that of the leaderboard's AST checker, its gaps included. Two of them matter to a
//! reader of the scores. Where no tool fits, any reply without a readable call is right, even a
//! broken or endless one; `Verdict::finished` says whether it ended by itself. And a few rows
//! accept values that contradict the types of their own tools, or arguments that their tools do not
//! have; they are read and judged like any other.

mod category;
mod check;
mod fault;
mod files;
mod python;
mod row;
mod run;
mod tools;
mod values;

pub use category::Category;
pub use check::check;
pub use files::load;
pub use row::Row;
pub use run::{BfclScores, Verdict, run};
