//! The AMX kernel: tiles of 32 x 32 sums in four of the eight tile registers.
//!
//! Each register holds 16 x 16 sums; `tdpbf16ps` multiplies two registers of pairs. The
//! instructions are written as assembly, because Rust has no stable names for them yet.

use super::COLUMNS;
use super::avx512::store_row;
use super::kernel::{Kernel, Out};
use super::load::Pair;
use super::pack::Along;
use crate::ops::element::Element;
use std::arch::asm;
use std::arch::x86_64::*;

/// Rows of a tile of the output: those of two tile registers.
const ROWS: usize = 32;

/// Pairs in a row of a tile register.
const PAIRS: usize = 16;

/// The kernel for AMX with bf16.
pub struct Amx;

/// The operand of `ldtilecfg`: the shapes of the tile registers.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_of_row: [u16; 16],
    rows: [u8; 16],
}

/// The configuration of all eight registers: 16 rows of 64 bytes each.
static SHAPES: Shapes = Shapes {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes_of_row: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// A buffer for the sums of a tile at the edge of the output, or of one that is scaled or stored as
/// bf16.
#[repr(C, align(64))]
struct Sums([f32; ROWS * COLUMNS]);

impl Kernel for Amx {
    const ROWS: usize = ROWS;
    const PAIRS: usize = PAIRS;
    const MOST_PAIRS: usize = 576;
    type Left = Along;

    unsafe fn multiply<O: Element>(
        left: *const Pair,
        right: *const Pair,
        pairs: usize,
        out: Out<O>,
        add: bool,
    ) {
        // SAFETY: the caller upholds the contract. Previous content of the tile registers is not
        // needed.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly));
            for row in (0..out.rows).step_by(ROWS) {
                let left = left.add(row * pairs);
                let out = out.part(row, ROWS, 0, COLUMNS);
                // Whole f32 tiles go to the output directly; others by way of a buffer.
                fetch(out);
                if (out.rows, out.columns, out.scale) == (ROWS, COLUMNS, 1.0) && !O::IS_BF16 {
                    multiply_tile(left, right, pairs, out.start.cast(), out.stride, add);
                } else {
                    let mut sums = Sums([0.0; ROWS * COLUMNS]);
                    multiply_tile(left, right, pairs, sums.0.as_mut_ptr(), COLUMNS, false);
                    store(&sums, out, add);
                }
            }
            asm!("tilerelease", options(nostack, nomem));
        }
    }
}

/// Prefetches the cache lines of a tile, so that they have arrived when its sums are written.
unsafe fn fetch<O: Element>(out: Out<O>) {
    for row in 0..out.rows {
        // SAFETY: `prefetchw` changes no memory, and any address is allowed.
        unsafe {
            let at = out.at(row, 0);
            asm!("prefetchw [{at}]", at = in(reg) at, options(nostack, preserves_flags));
            if !O::IS_BF16 {
                asm!("prefetchw [{at} + 64]", at = in(reg) at, options(nostack, preserves_flags));
            }
        }
    }
}

/// Writes or adds the sums that belong to the output.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn store<O: Element>(sums: &Sums, out: Out<O>, add: bool) {
    for (row, sums) in sums.0.chunks_exact(COLUMNS).enumerate().take(out.rows) {
        // SAFETY: each row of sums has two vectors, and each row is one of the output.
        unsafe {
            let at = sums.as_ptr();
            store_row(out, row, [_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(16))], add);
        }
    }
}

/// Computes `out = left · right` or `out += left · right` of one whole tile, whose rows begin
/// `stride` elements apart.
unsafe fn multiply_tile(
    left: *const Pair,
    right: *const Pair,
    pairs: usize,
    out: *mut f32,
    stride: usize,
    add: bool,
) {
    // SAFETY: panels hold `pairs` pairs, a multiple of 16, and the tile lies within the output.
    unsafe {
        let below = out.add(16 * stride);
        // 1. tmm0 to tmm3 are the four quarters of the tile: previous sums, or zeros.
        if add {
            asm!(
                "tileloadd tmm0, [{out} + {stride}]",
                "tileloadd tmm1, [{out} + {stride} + 64]",
                "tileloadd tmm2, [{below} + {stride}]",
                "tileloadd tmm3, [{below} + {stride} + 64]",
                out = in(reg) out, below = in(reg) below, stride = in(reg) 4 * stride,
                options(nostack, readonly),
            );
        } else {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, nomem)
            );
        }
        // 2. For each 16 pairs: tmm4, tmm5 = left (upper, lower 16 rows), tmm6, tmm7 = right
        //    (first, second 16 columns); four products. After the loop, store the sums.
        asm!(
            "2:",
            "tileloadd tmm4, [{left} + {left_row}]",
            "tileloadd tmm6, [{right} + {right_row}]",
            "tileloadd tmm7, [{right} + {right_row} + 64]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{left} + {left_row} + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {left}, 2048",
            "add {right}, 2048",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{out} + {stride}], tmm0",
            "tilestored [{out} + {stride} + 64], tmm1",
            "tilestored [{below} + {stride}], tmm2",
            "tilestored [{below} + {stride} + 64], tmm3",
            left = inout(reg) left => _, right = inout(reg) right => _, steps = inout(reg) pairs / PAIRS => _,
            left_row = in(reg) 64usize, right_row = in(reg) 128usize,
            out = in(reg) out, below = in(reg) below, stride = in(reg) 4 * stride,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
