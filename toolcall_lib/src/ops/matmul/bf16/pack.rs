//! Packing: matrices as panels of pairs of bf16.
//!
//! A panel has `width` rows or columns of a matrix and a cut of the inner dimension in pairs; what
//! is missing at the ends is 0. Blocks of 16 x 16 pairs are read into 16 registers (`load`),
//! transposed if the panel is stored in the other order than the matrix, and written as cache
//! lines.

use super::super::Matrix;
use super::COLUMNS;
use super::load::{LINE, Pair, mask, read_across, read_along, transpose};
use super::unpack::unpack;
use crate::ops::element::Element;
use crate::weights::Tensor;
use rayon::prelude::*;
use std::arch::x86_64::*;
use std::cell::Cell;
use std::ops::Range;

/// One cache line of pairs, which is also the content of a vector register.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Line([Pair; LINE]);

/// Packed panels, one after the other. Their memory is aligned to cache lines and is reused.
#[derive(Debug, Default)]
pub struct Panels(Vec<Line>);

/// Storage order of the pairs of a panel.
pub trait Layout {
    /// True if pairs of the same column are neighbours; false if pairs at the same place in the
    /// inner dimension are.
    const ALONG: bool;
}

/// Storage order `[pairs, width]`.
pub struct Across;

/// Storage order `[pairs / 16, width, 16]`.
pub struct Along;

impl Layout for Across {
    const ALONG: bool = false;
}

impl Layout for Along {
    const ALONG: bool = true;
}

/// A right matrix. Its panels have [`COLUMNS`] columns and are stored [`Across`].
pub trait Right: Copy + Sync {
    /// Returns the number of columns.
    fn width(&self) -> usize;

    /// Packs `columns` of the cut `inner` of the inner dimension, as panels of `pairs` pairs.
    ///
    /// # Safety
    /// The processor has AVX-512 BF16.
    unsafe fn pack(
        self,
        panels: &mut Panels,
        inner: &Range<usize>,
        columns: Range<usize>,
        pairs: usize,
        parallel: bool,
    );
}

impl<E: Element> Right for Matrix<'_, E> {
    fn width(&self) -> usize {
        self.columns
    }

    unsafe fn pack(
        self,
        panels: &mut Panels,
        inner: &Range<usize>,
        columns: Range<usize>,
        pairs: usize,
        parallel: bool,
    ) {
        let cut = self.t().columns(inner.start, inner.len()).t();
        let part = Matrix::columns(cut, columns.start, columns.len());
        // SAFETY: the caller upholds the contract.
        unsafe { panels.pack::<Across, E>(part, pairs, COLUMNS, parallel) };
    }
}

thread_local! {
    /// Unpacked rows of weights; reused.
    static ROWS: Cell<Panels> = Cell::default();
}

/// Packed weights, transposed: each of their rows is a column of the right matrix.
impl Right for Tensor<'_> {
    fn width(&self) -> usize {
        self.rows()
    }

    unsafe fn pack(
        self,
        panels: &mut Panels,
        inner: &Range<usize>,
        columns: Range<usize>,
        pairs: usize,
        parallel: bool,
    ) {
        // Distance between unpacked rows, in pairs. It is padded so that the last cut reads whole
        // lines too.
        let stride = (inner.start / 2 + pairs.next_multiple_of(LINE))
            .max(self.columns().div_ceil(2))
            .next_multiple_of(LINE);
        let count = columns.len().div_ceil(COLUMNS);
        let packed = panels.room(count, pairs, COLUMNS);
        let work = |panel: usize| {
            let first = columns.start + panel * COLUMNS;
            let rows = first..columns.end.min(first + COLUMNS);
            let mut unpacked = ROWS.take();
            // SAFETY: the processor has the instructions, there is room, and each panel is written
            // by one task.
            unsafe {
                let room = unpacked.room(COLUMNS, stride, 1).start;
                unpack(self, rows, room.cast(), 2 * stride);
                packed.transpose_rows(unpacked.at(inner.start / 2), stride, panel);
            }
            ROWS.set(unpacked);
        };
        for_each(count, parallel, work);
    }
}

impl Panels {
    /// Makes room for `panels` panels.
    fn room(&mut self, panels: usize, pairs: usize, width: usize) -> Packed {
        let lines = (panels * pairs * width).div_ceil(LINE);
        if self.0.len() < lines {
            self.0.resize(lines, Line::default());
        }
        Packed {
            start: self.0.as_mut_ptr().cast(),
            pairs,
            width,
        }
    }

