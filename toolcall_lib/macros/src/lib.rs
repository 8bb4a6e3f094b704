//! Attributes of `toolcall_lib`: `#[tool]` for its users, `#[vectorized]` for its kernels.

mod doc;
mod expand;
mod message;
mod signature;
mod vectorized;

use proc_macro::TokenStream;

/// Makes a tool of a documented function: leaves it as it is, and adds
/// `fn NAME_tool() -> toolcall_lib::Tool`.
///
/// The doc comment tells the model what the function does, what each argument means and what it
/// returns. It is read like a Python docstring in Google style, so that a docstring can be pasted:
///
/// ```text
/// #[tool]
/// /// Tells the weather.
/// ///
/// /// Args:
/// ///     city: Where.
/// ///     unit: In which unit. (choices: ["celsius", "fahrenheit"])
/// ///
/// /// Returns:
/// ///     What it is like.
/// fn weather(city: &str, unit: Option<String>) -> String {
/// ```
///
/// or like a Rust doc comment, with `# Arguments`, a list of ``* `city` - Where.``, and `#
/// Returns`. `# Errors`, `# Panics`, `# Safety` and `# Examples` are for people: the model does not
/// see them.
///
/// An argument is `&str` or an owned type that implements `serde::Deserialize` and
/// `schemars::JsonSchema`; a call may leave out an `Option`. The function returns a type that
/// implements `serde::Serialize`, or a `Result` of one with an error that implements `Display`. A
/// missing description, or a description of an argument that does not exist, is a compile error. In
/// a notebook cell, put the attribute before the doc comment, as above: a doc comment at the start
/// of a cell is lost.
///
/// # Panics
/// `NAME_tool` panics if the type of an argument contains itself: its schema would have no end.
#[proc_macro_attribute]
pub fn tool(attributes: TokenStream, item: TokenStream) -> TokenStream {
    expand::tool(attributes.into(), item.into()).into()
}

/// Compiles a function of `toolcall_lib` once for each instruction set of the processor, and calls
/// the version for the one that `toolcall_lib::cpu::isa` names. Functions that it calls must be
/// `#[inline(always)]` to be compiled with it.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn vectorized(_: TokenStream, item: TokenStream) -> TokenStream {
    vectorized::vectorized(item.into()).into()
}
