//! Matrix products on processors that multiply bf16 (AMX, AVX-512 BF16): operands are rounded to bf16 while they are packed,
//! products are summed in f32, and the output is f32. Nothing is stored as bf16, so a training run keeps one copy of its
//! weights.
//!
//! The blocking is the usual one (Goto and van de Geijn, 2008): panels of some rows of the left matrix and of some columns
//! of the right one, cut along the inner dimension so that a panel of the right matrix stays in the L1 cache and a block of
//! left panels in the L2 cache. The instructions multiply pairs of the inner dimension, so panels hold pairs.

mod amx;
mod avx512;
mod pack;

use super::{Matrix, Output};
use amx::Amx;
use avx512::Avx512;
use pack::{Across, Panels};
use rayon::prelude::*;
use std::cell::Cell;
use std::sync::LazyLock;

/// Columns of a right panel, and of a tile of the output.
const COLUMNS: usize = 32;
/// Columns whose packed panels exist at a time.
const MOST_COLUMNS: usize = 4096;

/// A pair of bf16 that stand one behind the other in the inner dimension.
type Pair = u32;

/// What multiplies two panels.
trait Kernel {
    /// Rows of a left panel.
    const ROWS: usize;
    /// Panels hold a multiple of so many pairs.
    const PAIRS: usize;
    /// Longest cut of the inner dimension, in pairs.
    const MOST_PAIRS: usize;
    /// Most rows of a block.
    const MOST_ROWS: usize;
    /// How a left panel is stored. A right panel is `[pairs, COLUMNS]`.
    type Left: pack::Layout;

    /// `count` rows of panels of `out`: all left panels, `ROWS · pairs` apart, with one right panel, from the pair where
    /// the pointers stand.
    ///
    /// # Safety
    /// The processor has the instructions, the panels hold `count` pairs from there, and `out` is memory to write.
    unsafe fn multiply(
        left: *const Pair,
        right: *const Pair,
        pairs: usize,
        count: usize,
        out: Out,
        add: bool,
    );
}

/// The fastest kernel that the processor has; the larger the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Instructions {
    /// Dot products of pairs in vectors.
    Avx512,
    /// Products of whole tiles.
    Amx,
}

static INSTRUCTIONS: LazyLock<Option<Instructions>> = LazyLock::new(|| match avx512::is_available() {
    true if amx::is_available() => Some(Instructions::Amx),
    true => Some(Instructions::Avx512),
    false => None,
});

/// What [`matmul`] can run on here.
pub fn instructions() -> Option<Instructions> {
    *INSTRUCTIONS
}

thread_local! {
    /// Packed panels; they keep their memory between products.
    static PACKED: Cell<(Panels, Panels)> = Cell::default();
}

/// Some of the output: rows begin `stride` elements apart.
#[derive(Clone, Copy)]
struct Out {
    start: *mut f32,
    stride: usize,
    rows: usize,
    columns: usize,
    scale: f32,
}

impl Out {
    /// The element at (`row`, `column`).
    unsafe fn at(&self, row: usize, column: usize) -> *mut f32 {
        // SAFETY: the caller stays within the output.
        unsafe { self.start.add(row * self.stride + column) }
    }

    /// At most `rows` rows and `columns` columns from (`row`, `column`).
    unsafe fn part(&self, row: usize, rows: usize, column: usize, columns: usize) -> Self {
        Self {
            // SAFETY: the caller stays within the output.
            start: unsafe { self.at(row, column) },
            rows: rows.min(self.rows - row),
            columns: columns.min(self.columns - column),
            ..*self
        }
    }
}

// SAFETY: tasks write to rows of their own.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

/// `out = scale · a · b` or `out += scale · a · b`; the rows of `out` begin `stride` elements apart.
///
/// # Safety
/// The processor has the instructions, `out` has room for all rows, and the inner dimension is not 0.
#[allow(clippy::too_many_arguments)] // those of every BLAS
pub unsafe fn matmul(
    instructions: Instructions,
    out: *mut f32,
    stride: usize,
    mode: Output,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    parallel: bool,
) {
    let out = Out {
        start: out,
        stride,
        rows: a.rows,
        columns: b.columns,
        scale,
    };
    // SAFETY: that of this function.
    unsafe {
        match instructions {
            Instructions::Avx512 => multiply::<Avx512>(out, mode, a, b, parallel),
            Instructions::Amx => multiply::<Amx>(out, mode, a, b, parallel),
        }
    }
}

unsafe fn multiply<K: Kernel>(out: Out, mode: Output, a: Matrix<'_>, b: Matrix<'_>, parallel: bool) {
    let pairs = a.columns.div_ceil(2).next_multiple_of(K::PAIRS);
    let (mut left, mut right) = PACKED.take();
    // SAFETY: the processor can.
    unsafe { left.pack::<K::Left>(a.t(), pairs, K::ROWS, parallel) };
    // as many blocks of the same size for every thread, or one of them waits
    let panels = out.rows.div_ceil(K::ROWS);
    let threads = if parallel { rayon::current_num_threads() } else { 1 };
    let blocks = out
        .rows
        .div_ceil(K::MOST_ROWS)
        .next_multiple_of(threads)
        .min(panels);
    for first in (0..out.columns).step_by(MOST_COLUMNS) {
        let columns = MOST_COLUMNS.min(out.columns - first);
        // SAFETY: as above.
        unsafe { right.pack::<Across>(b.columns(first, columns), pairs, COLUMNS, parallel) };
        let work = |i: usize| {
            let (start, end) = (i * panels / blocks, (i + 1) * panels / blocks);
            // SAFETY: the block lies within the output, and all panels are packed.
            unsafe {
                let block = out.part(start * K::ROWS, (end - start) * K::ROWS, first, columns);
                multiply_block::<K>(left.at(start * K::ROWS * pairs), right.at(0), pairs, block, mode);
            }
        };
        if parallel {
            (0..blocks).into_par_iter().for_each(work);
        } else {
            (0..blocks).for_each(work);
        }
    }
    PACKED.set((left, right));
}

/// A block of left panels with all right panels.
unsafe fn multiply_block<K: Kernel>(
    left: *const Pair,
    right: *const Pair,
    pairs: usize,
    out: Out,
    mode: Output,
) {
    let cuts = pairs.div_ceil(K::MOST_PAIRS);
    let cut = pairs.div_ceil(cuts).next_multiple_of(K::PAIRS);
    for first in (0..pairs).step_by(cut) {
        let count = cut.min(pairs - first);
        let add = mode == Output::Add || first > 0;
        for column in (0..out.columns).step_by(COLUMNS) {
            // SAFETY: panels hold `pairs` pairs, and the part lies within the output.
            unsafe {
                let (left, right) = (
                    left.add(first * K::ROWS),
                    right.add(column * pairs + first * COLUMNS),
                );
                let part = out.part(0, out.rows, column, COLUMNS);
                K::multiply(left, right, pairs, count, part, add);
            }
        }
    }
}
