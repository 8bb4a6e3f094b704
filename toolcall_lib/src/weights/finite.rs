//! Search for weights that are infinite or NaN, or become so in a type with fewer bits.

use super::blocks::{bytes_of, pack, unpack};
use super::stored::Stored;
use super::{Dtype, Parameters, Slot, Weights};
use crate::error::{Error, Result};
use candle_core::quantized::GgmlDType;
use rayon::prelude::*;
use std::path::Path;
use toolcall_macros::vectorized;

/// Elements that one thread checks at a time.
const AT_A_TIME: usize = 1 << 16;

impl Weights {
    /// Refuses weights with an element that is infinite or NaN: it is so in `stored`, from which
    /// they were read, or it is too large for `dtype`.
    pub(super) fn refuse_not_finite(&self, stored: &impl Stored, dtype: Dtype, place: &Path) -> Result<()> {
        let Some((slot, at)) = self.first_not_finite() else {
            return Ok(());
        };
        let row = at / slot.columns() * slot.columns();
        let mut values = vec![0.0; slot.columns()];
        stored.read(slot, row, &mut values)?;
        let problem = match slot.not_finite(row, &values) {
            Some(problem) => format!(
                "{problem}: the file is damaged, or the training that made it has failed; load another"
            ),
            None => {
                let dtype = dtype.packed(slot, stored.dtype(slot)?, self.layout().layers());
                let problem = slot.too_large_in_row(row, &values, dtype).unwrap_or_default();
                format!("{problem}; load it as f32")
            }
        };
        Err(Error::invalid(place.display(), problem))
    }

    /// Returns the first element that is infinite or NaN, by its tensor and its index there.
    fn first_not_finite(&self) -> Option<(&Slot, usize)> {
        let mut slots = self.layout().slots().iter().enumerate();
        slots.find_map(|(index, slot)| {
            let span = slot.span(index);
            let mut found = None;
            match slot.is_matrix() {
                true => {
                    let matrix = self.matrix(&span);
                    matrix.for_each_tile(|row, values| {
                        found = found.or_else(|| Some(row * matrix.columns() + first_not_finite(values)?));
                    });
                }
                false => found = first_not_finite(self.vector(&span)),
            }
            Some((slot, found?))
        })
    }
}

impl Parameters {
    /// Names the first element that is infinite or NaN, if there is one.
    pub(crate) fn not_finite(&self) -> Option<String> {
        let mut slots = self.layout.slots().iter();
        slots.find_map(|slot| slot.not_finite(0, &self.buckets[slot.bucket][slot.range()]))
    }

    /// Names the first element that is too large for `dtype`, if there is one.
    pub(crate) fn too_large(&self, dtype: GgmlDType) -> Option<String> {
        let mut slots = self.layout.slots().iter();
        slots.find_map(|slot| slot.too_large(&self.buckets[slot.bucket][slot.range()], dtype))
    }
}

impl Slot {
    /// Names the first of `values` that is infinite or NaN; they are this tensor's elements from
    /// `start` on.
    pub(crate) fn not_finite(&self, start: usize, values: &[f32]) -> Option<String> {
        let at = first_not_finite(values)?;
        Some(format!("{} is {}", self.place(start + at), values[at]))
    }

    /// Names the first of this tensor's elements, `values`, that is too large for `dtype`.
    pub(super) fn too_large(&self, values: &[f32], dtype: GgmlDType) -> Option<String> {
        let rows = values.par_chunks(self.columns()).enumerate();
        rows.find_map_first(|(row, values)| self.too_large_in_row(row * self.columns(), values, dtype))
    }

    /// Names an element of a row, which begins at element `start`, that is too large for `dtype`.
    fn too_large_in_row(&self, start: usize, values: &[f32], dtype: GgmlDType) -> Option<String> {
        let mut bytes = vec![0; bytes_of(values.len(), dtype)];
        let at = pack_and_check(values, dtype, &mut bytes)?;
        // The largest element of a block sets the scale of all.
        let size = dtype.block_size();
        let block = at / size * size..at / size * size + size;
        let largest = block.max_by(|a, b| values[*a].abs().total_cmp(&values[*b].abs()))?;
        let (place, value) = (self.place(start + largest), values[largest]);
        let name = format!("{dtype:?}").to_lowercase();
        Some(format!("{place} is {value:e}, which is too large for {name}"))
    }

    /// Names an element, as in `model.norm.weight[7]`.
    fn place(&self, at: usize) -> String {
        let (row, column) = (at / self.columns(), at % self.columns());
        match self.is_matrix() {
            true => format!("{}[{row}, {column}]", self.name),
            false => format!("{}[{column}]", self.name),
        }
    }
}

/// Packs whole blocks into `bytes`, which they fill; returns the first element that became infinite
/// or NaN.
pub(super) fn pack_and_check(values: &[f32], dtype: GgmlDType, bytes: &mut [u8]) -> Option<usize> {
    pack(values, dtype, bytes);
    let mut unpacked = vec![0.0; values.len()];
    unpack(dtype, bytes, &mut unpacked);
    first_not_finite(&unpacked)
}

fn first_not_finite(values: &[f32]) -> Option<usize> {
    if values.par_chunks(AT_A_TIME).all(are_finite) {
        return None;
    }
    values.iter().position(|value| !value.is_finite())
}

#[vectorized]
fn are_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    // No early end, so that the loop vectorizes.
    values
        .iter()
        .fold(true, |all, value| all & (value.to_bits() & EXPONENT != EXPONENT))
}
