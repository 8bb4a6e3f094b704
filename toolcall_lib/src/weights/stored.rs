//! Files of weights in memory, and their tensors as the readers of the formats hand them over.

use super::Slot;
use super::blocks::pack;
use crate::error::{Error, Result};
use candle_core::quantized::GgmlDType;
use memmap2::Mmap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

/// Tensors in a file.
pub(super) trait Stored: Sync {
    /// Returns the type in which a tensor is stored.
    fn dtype(&self, slot: &Slot) -> Result<GgmlDType>;

    /// Reads whole matrix rows of a tensor, from element `start` on, as f32.
    fn read(&self, slot: &Slot, start: usize, values: &mut [f32]) -> Result<()>;

    /// Reads whole matrix rows of a tensor and packs them as `dtype` into `bytes`.
    fn pack(&self, slot: &Slot, elements: Range<usize>, dtype: GgmlDType, bytes: &mut [u8]) -> Result<()> {
        let mut values = vec![0.0; elements.len()];
        self.read(slot, elements.start, &mut values)?;
        pack(&values, dtype, bytes);
        Ok(())
    }
}

/// Maps a file into memory; the system reads its bytes when they are used.
pub(super) fn map(file: &Path) -> Result<Mmap> {
    let open = File::open(file).map_err(Error::io(file))?;
    // SAFETY: as with every memory map, the file must not shrink while it is read. Everyone who
    // writes weights (this crate, safetensors, the hub's cache) writes a new file and renames it.
    unsafe { Mmap::map(&open) }.map_err(Error::io(file))
}
