//! The innermost loop of a product, and the tile of the output that it writes.

use super::load::Pair;
use super::pack::Layout;
use crate::ops::element::Element;

/// A kernel that multiplies two panels.
pub(super) trait Kernel {
    /// Rows of a left panel.
    const ROWS: usize;
    /// Panels hold a multiple of this number of pairs.
    const PAIRS: usize;
    /// Longest cut of the inner dimension, in pairs. With shorter cuts, sums are read and written
    /// more often; with longer ones, panels leave the L1 cache.
    const MOST_PAIRS: usize;
    /// Storage order of a left panel. A right panel is `[pairs, COLUMNS]`.
    type Left: Layout;

    /// Computes `out = left · right` or `out += left · right`, for left panels with all rows of
    /// `out` and one right panel.
    ///
    /// # Safety
    /// The processor has the instructions, panels hold `pairs` pairs, and `out` is memory to write
    /// to.
    unsafe fn multiply<O: Element>(
        left: *const Pair,
        right: *const Pair,
        pairs: usize,
        out: Out<O>,
        add: bool,
    );
}

/// A part of the output. Rows begin `stride` elements apart, and sums are multiplied by `scale`.
#[derive(Clone, Copy)]
pub(super) struct Out<O> {
    pub(super) start: *mut O,
    pub(super) stride: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) scale: f32,
}

impl<O: Element> Out<O> {
    /// Returns the address of the element at (`row`, `column`).
    pub(super) unsafe fn at(&self, row: usize, column: usize) -> *mut O {
        // SAFETY: the caller stays within the output.
        unsafe { self.start.add(row * self.stride + column) }
    }

    /// Returns the part from (`row`, `column`) on, with at most `rows` rows and `columns` columns.
    pub(super) unsafe fn part(&self, row: usize, rows: usize, column: usize, columns: usize) -> Self {
        Self {
            // SAFETY: the caller stays within the output.
            start: unsafe { self.at(row, column) },
            rows: rows.min(self.rows - row),
            columns: columns.min(self.columns - column),
            ..*self
        }
    }
}

// SAFETY: each task writes to its own part.
unsafe impl<O> Send for Out<O> {}

// SAFETY: see above.
unsafe impl<O> Sync for Out<O> {}
