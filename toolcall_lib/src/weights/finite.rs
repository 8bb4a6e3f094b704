//! Search for weights that are infinite or NaN.

use super::{Parameters, Slot, Weights};
use rayon::prelude::*;
use toolcall_macros::vectorized;

/// Elements that one thread checks at a time.
const AT_A_TIME: usize = 1 << 16;

impl Weights {
    /// Names the first element that is infinite or NaN, if there is one.
    pub(crate) fn not_finite(&self) -> Option<String> {
        match self {
            Self::Full(parameters) => parameters.not_finite(),
            Self::Frozen(frozen) => {
                let mut slots = frozen.layout.slots().iter().enumerate();
                slots.find_map(|(index, slot)| {
                    let span = slot.span(index);
                    if !slot.is_matrix() {
                        return slot.not_finite(0, self.vector(&span));
                    }
                    let (matrix, mut found) = (self.matrix(&span), None);
                    matrix.for_each_tile(|row, values| {
                        found = found
                            .take()
                            .or_else(|| slot.not_finite(row * matrix.columns(), values));
                    });
                    found
                })
            }
        }
    }
}

impl Parameters {
    /// Names the first element that is infinite or NaN, if there is one.
    pub(crate) fn not_finite(&self) -> Option<String> {
        let mut slots = self.layout.slots().iter();
        slots.find_map(|slot| slot.not_finite(0, &self.buckets[slot.bucket][slot.range()]))
    }
}

impl Slot {
    /// Names the first of `values` that is infinite or NaN; they are this tensor's elements from
    /// `start` on.
    pub(crate) fn not_finite(&self, start: usize, values: &[f32]) -> Option<String> {
        if values.par_chunks(AT_A_TIME).all(are_finite) {
            return None;
        }
        let (at, value) = (start..).zip(values).find(|(_, value)| !value.is_finite())?;
        let (row, column) = (at / self.columns(), at % self.columns());
        let place = match self.is_matrix() {
            true => format!("{row}, {column}"),
            false => column.to_string(),
        };
        Some(format!("{}[{place}] is {value}", self.name))
    }
}

#[vectorized]
fn are_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    // No early end, so that the loop vectorizes.
    values
        .iter()
        .fold(true, |all, value| all & (value.to_bits() & EXPONENT != EXPONENT))
}
