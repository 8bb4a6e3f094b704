//! Attention on the device, over a packed tree and over a KV cache.
//!
//! Queries, keys and values are `[rows, heads, dim]` with any stride between rows: parts of the
//! joint projection, or of a cache.

mod decode;
#[cfg(test)]
mod tests;
mod tiles;

pub(crate) use decode::{DecodeScratch, VisibleRanges};
pub(crate) use tiles::Tiles;

use super::buffer::{Scratch, View};
use super::driver::{Driver, Element};
use crate::error::Result;
use crate::ops::rope::Heads;
use std::sync::Arc;

/// Rows of a tile, the same as in the kernels.
const TILE: usize = 64;
/// Rows of a block that joins the runs of a key tile, the same as in the kernel.
const JOINED: usize = 8;

/// Queries, keys and values of one layer, f32 or bf16.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Qkv {
    /// Each view begins with the first head of the first row.
    pub q: View,
    pub k: View,
    pub v: View,
    /// Elements from one row of queries to the next, a multiple of eight.
    pub q_stride: usize,
    /// Elements from one row of keys, and of values, to the next.
    pub kv_stride: usize,
    pub heads: Heads,
}

impl Qkv {
    /// Returns the parts of joint projections, `[rows, (queries + 2 · keys) · dim]`.
    pub fn joint(projected: View, heads: Heads) -> Self {
        let [q, k, v] = parts(projected, heads);
        let stride = heads.all() * heads.dim;
        Self {
            q,
            k,
            v,
            q_stride: stride,
            kv_stride: stride,
            heads,
        }
    }

    /// Returns the queries of joint projections, and the keys and values of a cache,
    /// `[slots, 2 · keys · dim]`.
    pub fn cached(projected: View, cache: View, heads: Heads) -> Self {
        let width = heads.keys * heads.dim;
        Self {
            k: cache,
            v: cache.slice(width.min(cache.len)..cache.len),
            kv_stride: 2 * width,
            ..Self::joint(projected, heads)
        }
    }

    fn group(&self) -> u32 {
        (self.heads.queries / self.heads.keys) as u32
    }

    fn scale(&self) -> f32 {
        1.0 / (self.heads.dim as f32).sqrt()
    }

