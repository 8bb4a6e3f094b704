//! Tensors in a file, as the readers of the formats hand them over.

use super::Slot;
use super::blocks::pack;
use crate::error::Result;
use candle_core::quantized::GgmlDType;
use std::ops::Range;

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