    /// Returns the address of the pair at `index`.
    pub fn at(&self, index: usize) -> *const Pair {
        self.0.as_ptr().cast::<Pair>().wrapping_add(index)
    }

    /// Packs `m`, whose rows are the inner dimension, as panels of `width` columns. Missing
    /// elements at the ends are 0.
    ///
    /// # Safety
    /// The processor has AVX-512 BF16.
    pub unsafe fn pack<L: Layout, E: Element>(
        &mut self,
        m: Matrix<'_, E>,
        pairs: usize,
        width: usize,
        parallel: bool,
    ) {
        let panels = m.columns.div_ceil(width);
        let packed = self.room(panels, pairs, width);
        // Tasks follow the order in which the matrix lies in memory: panels of contiguous columns,
        // or blocks of contiguous rows.
        let along = m.column_stride != 1;
        let work = |task: usize| {
            let (panels, blocks) = if along {
                (task..task + 1, 0..pairs.div_ceil(LINE))
            } else {
                (0..panels, task..task + 1)
            };
            for panel in panels {
                for pair in blocks.clone() {
                    // SAFETY: the caller upholds the contract; each task has its own blocks.
                    unsafe { packed.pack_block::<L, E>(m, panel, pair * LINE) };
                }
            }
        };
        let tasks = if along { panels } else { pairs.div_ceil(LINE) };
        for_each(tasks, parallel, work);
    }
}

/// Calls `work` for each task, on all threads if `parallel`.
#[inline]
pub fn for_each(tasks: usize, parallel: bool, work: impl Fn(usize) + Send + Sync) {
    if parallel {
        (0..tasks).into_par_iter().for_each(work);
    } else {
        (0..tasks).for_each(work);
    }
}

/// Panels of `width` columns to write to.
#[derive(Clone, Copy)]
struct Packed {
    start: *mut Pair,
    pairs: usize,
    width: usize,
}

// SAFETY: each task writes its own blocks.
unsafe impl Sync for Packed {}

impl Packed {
    /// Writes a panel whose columns are the given rows, `stride` pairs apart. Missing columns of
    /// the last panel have arbitrary content.
    #[target_feature(enable = "avx512f")]
    unsafe fn transpose_rows(&self, rows: *const Pair, stride: usize, panel: usize) {
        let start = self.start.wrapping_add(panel * self.pairs * self.width);
        for column in (0..self.width).step_by(LINE) {
            for pair in (0..self.pairs).step_by(LINE) {
                let mut block = [_mm512_setzero_si512(); LINE];
                for (i, line) in block.iter_mut().enumerate() {
                    // SAFETY: there are as many rows as columns, and 16 pairs of each from here on.
                    *line = unsafe { _mm512_loadu_si512(rows.add((column + i) * stride + pair).cast()) };
                }
                let lines = transpose(block).into_iter().take(self.pairs - pair);
                for (i, line) in lines.enumerate() {
                    // SAFETY: the panel has these pairs.
                    unsafe { _mm512_store_si512(start.add((pair + i) * self.width + column).cast(), line) };
                }
            }
        }
    }

    /// Packs 16 pairs of all columns of a panel, from `pair` on.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn pack_block<L: Layout, E: Element>(&self, m: Matrix<'_, E>, panel: usize, pair: usize) {
        let Self { start, pairs, width } = *self;
        let stored_along = m.column_stride != 1;
        for column in (0..width).step_by(LINE) {
            // 1. Read a block of 16 columns in the order of the matrix.
            // SAFETY: the caller upholds the contract.
            let mut block = unsafe {
                if stored_along {
                    read_along(m, panel * width + column, 2 * pair)
                } else {
                    read_across(m, panel * width + column, 2 * pair)
                }
            };
            // 2. Transpose it if the panel has the other order.
            if stored_along != L::ALONG {
                block = transpose(block);
            }
            // 3. Write its lines.
            let start = start.wrapping_add(panel * pairs * width);
            for (i, line) in block.into_iter().enumerate() {
                let (exists, lanes, at) = if L::ALONG {
                    (column + i < width, !0, pair * width + (column + i) * LINE)
                } else {
                    (
                        pair + i < pairs,
                        mask(width - column),
                        (pair + i) * width + column,
                    )
                };
                if exists {
                    // SAFETY: masked lanes are not touched, and the others lie within the panel.
                    unsafe { _mm512_mask_storeu_epi32(start.wrapping_add(at).cast(), lanes, line) };
                }
            }
        }
    }
}
