//! Prints the output of a command, even if its reader goes away.
//!
//! The output may quote foreign models, data sets and templates, so all of it is made [`printable`]
//! first.

use serde::Serialize;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use toolcall_lib::terminal::{printable, printable_json};
use toolcall_lib::{Error, Result, interrupt};

/// Prints a line that is the answer to a command.
///
/// # Errors
/// It cannot be written: the disk under standard output is full.
pub fn print(line: impl Display) -> Result<()> {
    writeln!(io::stdout(), "{}", printable(&line.to_string())).map_err(Error::io("standard output"))
}

/// Prints the answer to a command as one line of JSON.
///
/// # Errors
/// The same as [`print()`].
pub fn print_json(content: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(content).map_err(Error::library("writing JSON"))?;
    writeln!(io::stdout(), "{}", printable_json(&text)).map_err(Error::io("standard output"))
}

/// Prints a line of a run. A reader that has gone away (`| head`) ends the run as Ctrl-C does; a
/// line that cannot be written for another reason is lost, and the run goes on.
pub fn print_in_run(line: impl Display) {
    match writeln!(io::stdout(), "{}", printable(&line.to_string())) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => interrupt::request(),
        _ => {}
    }
}

/// Prints a note to standard error.
pub fn note(text: impl Display) {
    tell(format!("note: {text}"));
}

/// Prints a line to standard error. A line that cannot be written is lost.
pub fn tell(line: impl Display) {
    writeln!(io::stderr(), "{}", printable(&line.to_string())).ok();
}
