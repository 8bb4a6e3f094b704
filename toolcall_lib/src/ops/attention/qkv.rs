//! Queries, keys and values of all heads, as one matrix.

use super::super::element::{Element, as_f32};
use super::super::matmul::{Matrix, Output, Precision, matmul_into};
use super::super::rope::Heads;
use super::tiles::Tile;
use std::ops::Range;

/// Queries, keys and values of one layer.
#[derive(Clone, Copy, Debug)]
pub struct Qkv<'a, E = f32> {
    /// `[query heads, query rows, head_dim]`.
    pub q: &'a [E],
    /// `[key heads, key rows, head_dim]`.
    pub k: &'a [E],
    /// `[key heads, key rows, head_dim]`.
    pub v: &'a [E],
    /// Number of query rows.
    pub query_rows: usize,
    /// Number of rows that each key head has room for. Rows that a tile names must be filled.
    pub key_rows: usize,
    /// Number and width of the heads.
    pub heads: Heads,
    /// Precision of the products.
    pub precision: Precision,
}

impl<'a, E: Element> Qkv<'a, E> {
    /// Returns rows of a query head, `[rows, head_dim]`.
    pub(super) fn q(&self, head: usize, rows: &Range<usize>) -> Matrix<'a, E> {
        rows_of(self.q, head * self.query_rows, rows, self.heads.dim)
    }

    /// Returns rows of the key head that serves a query head.
    pub(super) fn k(&self, query_head: usize, rows: &Range<usize>) -> Matrix<'a, E> {
        rows_of(
            self.k,
            self.key_head(query_head) * self.key_rows,
            rows,
            self.heads.dim,
        )
    }

    /// Returns rows of the value head that serves a query head.
    pub(super) fn v(&self, query_head: usize, rows: &Range<usize>) -> Matrix<'a, E> {
        rows_of(
            self.v,
            self.key_head(query_head) * self.key_rows,
            rows,
            self.heads.dim,
        )
    }

    /// Returns the same as f32, if the elements are f32.
    pub(super) fn as_f32(&self) -> Option<Qkv<'a>> {
        Some(Qkv {
            q: as_f32(self.q)?,
            k: as_f32(self.k)?,
            v: as_f32(self.v)?,
            query_rows: self.query_rows,
            key_rows: self.key_rows,
            heads: self.heads,
            precision: self.precision,
        })
    }

    /// Returns the key head that serves a query head (grouped-query attention).
    fn key_head(&self, query_head: usize) -> usize {
        query_head / (self.heads.queries / self.heads.keys)
    }

    /// Returns the softmax scale of the scores, `1 / √head_dim`.
    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.heads.dim as f32).sqrt()
    }

    /// Writes `q · kᵀ` of a tile to `scores`, `[queries, context]`.
    pub(super) fn scores(&self, head: usize, tile: &Tile, scores: &mut [f32]) {
        let q = self.q(head, &tile.queries);
        for (column, keys) in tile.key_ranges() {
            let out = &mut scores[column..];
            matmul_into(
                out,
                tile.stride(),
                Output::Set,
                1.0,
                q,
                self.k(head, &keys).t(),
                self.precision,
                false,
            );
        }
    }
}

/// Returns rows of one head of `data`; the head begins at row `first`.
fn rows_of<'a, E: Element>(data: &'a [E], first: usize, rows: &Range<usize>, dim: usize) -> Matrix<'a, E> {
    Matrix::new(
        &data[(first + rows.start) * dim..(first + rows.end) * dim],
        rows.len(),
        dim,
    )
}

/// The output of [`attention`](super::attention()) and its gradient, in the same order.
#[derive(Clone, Copy, Debug)]
pub struct AttentionOutput<'a, E = f32> {
    /// The output.
    pub out: &'a [E],
    /// Log-sum-exp of each softmax.
    pub lse: &'a [f32],
    /// Gradient of the loss with respect to `out`.
    pub dout: &'a [E],
}
