//! Parallel filling of parameters.

use super::{Parameters, Slot};
use std::ops::Range;

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

impl Slot {
    /// Elements of a row: of a vector, all.
    pub(super) fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Elements of a piece of this tensor; the last may have less.
    pub(super) fn piece_len(&self) -> usize {
        PIECE.div_ceil(self.columns()) * self.columns()
    }

    /// The elements, cut into pieces.
    pub(super) fn pieces(&self) -> Vec<Range<usize>> {
        let (len, piece) = (self.len(), self.piece_len());
        (0..len)
            .step_by(piece)
            .map(|start| start..len.min(start + piece))
            .collect()
    }
}

impl Parameters {
    /// All elements, cut into pieces that can be written in parallel.
    pub(super) fn pieces_mut(&mut self) -> Vec<Piece<'_>> {
        let mut rest: Vec<&mut [f32]> = self.buckets.iter_mut().map(Vec::as_mut_slice).collect();
        let mut pieces = Vec::new();
        for slot in self.layout.slots() {
            for piece in slot.pieces() {
                let (values, after) = std::mem::take(&mut rest[slot.bucket]).split_at_mut(piece.len());
                rest[slot.bucket] = after;
                let start = piece.start;
                pieces.push(Piece { slot, start, values });
            }
        }
        pieces
    }
}
