//! Matrix products on processors that multiply bf16 (AMX, AVX-512 BF16): operands that are f32 are rounded to bf16 while they
//! are packed, so that a training run keeps one copy of its weights; products are summed in f32, and the sums stored as either.
//!
//! The smaller matrix is packed first and stays packed. Of the larger one, every thread packs a group of panels at a time and
//! multiplies it with all panels of the smaller one while it is in the thread's L2 cache, so that what is packed of the larger
//! one never goes to memory. The instructions multiply pairs of the inner dimension, so panels hold pairs.

mod amx;
mod avx512;
mod few;
mod pack;
mod unpack;

use super::{Matrix, Output};
use crate::ops::element::Element;
use amx::Amx;
use avx512::Avx512;
use pack::{Panels, Right};
use rayon::prelude::*;
use std::cell::Cell;
use std::ops::Range;
use std::sync::LazyLock;

pub(super) use few::{FEW, linear_few};

/// Columns of a right panel, and of a tile of the output.
const COLUMNS: usize = 32;
/// Pairs of left panels that are multiplied with a right panel before the next one's turn: with as many of right panels beside
/// them, half of a small L2 cache.
const BLOCK_PAIRS: usize = 1 << 16;

/// A pair of bf16 that stand one behind the other in the inner dimension.
type Pair = u32;

/// What multiplies two panels.
trait Kernel {
    /// Rows of a left panel.
    const ROWS: usize;
    /// Panels hold a multiple of so many pairs.
    const PAIRS: usize;
    /// Longest cut of the inner dimension, in pairs. With a short one, sums are read and written more often; with a long one,
    /// panels leave the L1 cache.
    const MOST_PAIRS: usize;
    /// How a left panel is stored. A right panel is `[pairs, COLUMNS]`.
    type Left: pack::Layout;