    /// Chooses among the kernels for f32 with heads of 64 and 128, then for bf16. `DeviceDecoder`
    /// refuses other heads.
    fn kernel(&self, names: [&'static str; 4]) -> &'static str {
        let first = if self.q.element == Element::Bf16 { 2 } else { 0 };
        names[first + usize::from(self.heads.dim > 64)]
    }
}

/// Splits joint projections into Q, K and V: views that begin with the first row's part.
fn parts(joint: View, heads: Heads) -> [View; 3] {
    let from = |head: usize| joint.slice((head * heads.dim).min(joint.len)..joint.len);
    [from(0), from(heads.queries), from(heads.queries + heads.keys)]
}

/// Output of [`attention`], and the gradient of that output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionOutput {
    /// Output, `[rows, query heads · dim]`.
    pub out: View,
    /// Log-sum-exp of the scores, `[rows, query heads]`, f32.
    pub lse: View,
    /// Gradient of the output, `[rows, query heads · dim]`.
    pub dout: View,
    /// Memory for `Σ dout · out`, `[rows, query heads]`, f32.
    pub delta: View,
}

/// Returns the bytes of `rows` rows of bf16 tiles, each padded by 16 bytes.
fn bf16_rows(rows: usize, dim: usize) -> usize {
    rows * (dim + 8) * 2
}

/// Returns the bytes of `rows` rows of f32 tiles, and of `weights` tiles of softmax weights.
fn f32_rows(rows: usize, dim: usize, weights: usize) -> usize {
    (rows * (dim + 1) + weights * TILE * 17) * 4
}

/// Computes softmax attention. `out` is `[rows, query heads · dim]`, `lse` the log-sum-exp of the
/// scores, `[rows, query heads]`, f32.
pub(crate) fn attention(
    driver: &Arc<dyn Driver>,
    qkv: &Qkv,
    tiles: &Tiles<View>,
    out: View,
    lse: View,
) -> Result<()> {
    let kernel = qkv.kernel([
        "attention_forward_f32_64",
        "attention_forward_f32_128",
        "attention_forward_bf16_64",
        "attention_forward_bf16_128",
    ]);
    let dim = qkv.heads.dim;
    // Shared memory: two key and two value tiles in bf16; queries, keys, values and weights in f32.
    let (threads, shared) = match qkv.q.element {
        Element::Bf16 => (128, bf16_rows(4 * TILE, dim)),
        _ => (256, f32_rows(TILE + 32, dim, 1)),
    };
    let grid = [qkv.heads.queries, tiles.rows.div_ceil(TILE), 1];
    let [at, places] = tiles.cached.unwrap_or([View::EMPTY; 2]);
    let args = [
        qkv.q.into(),
        qkv.q_stride.into(),
        qkv.k.into(),
        qkv.v.into(),
        qkv.kv_stride.into(),
        out.into(),
        lse.into(),
        tiles.ends.into(),
        tiles.of_queries.first.into(),
        tiles.of_queries.tiles.into(),
        (tiles.rows as u32).into(),
        (tiles.key_rows as u32).into(),
        at.into(),
        places.into(),
        qkv.group().into(),
        qkv.scale().into(),
    ];
    driver.run(kernel, grid, threads, shared, args)
}

/// Computes the gradients of [`attention`] over a tree with respect to the joint projections, in
/// their layout; overwrites `gradients`. Query heads that share a key head are summed in a fixed
/// order, in f32; `partial` is memory for parts of these sums.
pub(crate) fn attention_backward(
    driver: &Arc<dyn Driver>,
    projected: View,
    heads: Heads,
    tiles: &Tiles<View>,
    output: AttentionOutput,
    gradients: View,
    partial: &mut Scratch,
) -> Result<()> {
    let qkv = Qkv::joint(projected, heads);
    let [dq, dk, dv] = parts(gradients, heads);
    // 1. delta = Σ dout · out.
    row_products(driver, output, tiles.rows * heads.queries, heads.dim)?;
    let of_queries = qkv.kernel([
        "attention_backward_queries_f32_64",
        "attention_backward_queries_f32_128",
        "attention_backward_queries_bf16_64",
        "attention_backward_queries_bf16_128",
    ]);
    let of_keys = qkv.kernel([
        "attention_backward_keys_f32_64",
        "attention_backward_keys_f32_128",
        "attention_backward_keys_bf16_64",
        "attention_backward_keys_bf16_128",
    ]);
    // 2. Shared memory of the two kernels.
    let (threads, shared_queries, shared_keys) = match projected.element {
        Element::Bf16 => {
            let stages = if heads.dim > 64 { 1 } else { 2 };
            let of_rows = stages * 2 * TILE * 4; // lse and delta
            let tiles = bf16_rows((2 + 2 * stages) * TILE, heads.dim);
            (128, bf16_rows(4 * TILE, heads.dim), tiles + of_rows)
        }
        _ => {
            let rows = 2 * TILE + 32;
            (256, f32_rows(rows, heads.dim, 1), f32_rows(rows, heads.dim, 2))
        }
    };
    let count = tiles.rows.div_ceil(TILE);
    // Arguments that the kernels of steps 3 to 5 begin and end with.
    let inputs = [
        qkv.q.into(),
        qkv.k.into(),
        qkv.v.into(),
        qkv.q_stride.into(),
        output.dout.into(),
        output.lse.into(),
        output.delta.into(),
    ];
    let rows = (tiles.rows as u32).into();
    let sizes = [rows, qkv.group().into(), qkv.scale().into()];
    let (ends, dk, dv) = (tiles.ends.into(), dk.into(), dv.into());
    // 3. dq, by query tiles.
    let list = &tiles.of_queries;
    let own = [dq.into(), ends, list.first.into(), list.tiles.into()];
    let grid = [heads.queries, count, 1];
    driver.run_joined(
        of_queries,
        grid,
        threads,
        shared_queries,
        &[&inputs, &own, &sizes],
    )?;
    // 4. dk and dv, by key tiles in f32.
    let list = &tiles.of_keys;
    if projected.element != Element::Bf16 {
        let own = [dk, dv, ends, list.first.into(), list.tiles.into()];
        let grid = [heads.keys, count, 1];
        return driver.run_joined(of_keys, grid, threads, shared_keys, &[&inputs, &own, &sizes]);
    }
    // 5. In bf16 by runs of query tiles; then the runs of each key tile that has several.
    let runs = &tiles.runs;
    let partial = partial.sized(driver, runs.slots * heads.keys * 2 * TILE * heads.dim)?;
    let partial = partial.into();
    let own = [dk, dv, partial, ends, runs.all.into(), list.tiles.into()];
    let grid = [heads.keys, runs.all.len / 4, 1];
    driver.run_joined(of_keys, grid, threads, shared_keys, &[&inputs, &own, &sizes])?;
    let join = match heads.dim {
        64 => "attention_join_runs_bf16_64",
        _ => "attention_join_runs_bf16_128",
    };
    let args = [
        partial,
        runs.several.into(),
        dk,
        dv,
        qkv.q_stride.into(),
        rows,
        qkv.scale().into(),
    ];
    let grid = [heads.keys, runs.several.len / 3, TILE / JOINED];
    driver.run(join, grid, threads, 0, args)
}

/// Computes `delta`, the product `Σ dout · out` of each row and head.
fn row_products(driver: &Arc<dyn Driver>, output: AttentionOutput, count: usize, dim: usize) -> Result<()> {
    let kernel = match output.out.element {
        Element::Bf16 => "attention_delta_bf16",
        _ => "attention_delta_f32",
    };
    let args = [
        output.dout.into(),
        output.out.into(),
        output.delta.into(),
        count.into(),
        (dim as u32).into(),
    ];
    driver.run(kernel, [count.div_ceil(4), 1, 1], 128, 0, args)
}
