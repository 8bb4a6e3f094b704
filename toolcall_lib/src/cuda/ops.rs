//! Launches of the simple kernels, with the shapes that they take. The length of a row is a
//! multiple of four elements.
//!
//! A launch only queues work; it fails if the driver refuses it.
//!
//! This file has matrix products and element-wise kernels; each file below belongs to the kernel
//! source of the same name.

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

/// Blocks among which rows are divided when each block leaves a partial sum.
const SHARES: usize = 256;
/// Most blocks of an element-wise kernel.
const FLAT_BLOCKS: usize = 1024;
/// Threads of a block.
pub(super) const THREADS: usize = 256;
/// Partial sums of squares of one bucket: f64 numbers, counted in f32 elements.
pub(crate) const SQUARES_OF_A_BUCKET: usize = 2 * FLAT_BLOCKS;

/// The driver that runs kernels, and the type of activations.
#[derive(Debug)]
pub(crate) struct Device {
    pub driver: Arc<dyn Driver>,
    pub element: Element,
    /// Partial sums over rows, `[SHARES, widest]`.
    partial: DeviceBuffer,
}

impl Device {
    /// Makes a device for sums over rows of at most `widest` elements.
    pub fn new(driver: Arc<dyn Driver>, element: Element, widest: usize) -> Result<Self> {
        Ok(Self {
            partial: DeviceBuffer::new(&driver, Element::F32, SHARES * widest)?,
            driver,
            element,
        })
    }

    /// Returns the name of the kernel for the type of the activations.
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

    /// Computes `d (+)= a · b`, with `d` `[m, n]` and `sizes` `[m, n, k]`. Adds to `d` if `adds`.
    pub fn gemm(&self, a: Operand, b: Operand, d: Operand, sizes: [usize; 3], adds: bool) -> Result<()> {
        self.scaled_gemm(1.0, a, b, d, sizes, adds)
    }

    /// Computes `d (+)= alpha · a · b`.
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

    /// Copies f32 elements to bf16.
    pub fn round(&self, x: View, y: View, rounding: Rounding) -> Result<()> {
        let blocks = flat_blocks(x.len);
        let args = [x.into(), y.into(), x.len.into(), rounding.into()];
        self.run("round_to_bf16", blocks, 0, args)
    }

    /// Computes `y += x` in f32.
    pub fn add(&self, x: View, y: View) -> Result<()> {
        add(&*self.driver, x, y)
    }

    /// Sums the squares of each bucket into partial sums. Each bucket has [`SQUARES_OF_A_BUCKET`]
    /// elements in `squares`; a small bucket leaves its last ones as they are, zero.
    pub fn sum_squares(&self, buckets: &[View], squares: View) -> Result<()> {
        for (i, bucket) in buckets.iter().enumerate() {
            let place = squares.slice(SQUARES_OF_A_BUCKET * i..SQUARES_OF_A_BUCKET * (i + 1));
            let args = [(*bucket).into(), bucket.len.into(), place.into()];
            let blocks = flat_blocks(bucket.len);
            self.run("sum_of_squares", blocks, 0, args)?;
        }
        Ok(())
    }

    /// Computes the clipping of gradients that are sums over `tokens` tokens. `out[0]` becomes the
    /// factor for the gradients that limits the norm of their mean to `most` (0 is no limit),
    /// `out[1]` the norm before clipping. The factor is NaN if the norm is not finite.
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

    /// Steps AdamW over a run of weights `w` with gradients `g` and moments `m` and `v`. `scale[0]`
    /// is the factor of [`Device::clip`]; `rounded` receives the bf16 copy of the weights.
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
        self.run("adamw", flat_blocks(w.len), 0, args)
    }
}

/// Returns the number of blocks of an element-wise kernel.
fn flat_blocks(len: usize) -> usize {
    len.div_ceil(THREADS).min(FLAT_BLOCKS)
}

/// Computes `y += x` in f32.
pub(super) fn add(driver: &(dyn Driver + 'static), x: View, y: View) -> Result<()> {
    let blocks = flat_blocks(x.len);
    driver.run(
        "add",
        [blocks, 1, 1],
        THREADS,
        0,
        [x.into(), y.into(), x.len.into()],
    )
}

#[cfg(test)]
mod tests;
