//! Writes everything that is saved. A file or a model appears complete or not at all, even if the
//! process is killed, the power is cut or the disk is full meanwhile.
//!
//! - A single file (`replace`) is written beside its place, then renamed.
//! - The files of a model ([`Output::save`]) are drafted in the folder `.saving` of the output
//!   folder, then moved out of it. If that is cut short, the next process that opens or reads the
//!   folder moves the others.
//! - A folder in an output folder ([`Output::save_folder`]) is drafted in `.saving` too, then
//!   renamed, or exchanged for the one that has its name.
//!
//! Bytes and names are on the disk (`fsync`) before anything old is removed. Only files that we
//! wrote, and that nobody has changed since, are replaced: `toolcall.json` lists them with their
//! checksums ([`Manifest`]).

mod checksum;
mod draft;
mod finish;
mod lock;
mod manifest;
pub mod names;
mod output;
mod replace;
mod sync;

pub(crate) use checksum::{hex, sha256_of, sha256_of_all, sha256_of_file};
pub use draft::{Draft, NewFile};
pub use finish::recover;
use manifest::YIELDING;
pub use manifest::{Entry, Manifest};
pub use output::Output;
pub use replace::{check, replace, write};

use std::path::{Path, PathBuf};

/// The folder in an output folder where drafts are made. It is there while a run has the folder,
/// and after a crash.
const WORK: &str = ".saving";
/// A draft that is not complete.
const PARTIAL: &str = "partial";
/// A complete draft whose files are being moved into place.
const READY: &str = "ready";
/// Folders that were moved out of the way, where folders cannot be exchanged at once.
const OLD: &str = "old";
/// Something that is being removed.
const TRASH: &str = "trash";

fn work(folder: &Path) -> PathBuf {
    folder.join(WORK)
}
