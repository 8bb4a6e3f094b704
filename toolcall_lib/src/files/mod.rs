//! All that is written to disk. It appears complete or not at all, whatever happens meanwhile: a kill, a power cut, a full disk.
//!
//! | what | how it appears |
//! |---|---|
//! | a file ([`replace`]) | it is written beside its place, then renamed |
//! | the files of a model in an [`Output`] folder ([`Output::save`]) | they are drafted in `.saving`, then moved; what a crash has left half moved is moved by whoever opens or reads the folder next |
//! | a folder in an [`Output`] folder ([`Output::save_folder`]) | it is drafted in `.saving`, then renamed, or exchanged for the one that is there |
//!
//! Bytes and names are on the disk (`fsync`) before anything old goes. Only files that we wrote, and that nobody has changed since, are
//! replaced: `toolcall.json` lists them with their checksums ([`Manifest`]).

mod draft;
mod finish;
mod lock;
mod manifest;
mod output;
mod replace;
mod sync;

pub use draft::{Draft, NewFile};
pub use finish::recover;
pub use manifest::{Entry, Manifest};
pub use output::Output;
pub use replace::{check, replace, write};

use std::path::{Path, PathBuf};

/// The folder in an output folder where drafts are made. It is there while a run has the folder, and after a crash.
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
