//! Prints what a command has to say, whatever becomes of its reader.
//!
//! Models, data sets and templates of others have a say in it, so all of it is made [`printable`]
//! first.

use serde::Serialize;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use toolcall_lib::terminal::{printable, printable_json};
use toolcall_lib::{Error, Result, files, interrupt};

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

/// Prints a line to standard error, and loses it where that cannot be written.
pub fn tell(line: impl Display) {
    writeln!(io::stderr(), "{}", printable(&line.to_string())).ok();
}

/// Makes sure, before the work, that rows can be saved to a file. Its folder is made if it is not
/// there.
pub fn check_file(file: &Path) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    files::check(file)
}
