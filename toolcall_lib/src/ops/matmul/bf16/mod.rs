//! Matrix products on processors that multiply bf16 (AMX, AVX-512 BF16).
//!
//! f32 operands are rounded to bf16 while they are packed, so a training run keeps one copy of its
//! weights. Products are summed in f32, and the sums are stored as f32 or bf16. A few rows times
//! quantized weights are products of integers ([`integer`]).
//!
//! 1. The inner dimension is cut so that the panels of a cut fit the caches.
//! 2. The smaller matrix is packed into panels, and stays packed for the whole cut.
//! 3. Every thread packs a group of panels of the larger matrix at a time, and multiplies it with
//!    all panels of the smaller one while the group is in its L2 cache. So packed data of the
//!    larger matrix never goes to memory.
//!
//! The instructions multiply pairs of the inner dimension, so panels hold pairs.

mod amx;
mod avx512;
mod few;
mod integer;
mod kernel;
mod load;
mod operand;
mod pack;
mod unpack;

use super::{Matrix, Output};
use crate::cpu::{Isa, isa};
use crate::ops::element::Element;
use amx::Amx;
use avx512::Avx512;
use kernel::{Kernel, Out};
use pack::{Panels, Right, for_each};
use std::cell::Cell;
use std::ops::Range;

pub use few::{FEW, linear_few};

/// Distance in bytes between the weights that are read and those that are prefetched.
const AHEAD: usize = 8192;
/// Columns of a right panel, and of a tile of the output.
const COLUMNS: usize = 32;
/// Pairs in a block of left panels (256 KiB). A block is multiplied with every right panel before
/// the next block. Block and right panels together fill half of an L2 cache of 1 MiB.
const BLOCK_PAIRS: usize = 1 << 16;

/// Returns the instruction set that [`matmul`] uses, or `None` if it does not multiply bf16.
pub fn instructions() -> Option<Isa> {
    Some(isa()).filter(|&isa| isa >= Isa::Avx512Bf16)
}

thread_local! {
    /// Panels of the smaller matrix of a product that this thread called for; reused between
    /// products.
    static SMALLER: Cell<Panels> = Cell::default();
    /// Panels of the larger matrix that this thread works on.
    static GROUP: Cell<Panels> = Cell::default();
}

/// Computes `out = scale · a · b` or `out += scale · a · b`; the rows of `out` begin `stride`
/// elements apart. With packed weights as `b`, computes `a · bᵀ`.
///
/// # Safety
/// The processor has the instructions, `out` has room for all rows, and the inner dimension is not
/// 0.
#[allow(clippy::too_many_arguments)] // the arguments of every BLAS
pub unsafe fn matmul<O: Element, A: Element>(
    instructions: Isa,
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
    // SAFETY: the caller upholds the contract of this function.
    unsafe {
        match instructions {
            Isa::Amx => multiply::<Amx, _, _>(out, mode, a, b, parallel),
            _ => multiply::<Avx512, _, _>(out, mode, a, b, parallel),
        }
    }
}

/// Cuts the inner dimension and multiplies the cuts one after the other.
unsafe fn multiply<K: Kernel, O: Element, A: Element>(
    out: Out<O>,
    mode: Output,
    a: Matrix<'_, A>,
    b: impl Right,
    parallel: bool,
) {
    let cuts = if O::IS_BF16 {
        1 // a bf16 output must not be rounded between cuts
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
        // SAFETY: the caller upholds the contract of this function.
        unsafe { product.multiply::<K>(&mut smaller) };
    }
    SMALLER.set(smaller);
}

/// The product of one cut of the inner dimension.
struct Product<'a, O, A, B> {
    a: Matrix<'a, A>,
    b: B,
    /// The cut's place in the inner dimension.
    inner: Range<usize>,
    out: Out<O>,
    add: bool,
    parallel: bool,
}

impl<O: Element, A: Element, B: Right> Product<'_, O, A, B> {
    /// Packs the smaller matrix, then packs and multiplies groups of the larger one.
    unsafe fn multiply<K: Kernel>(&self, smaller: &mut Panels) {
        let Self { a, b, parallel, .. } = *self;
        let pairs = a.columns.div_ceil(2).next_multiple_of(K::PAIRS);
        // SAFETY: the processor has the instructions; groups are parts of the output, each of one
        // task.
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

    /// Cuts `size` rows or columns into groups of whole panels and calls
    /// `work(first, count, buffer)` for each.
    fn for_groups(
        &self,
        size: usize,
        width: usize,
        pairs: usize,
        work: impl Fn(usize, usize, &mut Panels) + Sync,
    ) {
        // Give every thread the same number of equal groups; otherwise some threads wait.
        let threads = if self.parallel {
            rayon::current_num_threads()
        } else {
            1
        };
        // Cut into groups of about BLOCK_PAIRS pairs; their number is a multiple of the threads
        // where there are enough panels.
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
        for_each(groups, self.parallel, work);
    }
}

/// Multiplies panels with panels: a block of left panels with one right panel after the other.
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
