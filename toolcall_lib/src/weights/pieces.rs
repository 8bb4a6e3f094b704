//! Parallel filling of parameters.

use super::{Parameters, Slot};

/// Elements of a piece: small enough that all cores are busy to the end, large enough that the work dominates.
const PIECE: usize = 1 << 18;

/// A run of whole rows of one tensor, to be written.
pub(super) struct Piece<'a> {
    /// The tensor.
    pub slot: &'a Slot,
    /// The first of its elements that is in `values`.
    pub start: usize,
    /// The elements.
    pub values: &'a mut [f32],
}

impl Parameters {
    /// All elements, cut into pieces that can be written in parallel.
    pub(super) fn pieces_mut(&mut self) -> Vec<Piece<'_>> {
        let mut rest: Vec<&mut [f32]> = self.buckets.iter_mut().map(Vec::as_mut_slice).collect();
        let mut pieces = Vec::new();
        for slot in self.layout.slots() {
            let (mut values, after) = std::mem::take(&mut rest[slot.bucket]).split_at_mut(slot.len());
            rest[slot.bucket] = after;
            let row = slot.shape.last().copied().unwrap_or(1);
            let mut start = 0;
            while !values.is_empty() {
                let size = (PIECE.div_ceil(row) * row).min(values.len());
                let (piece, others) = values.split_at_mut(size);
                pieces.push(Piece {
                    slot,
                    start,
                    values: piece,
                });
                values = others;
                start += size;
            }
        }
        pieces
    }
}