    /// `out = left · right` or `out += left · right`: left panels for all rows of `out`, and one right panel.
    ///
    /// # Safety
    /// The processor has the instructions, panels hold `pairs` pairs, and `out` is memory to write.
    unsafe fn multiply<O: Element>(
        left: *const Pair,
        right: *const Pair,
        pairs: usize,
        out: Out<O>,
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
    /// Panels of the smaller matrix of a product that this thread called for. They keep their memory between products.
    static SMALLER: Cell<Panels> = Cell::default();
    /// Panels of the larger matrix that this thread works on.
    static GROUP: Cell<Panels> = Cell::default();
}

/// Some of the output: rows begin `stride` elements apart.
#[derive(Clone, Copy)]
struct Out<O> {
    start: *mut O,
    stride: usize,
    rows: usize,
    columns: usize,
    scale: f32,
}

impl<O: Element> Out<O> {
    /// The element at (`row`, `column`).
    unsafe fn at(&self, row: usize, column: usize) -> *mut O {
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
unsafe impl<O> Send for Out<O> {}
// SAFETY: as above.
unsafe impl<O> Sync for Out<O> {}

/// `out = scale · a · b` or `out += scale · a · b`; the rows of `out` begin `stride` elements apart. With packed weights as
/// `b`, it is `a · bᵀ`.
///
/// # Safety
/// The processor has the instructions, `out` has room for all rows, and the inner dimension is not 0.
#[allow(clippy::too_many_arguments)] // those of every BLAS
pub unsafe fn matmul<O: Element, A: Element>(
    instructions: Instructions,
    out: *mut O,
    stride: usize,
    mode: Output,
    scale: f32,
    a: Matrix<'_, A>,
    b: impl Right,
    parallel: bool,
) {
    let out = Out {
        start: out,
        stride,
        rows: a.rows,
        columns: b.width(),
        scale,
    };
    // SAFETY: that of this function.
    unsafe {
        match instructions {
            Instructions::Avx512 => multiply::<Avx512, _, _>(out, mode, a, b, parallel),
            Instructions::Amx => multiply::<Amx, _, _>(out, mode, a, b, parallel),
        }
    }
}

unsafe fn multiply<K: Kernel, O: Element, A: Element>(
    out: Out<O>,
    mode: Output,
    a: Matrix<'_, A>,
    b: impl Right,
    parallel: bool,
) {
    let cuts = if O::IS_BF16 {
        1 // sums must not be rounded on the way
    } else {
        a.columns.div_ceil(2 * K::MOST_PAIRS)
    };
    let cut = a.columns.div_ceil(cuts).next_multiple_of(2 * K::PAIRS);
    let mut smaller = SMALLER.take();
    for first in (0..a.columns).step_by(cut) {
        let inner = first..a.columns.min(first + cut);
        let product = Product {
            a: a.columns(first, inner.len()),
            b,
            inner,
            out,
            add: mode == Output::Add || first > 0,
            parallel,
        };
        // SAFETY: that of this function.
        unsafe { product.multiply::<K>(&mut smaller) };
    }
    SMALLER.set(smaller);
}

/// A cut of the inner dimension.
struct Product<'a, O, A, B> {
    a: Matrix<'a, A>,
    b: B,
    /// Where the cut lies.
    inner: Range<usize>,
    out: Out<O>,
    add: bool,
    parallel: bool,
}

impl<O: Element, A: Element, B: Right> Product<'_, O, A, B> {
    unsafe fn multiply<K: Kernel>(&self, smaller: &mut Panels) {
        let Self { a, b, parallel, .. } = *self;
        let pairs = a.columns.div_ceil(2).next_multiple_of(K::PAIRS);
        // SAFETY: the processor can; groups are parts of the output, each of one task.
        unsafe {
            if a.rows <= b.width() {
                smaller.pack::<K::Left, _>(a.t(), pairs, K::ROWS, parallel);
                self.for_groups(b.width(), COLUMNS, pairs, |first, count, group| {
                    b.pack(group, &self.inner, first..first + count, pairs, false);
                    let out = self.out.part(0, a.rows, first, count);
                    multiply_panels::<K, O>(smaller, group, pairs, out, self.add);
                });
            } else {
                b.pack(smaller, &self.inner, 0..b.width(), pairs, parallel);
                self.for_groups(a.rows, K::ROWS, pairs, |first, count, group| {
                    group.pack::<K::Left, _>(a.t().columns(first, count), pairs, K::ROWS, false);
                    let out = self.out.part(first, count, 0, b.width());
                    multiply_panels::<K, O>(group, smaller, pairs, out, self.add);
                });
            }
        }
    }

    /// Cuts `size` rows or columns into groups of whole panels, and does `work(first, count, buffer)` for each.
    fn for_groups(
        &self,
        size: usize,
        width: usize,
        pairs: usize,
        work: impl Fn(usize, usize, &mut Panels) + Sync,
    ) {
        // as many groups of the same size for every thread, or one of them waits
        let threads = if self.parallel {
            rayon::current_num_threads()
        } else {
            1
        };
        let panels = size.div_ceil(width);
        let groups = (panels * width * pairs).div_ceil(BLOCK_PAIRS);
        let groups = groups.next_multiple_of(threads).min(panels);
        let work = |i: usize| {
            let first = i * panels / groups * width;
            let end = ((i + 1) * panels / groups * width).min(size);
            let mut group = GROUP.take();
            work(first, end - first, &mut group);
            GROUP.set(group);
        };
        if self.parallel {
            (0..groups).into_par_iter().for_each(work);
        } else {
            (0..groups).for_each(work);
        }
    }
}

/// Panels with panels: a block of left ones with one right one after the other.
unsafe fn multiply_panels<K: Kernel, O: Element>(
    left: &Panels,
    right: &Panels,
    pairs: usize,
    out: Out<O>,
    add: bool,
) {
    let rows = (BLOCK_PAIRS / pairs / K::ROWS).max(1) * K::ROWS;
    for row in (0..out.rows).step_by(rows) {
        for column in (0..out.columns).step_by(COLUMNS) {
            // SAFETY: there are panels for every row and column of the output.
            unsafe {
                let (left, right) = (left.at(row * pairs), right.at(column * pairs));
                K::multiply(left, right, pairs, out.part(row, rows, column, COLUMNS), add);
            }
        }
    }
}
