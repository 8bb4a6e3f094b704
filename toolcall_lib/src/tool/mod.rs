//! A documented Rust function becomes a tool: a JSON schema for the model, and a function its calls
//! can run.
//!
//! [`#[tool]`](macro@crate::tool) leaves the function as it is and adds `NAME_tool()`. The schema
//! equals what `transformers.utils.get_json_schema` gives for the same function in Python.
//!
//! ```
//! use serde_json::{Value, json};
//! use toolcall_lib::{Tool, ToolCall, tool};
//!
//! #[tool]
//! /// Starts a timer for the specified duration in seconds.
//! ///
//! /// Args:
//! ///     duration: Duration in seconds to set the timer for.
//! ///
//! /// Returns:
//! ///     The duration set for the timer.
//! fn start_timer(duration: i64) -> i64 {
//!     duration
//! }
//!
//! let timer: Tool = start_timer_tool();
//! let duration: &Value = &timer.schema.parameters()["properties"]["duration"];
//! assert_eq!(
//!     duration.to_string(),
//!     r#"{"type":"integer","description":"Duration in seconds to set the timer for."}"#,
//! );
//!
//! let call: ToolCall = ToolCall::new("start_timer", json!({"duration": 300}))?;
//! assert_eq!(timer.call(&call)?, json!(300));
//!
//! let wrong: ToolCall = ToolCall::new("start_timer", json!({"duration": "5 minutes"}))?;
//! assert_eq!(
//!     timer.call(&wrong).unwrap_err().to_string(),
//!     r#"call of `start_timer`: argument `duration`: expected integer, got string "5 minutes""#,
//! );
//! # Ok::<(), toolcall_lib::Error>(())
//! ```
//!
//! Arguments that belong together can be a struct: see [`Tool::from_struct`].

mod call;
mod check;
#[doc(hidden)]
pub mod expansion;
mod file;
pub(crate) mod flat;
mod hint;
mod plain;
pub(crate) mod read;
mod schema;
mod shape;

pub use call::{Tool, ToolCall, answer};
pub(crate) use check::{Checker, Failures, validator};
pub use file::load_tools;
pub(crate) use file::read_tools;
pub(crate) use plain::{json_type, place_of};
pub use schema::ToolSchema;
pub(crate) use schema::{PARAMETERS, doubled, is_tool};
