//! Memory-mapped files.

use crate::error::{Error, Result};
use memmap2::Mmap;
use std::fs::File;
use std::path::Path;

/// Maps a file into memory; the system reads its bytes when they are used.
pub(super) fn map(file: &Path) -> Result<Mmap> {
    let open = File::open(file).map_err(Error::io(file))?;
    // SAFETY: as with every memory map, the file must not shrink while it is read. Everyone who
    // writes weights (this crate, safetensors, the hub's cache) writes a new file and renames it.
    unsafe { Mmap::map(&open) }.map_err(Error::io(file))
}
