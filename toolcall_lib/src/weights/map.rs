//! Files as memory.

use crate::error::{Error, Result};
use memmap2::Mmap;
use std::fs::File;
use std::path::Path;

/// The bytes of a file, read by the system where they are used.
pub(super) fn map(file: &Path) -> Result<Mmap> {
    let open = File::open(file).map_err(Error::io(file))?;
    // SAFETY: as with every memory map, the file must not be shortened while it is read. Everyone who writes weights
    // (we, safetensors, the hub's cache) writes a new file and renames it.
    unsafe { Mmap::map(&open) }.map_err(Error::io(file))
}
