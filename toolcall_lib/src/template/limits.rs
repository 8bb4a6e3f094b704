//! What a chat template may use of the machine: it is a program, and whoever made the model wrote it.
//!
//! minijinja counts instructions and bytes ("fuel") and limits its recursion. Here is what it does not count: methods of strings,
//! and printing lists that contain the same list again and again. What slips through still meets the limits of
//! [`guard::bounded`](crate::guard::bounded).

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State};
use std::fmt::{self, Write};

/// Bytes of a template; published ones have up to 30,000.
pub(super) const LONGEST_SOURCE: usize = 128 << 10;
/// Bytes of a text that a template writes.
pub(super) const LONGEST_TEXT: usize = 32 << 20;
/// An instruction costs one, and so do 64 bytes. A prompt of 200,000 bytes in 500 messages takes some 50,000.
const FUEL: u64 = 4_000_000;
/// Bytes that one unit of fuel pays for.
const BYTES_PER_FUEL: usize = 64;
/// Bytes of memory for a part of a text that was split, beside its own.
const PART: usize = 48;

/// Sets all limits.
pub(super) fn limit(environment: &mut Environment<'_>) {
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(print);
    environment.set_unknown_method_callback(method);
}

/// For `map_err`: something is larger than a template may make it.
pub(super) fn too_large(what: &str) -> Error {
    Error::new(ErrorKind::OutOfFuel, format!("{what} is too long"))
}

/// Pays for `bytes`.
pub(super) fn pay(state: &State<'_, '_>, bytes: usize) -> Result<(), Error> {
    state.consume_fuel((bytes / BYTES_PER_FUEL) as u64)
}

/// Prints a value; of lists and maps as much as a text may hold.
fn print(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if matches!(
        value.kind(),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable
    ) {
        let mut text = Limited::default();
        write!(text, "{value}").map_err(|_| too_large("a list or map as text"))?;
        return out.write_str(&text.0).map_err(Error::from);
    }
    minijinja::escape_formatter(out, state, value)
}

/// A text that takes no more than a template may write.
#[derive(Default)]
pub(super) struct Limited(pub String);

impl fmt::Write for Limited {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > LONGEST_TEXT {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// Python's methods, paid for before they are called.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        pay(state, cost(text, name, arguments)?)?;
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
}

/// Bytes that a method of a string reads and makes.
fn cost(text: &str, name: &str, arguments: &[Value]) -> Result<usize, Error> {
    let argument = |i: usize| arguments.get(i).and_then(Value::as_str).unwrap_or_default();
    let made = match name {
        "replace" => text
            .matches(argument(0))
            .count()
            .saturating_mul(argument(1).len()),
        "split" | "rsplit" => text.matches(argument(0)).count().saturating_mul(PART),
        "splitlines" => text.matches('\n').count().saturating_mul(PART),
        "join" => joined(text, arguments.first())?,
        _ => 0,
    };
    Ok(text.len().saturating_add(made))
}

/// Bytes of the values of a list with `text` between them.
fn joined(text: &str, values: Option<&Value>) -> Result<usize, Error> {
    let mut len = 0_usize;
    for value in values
        .and_then(|values| values.try_iter().ok())
        .into_iter()
        .flatten()
    {
        let own = match value.as_str() {
            Some(text) => text.len(),
            None => {
                let mut text = Limited::default();
                write!(text, "{value}").map_err(|_| too_large("a list or map as text"))?;
                text.0.len()
            }
        };
        len = len.saturating_add(own).saturating_add(text.len());
        if len > LONGEST_TEXT {
            return Err(too_large("what is joined"));
        }
    }
    Ok(len)
}
