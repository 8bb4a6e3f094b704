//! The simple kernels, with the shapes that they take. Rows are of a multiple of four elements.
//!
//! Here are products and what goes through memory element by element; files below are named as those of the kernels.

mod copy;
mod cross_entropy;
mod dropout;
mod embedding;
mod norm;
mod rope;
mod swiglu;

pub(super) use cross_entropy::RowTargets;
pub(super) use dropout::Dropout;
pub(super) use embedding::Places;
pub(super) use rope::{HeadNorms, SplitHeads};

use super::buffer::{Argument, DeviceBuffer, View};
use super::driver::{Driver, Element, Gemm, Operand, Rounding};
use crate::error::Result;
use crate::optimizer::Update;
use std::sync::Arc;

/// Blocks that share out the rows where each leaves a partial sum.
const SHARES: usize = 256;
/// Blocks of the kernels that go through flat memory.
const FLAT_BLOCKS: usize = 1024;
/// Threads of a block.
pub(super) const THREADS: usize = 256;
/// Room for the partial sums of squares of a bucket, which are f64, in f32 elements.
pub(crate) const SQUARES_OF_A_BUCKET: usize = 2 * FLAT_BLOCKS;

/// What runs kernels, and of what type activations are.
#[derive(Debug)]
pub(crate) struct Device {
    pub driver: Arc<dyn Driver>,
    pub element: Element,
    /// Partial sums, `[SHARES, widest]`.
    partial: DeviceBuffer,
}

impl Device {
    /// For rows of at most `widest` elements where sums over rows are made.
    pub fn new(driver: Arc<dyn Driver>, element: Element, widest: usize) -> Result<Self> {
        Ok(Self {
            partial: DeviceBuffer::new(&driver, Element::F32, SHARES * widest)?,
            driver,
            element,
        })
    }

    /// Of two kernels, that for the activations.
    pub(super) fn either(&self, f32: &'static str, bf16: &'static str) -> &'static str {
        match self.element {
            Element::Bf16 => bf16,
            _ => f32,
        }
    }

    pub(super) fn run<const N: usize>(
        &self,
        kernel: &'static str,
        blocks: usize,
        shared: usize,
        args: [Argument; N],
    ) -> Result<()> {
        self.driver.run(kernel, [blocks, 1, 1], THREADS, shared, args)
    }

    /// `d (+)= a · b` where `d` is `[m, n]` and the sum has `k` terms.
    pub fn gemm(&self, a: Operand, b: Operand, d: Operand, sizes: [usize; 3], adds: bool) -> Result<()> {
        self.scaled_gemm(1.0, a, b, d, sizes, adds)
    }

    /// `d (+)= alpha · a · b`.
    pub fn scaled_gemm(
        &self,
        alpha: f32,
        a: Operand,
        b: Operand,
        d: Operand,
        [m, n, k]: [usize; 3],
        adds: bool,
    ) -> Result<()> {
        if m == 0 || n == 0 || (k == 0 && adds) {
            return Ok(()); // cuBLASLt takes no empty matrices
        }
        let beta = if adds { 1.0 } else { 0.0 };
        self.driver.gemm(&Gemm {
            m,
            n,
            k,
            alpha,
            beta,
            a,
            b,
            d,
        })
    }

    /// A copy of f32 elements as bf16.
    pub fn round(&self, x: View, y: View, rounding: Rounding) -> Result<()> {
        let blocks = x.len.div_ceil(THREADS).min(FLAT_BLOCKS);
        let args = [x.into(), y.into(), x.len.into(), rounding.into()];
        self.run("round_to_bf16", blocks, 0, args)
    }

    /// `y += x`, f32.
    pub fn add(&self, x: View, y: View) -> Result<()> {
        let blocks = x.len.div_ceil(THREADS).min(FLAT_BLOCKS);
        self.run("add", blocks, 0, [x.into(), y.into(), x.len.into()])
    }

    /// Partial sums of the squares of all elements; each bucket has [`SQUARES_OF_A_BUCKET`] places, of which a small one leaves the
    /// last as they are: zeros.
    pub fn sum_squares(&self, buckets: &[View], squares: View) -> Result<()> {
        for (i, bucket) in buckets.iter().enumerate() {
            let place = squares.slice(SQUARES_OF_A_BUCKET * i..SQUARES_OF_A_BUCKET * (i + 1));
            let args = [(*bucket).into(), bucket.len.into(), place.into()];
            let blocks = bucket.len.div_ceil(THREADS).min(FLAT_BLOCKS);
            self.run("sum_of_squares", blocks, 0, args)?;
        }
        Ok(())
    }

    /// From the squares of all gradients, which are sums over `tokens`: `out` becomes what they are to be multiplied with, so that the
    /// norm of the mean is `most` at most (0: no limit), and that norm. Not a number where it is not finite.
    pub fn clip(&self, squares: View, tokens: f32, most: f32, out: View) -> Result<()> {
        let args = [
            squares.into(),
            ((squares.len / 2) as u32).into(),
            tokens.into(),
            most.into(),
            out.into(),
        ];
        self.run("clip", 1, 0, args)
    }

    /// AdamW of a run of weights with its gradients and moments; `scale` is what [`Device::clip`] made.
    pub fn adamw(
        &self,
        [w, g, m, v]: [View; 4],
        (rounded, rounding): (View, Rounding),
        update: &Update,
        scale: View,
    ) -> Result<()> {
        let args = [
            w.into(),
            g.into(),
            m.into(),
            v.into(),
            rounded.into(),
            rounding.into(),
            w.len.into(),
            update.beta1.into(),
            update.beta2.into(),
            update.eps.into(),
            update.step_size.into(),
            update.root_correction.into(),
            update.keep.into(),
            scale.into(),
        ];
        self.run("adamw", w.len.div_ceil(THREADS).min(FLAT_BLOCKS), 0, args)
    }
}

#[cfg(test)]
mod tests;
