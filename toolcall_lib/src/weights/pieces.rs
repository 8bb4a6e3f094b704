//! Pieces of parameters, to fill them in parallel.

use super::{Parameters, Slot};
use std::ops::Range;

/// Elements of a piece: few enough to keep all cores busy to the end, enough to make the work
/// dominate.
const PIECE: usize = 1 << 18;

/// Whole matrix rows of one tensor, to be written.
pub(super) struct Piece<'a> {
    /// The tensor.
    pub slot: &'a Slot,
    /// Index in the tensor of the first element of `values`.
    pub start: usize,
    /// The elements.
    pub values: &'a mut [f32],
}

impl Slot {
    /// Returns the elements of a matrix row; all elements of a vector.
    pub(super) fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Returns the elements of a piece of this tensor; the last piece may have fewer.
    pub(super) fn piece_len(&self) -> usize {
        PIECE.div_ceil(self.columns()) * self.columns()
    }

    /// Cuts the elements into pieces.
    pub(super) fn pieces(&self) -> Vec<Range<usize>> {
        let (len, piece) = (self.len(), self.piece_len());
        (0..len)
            .step_by(piece)
            .map(|start| start..len.min(start + piece))
            .collect()
    }
}

impl Parameters {
    /// Cuts all elements into pieces that can be written in parallel.
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
