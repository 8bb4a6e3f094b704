//! Attention over a packed tree: a token attends to its ancestors and, causally, to its own
//! segment.
//!
//! Queries are cut into tiles of rows within a segment. All that a tile sees is a few dense ranges
//! of key rows, so scores are plain matrix products: no mask and no `[tokens, tokens]` matrix
//! exists. As in FlashAttention, only the output and the log-sum-exp of each softmax are kept for
//! the backward pass.
//!
//! Queries, keys and values are stored `[heads, rows, head_dim]`, and the output as the next
//! projection takes it, `[rows, heads · head_dim]`. A query row is a token of the pass; a key row
//! is a token of the pass, or a slot of the KV cache.

mod one;

use super::element::{Element, as_f32};
use super::matmul::{Matrix, Output, Precision, matmul_into};
use super::rope::Heads;
use super::simd::{dot, exp, max, sum};
use super::with_scratch;
use crate::batch::{Segment, ancestors};
use multiversion::multiversion;
use one::attend_one;
use rayon::prelude::*;
use std::iter::once;
use std::ops::Range;

/// Maximum number of query rows that share one matrix of scores.
pub(crate) const TILE: usize = 64;

/// Some query rows, and the key rows that they see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Rows of the queries.
    pub queries: Range<usize>,
    /// Key rows that every query of the tile sees, in as few ranges as possible.
    pub visible: Vec<Range<usize>>,
    /// First of `queries.len()` key rows that are seen causally: query `i` sees the first `i + 1`
    /// of them.
    pub causal: usize,
}

impl Tile {
    /// Returns the number of key rows that the last query sees, which is the width of the scores.
    fn context(&self) -> usize {
        self.visible.iter().map(Range::len).sum::<usize>() + self.queries.len()
    }

    /// Returns the number of elements from one row of scores to the next: whole cache lines.
    fn stride(&self) -> usize {
        self.context().next_multiple_of(16)
    }

    /// Returns the number of elements of the tile's scores.
    fn room(&self) -> usize {
        self.queries.len() * self.stride()
    }

    /// Iterates over all key ranges, each with the column of the scores where it begins.
    fn key_ranges(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let causal = self.causal..self.causal + self.queries.len();
        self.visible
            .iter()
            .cloned()
            .chain([causal])
            .scan(0, |column, range| {
                let at = *column;
                *column += range.len();
                Some((at, range))
            })
    }
}

/// Cuts a packed tree into tiles, in row order.
pub fn tiles(segments: &[Segment]) -> Vec<Tile> {
    let mut tiles = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let above = ancestors(segments, index);
        let end = segment.start + segment.len;
        for start in (segment.start..end).step_by(TILE) {
            let visible = join(above.iter().cloned().chain(once(segment.start..start)));
            tiles.push(Tile {
                queries: start..end.min(start + TILE),
                visible,
                causal: start,
            });
        }
    }
    tiles
}

/// Cuts `new` rows that follow `past` rows of one sequence into tiles. The keys of the sequence are
/// rows `0..past + new`.
pub fn tiles_after(past: usize, new: usize) -> Vec<Tile> {
    (0..new)
        .step_by(TILE)
        .map(|start| Tile {
            queries: start..new.min(start + TILE),
            visible: join(once(0..past + start)),
            causal: past + start,
        })
        .collect()
}

/// Merges ranges that touch and drops empty ones. The order stays as it is.
pub(crate) fn join(ranges: impl IntoIterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges.into_iter().filter(|r| !r.is_empty()) {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

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
    fn q(&self, head: usize, rows: &Range<usize>) -> Matrix<'a, E> {
        rows_of(self.q, head * self.query_rows, rows, self.heads.dim)
    }

    /// Returns rows of the key head that serves a query head.
    fn k(&self, query_head: usize, rows: &Range<usize>) -> Matrix<'a, E> {
        rows_of(
            self.k,
            self.key_head(query_head) * self.key_rows,
            rows,
            self.heads.dim,
        )
    }

    /// Returns rows of the value head that serves a query head.
    fn v(&self, query_head: usize, rows: &Range<usize>) -> Matrix<'a, E> {
        rows_of(
            self.v,
            self.key_head(query_head) * self.key_rows,
            rows,
            self.heads.dim,
        )
    }

    /// Returns the same as f32, if the elements are f32.
    fn as_f32(&self) -> Option<Qkv<'a>> {
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
    fn scale(&self) -> f32 {
        1.0 / (self.heads.dim as f32).sqrt()
    }

    /// Writes `q · kᵀ` of a tile to `scores`, `[queries, context]`.
    fn scores(&self, head: usize, tile: &Tile, scores: &mut [f32]) {
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

/// Computes softmax attention. `out` is `[rows, query heads · head_dim]`; `lse` receives the
/// log-sum-exp of each softmax, `[rows, query heads]`. The tiles must cover all rows, in order.
pub fn attention<E: Element>(qkv: Qkv<'_, E>, tiles: &[Tile], mut out: &mut [E], mut lse: &mut [f32]) {
    let Heads { queries, dim, .. } = qkv.heads;
    // 1. Cut the outputs into tasks: a tile with all its heads, or one head of a tile with one row.
    let mut tasks = Vec::with_capacity(tiles.len());
    for tile in tiles {
        // A single token may see many keys, so each of its heads is a task of its own.
        let heads_of_task = if tile.queries.len() == 1 { 1 } else { queries };
        for first in (0..queries).step_by(heads_of_task) {
            let lse = lse.split_off_mut(..tile.queries.len() * heads_of_task);
            let lse = lse.unwrap_or_default();
            let out = out.split_off_mut(..lse.len() * dim).unwrap_or_default();
            tasks.push((tile, first, heads_of_task, out, lse));
        }
    }
    // 2. Attend head by head, and write each head's sums into its columns of the output.
    tasks.into_par_iter().for_each(|(tile, first, heads, out, lse)| {
        with_scratch(tile.room() + tile.queries.len() * dim, |scratch| {
            let (scores, sums) = scratch.split_at_mut(tile.room());
            for head in 0..heads {
                attend(qkv, first + head, tile, scores, sums, &mut lse[head..], heads);
                let rows = out[head * dim..].chunks_mut(heads * dim);
                for (out, sums) in rows.zip(sums.chunks_exact(dim)) {
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = E::of(*sum));
                }
            }
        });
    });
}

/// Computes [`attention`] of one head and tile. `out` is `[queries, head_dim]`; consecutive rows of
/// `lse` are `heads` elements apart.
fn attend<E: Element>(
    qkv: Qkv<'_, E>,
    head: usize,
    tile: &Tile,
    scores: &mut [f32],
    out: &mut [f32],
    lse: &mut [f32],
    heads: usize,
) {
    if tile.queries.len() == 1
        && let Some(qkv) = qkv.as_f32()
    {
        return attend_one(qkv, head, tile, scores, out, lse);
    }
    // 1. Scores: [queries, context]; they become softmax weights in place.
    qkv.scores(head, tile, scores);
    softmax(scores, tile, qkv.scale(), lse, heads);
    // 2. Weighted sum of the values, one key range after the other: [queries, head_dim].
    for (i, (column, keys)) in tile.key_ranges().enumerate() {
        let weights = Matrix::strided(&scores[column..], tile.queries.len(), keys.len(), tile.stride());
        let mode = if i == 0 { Output::Set } else { Output::Add };
        let (v, dim) = (qkv.v(head, &keys), qkv.heads.dim);
        matmul_into(out, dim, mode, 1.0, weights, v, qkv.precision, false);
    }
}

/// Replaces each row of scores by the softmax of `scale` times the columns that the row sees; the
/// other columns become 0. Writes the log-sum-exp of each row to `lse`.
#[multiversion(targets = "simd")]
fn softmax(scores: &mut [f32], tile: &Tile, scale: f32, lse: &mut [f32], heads: usize) {
    let seen_by_all = tile.context() - tile.queries.len();
    let rows = scores.chunks_exact_mut(tile.stride()).take(tile.queries.len());
    for (i, (row, lse)) in rows.zip(lse.iter_mut().step_by(heads)).enumerate() {
        let (seen, hidden) = row.split_at_mut(seen_by_all + i + 1);
        let max = max(seen);
        seen.iter_mut().for_each(|s| *s = exp((*s - max) * scale));
        let sum = sum(seen);
        seen.iter_mut().for_each(|s| *s /= sum);
        hidden.fill(0.0);
        *lse = max * scale + sum.ln();
    }
}

/// The output of [`attention`] and its gradient, in the same order.
#[derive(Clone, Copy, Debug)]
pub struct AttentionOutput<'a, E = f32> {
    /// The output.
    pub out: &'a [E],
    /// Log-sum-exp of each softmax.
    pub lse: &'a [f32],
    /// Gradient of the loss with respect to `out`.
    pub dout: &'a [E],
}

/// Computes the gradients of [`attention`] for a pass in which queries and keys are the same rows.
///
/// `dq`, `dk` and `dv` are `[query heads, rows, head_dim]` each and are overwritten. `dk` and `dv`
/// hold each query head's share of the gradient of its key head.
pub fn attention_backward<E: Element>(
    qkv: Qkv<'_, E>,
    tiles: &[Tile],
    output: AttentionOutput<'_, E>,
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    let (rows, dim) = (qkv.query_rows, qkv.heads.dim);
    let gradients = dk
        .par_chunks_exact_mut(rows * dim)
        .zip(dv.par_chunks_exact_mut(rows * dim));
    // Query heads are independent. Within a head the tiles come one after the other, because they
    // add to the same dk and dv.
    dq.par_chunks_exact_mut(rows * dim)
        .zip(gradients)
        .enumerate()
        .for_each(|(head, (dq, (dk, dv)))| {
            dk.fill(0.0);
            dv.fill(0.0);
            let room = tiles.iter().map(Tile::room).max().unwrap_or(0);
            with_scratch(2 * room, |scratch| {
                for tile in tiles {
                    let dq = &mut dq[tile.queries.start * dim..tile.queries.end * dim];
                    attend_backward(qkv, head, tile, output, scratch, dq, dk, dv);
                }
            });
        });
}

/// Computes [`attention_backward`] of one head and tile. `dq` holds the tile's rows; `dk` and `dv`
/// hold all rows of the head and are added to.
#[allow(clippy::too_many_arguments)] // three gradients of three inputs
fn attend_backward<E: Element>(
    qkv: Qkv<'_, E>,
    head: usize,
    tile: &Tile,
    output: AttentionOutput<'_, E>,
    scratch: &mut [f32],
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    let (queries, stride, dim) = (tile.queries.len(), tile.stride(), qkv.heads.dim);
    let (heads, precision) = (qkv.heads.queries, qkv.precision);
    let (weights, dscores) = scratch[..2 * tile.room()].split_at_mut(tile.room());
    let first = tile.queries.start * heads + head;
    let output = AttentionOutput {
        out: &output.out[first * dim..],
        lse: &output.lse[first..],
        dout: &output.dout[first * dim..],
    };
    // 1. Recompute the scores: weights [queries, context].
    let q = qkv.q(head, &tile.queries);
    let dout = Matrix::strided(output.dout, queries, dim, heads * dim);
    qkv.scores(head, tile, weights);
    // 2. Gradient of the softmax weights, dout · vᵀ: dscores [queries, context].
    for (column, keys) in tile.key_ranges() {
        let (out, v) = (&mut dscores[column..], qkv.v(head, &keys).t());
        matmul_into(out, stride, Output::Set, 1.0, dout, v, precision, false);
    }
    // 3. Scores become softmax weights p, and dscores becomes the gradient ds of the scores.
    softmax_backward(weights, dscores, tile, qkv, output);
    // 4. dq = ds · k, dk += dsᵀ · q, dv += pᵀ · dout, one key range after the other.
    for (i, (column, keys)) in tile.key_ranges().enumerate() {
        let ds = Matrix::strided(&dscores[column..], queries, keys.len(), stride);
        let p = Matrix::strided(&weights[column..], queries, keys.len(), stride);
        let (dk, dv) = (&mut dk[keys.start * dim..], &mut dv[keys.start * dim..]);
        let (k, mode) = (qkv.k(head, &keys), if i == 0 { Output::Set } else { Output::Add });
        matmul_into(dq, dim, mode, 1.0, ds, k, precision, false);
        matmul_into(dk, dim, Output::Add, 1.0, ds.t(), q, precision, false);
        matmul_into(dv, dim, Output::Add, 1.0, p.t(), dout, precision, false);
    }
}

/// Turns scores into softmax weights (with the saved `lse`), and the gradient of the weights into
/// the gradient of the unscaled scores: `ds = scale · p · (dp − Σ dout·out)` (FlashAttention, Dao
/// et al., 2022). `output` begins with the tile's first row of the head.
#[multiversion(targets = "simd")]
fn softmax_backward<E: Element>(
    weights: &mut [f32],
    dscores: &mut [f32],
    tile: &Tile,
    qkv: Qkv<'_, E>,
    output: AttentionOutput<'_, E>,
) {
    let (scale, heads, dim) = (qkv.scale(), qkv.heads.queries, qkv.heads.dim);
    let seen_by_all = tile.context() - tile.queries.len();
    let rows = weights
        .chunks_exact_mut(tile.stride())
        .zip(dscores.chunks_exact_mut(tile.stride()));
    for (i, (p, ds)) in rows.enumerate() {
        let (out, dout) = (
            &output.out[i * heads * dim..][..dim],
            &output.dout[i * heads * dim..][..dim],
        );
        // delta = Σ p · dp, which equals Σ dout · out
        let (delta, lse) = (dot(out, dout), output.lse[i * heads]);
        let seen = seen_by_all + i + 1;
        for (p, ds) in p[..seen].iter_mut().zip(&mut ds[..seen]) {
            *p = exp(*p * scale - lse);
            *ds = scale * *p * (*ds - delta);
        }
        p[seen..].fill(0.0);
        ds[seen..].fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_gradient, random};

    const HEADS: Heads = Heads {
        queries: 4,
        keys: 2,
        dim: 3,
    };

    /// Builds a root of 70 rows (two tiles), two children, a grandchild, and a second root.
    fn tree() -> Vec<Segment> {
        let segment = |start, len, parent, position| Segment {
            start,
            len,
            parent,
            position,
        };
        vec![
            segment(0, 70, None, 0),
            segment(70, 2, Some(0), 70),
            segment(72, 3, Some(1), 72),
            segment(75, 4, Some(0), 70),
            segment(79, 2, None, 0),
        ]
    }

    fn qkv<'a>(q: &'a [f32], k: &'a [f32], v: &'a [f32], rows: usize) -> Qkv<'a> {
        Qkv {
            q,
            k,
            v,
            query_rows: rows,
            key_rows: rows,
            heads: HEADS,
            precision: Precision::F32,
        }
    }

    fn forward(q: &[f32], k: &[f32], v: &[f32], rows: usize, tiles: &[Tile]) -> (Vec<f32>, Vec<f32>) {
        let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; HEADS.queries * rows]);
        attention(qkv(q, k, v, rows), tiles, &mut out, &mut lse);
        (out, lse)
    }

    #[test]
    fn a_tile_sees_its_ancestors_and_itself() {
        let tiles = tiles(&tree());
        let expect = |queries: Range<usize>, range: Option<Range<usize>>| Tile {
            causal: queries.start,
            queries,
            visible: Vec::from_iter(range),
        };
        assert_eq!(tiles[1], expect(64..70, Some(0..64)));
        assert_eq!(tiles[3], expect(72..75, Some(0..72)));
        assert_eq!(tiles[4], expect(75..79, Some(0..70)));
        assert_eq!(tiles[5], expect(79..81, None));
    }

    #[test]
    fn equals_the_definition_row_by_row() {
        let rows = 81;
        let (q, k, v) = (random(rows * 12, 1), random(rows * 6, 2), random(rows * 6, 3));
        let segments = tree();
        let (out, _) = forward(&q, &k, &v, rows, &tiles(&segments));
        let segment_of = |row: usize| segments.iter().rposition(|s| s.start <= row).unwrap();
        for head in 0..HEADS.queries {
            for row in 0..rows {
                let mut seen: Vec<usize> = (segments[segment_of(row)].start..=row).collect();
                let mut parent = segments[segment_of(row)].parent;
                while let Some(index) = parent {
                    seen.extend(segments[index].start..segments[index].start + segments[index].len);
                    parent = segments[index].parent;
                }
                let at = |m: &[f32], head: usize, row: usize| m[(head * rows + row) * 3..][..3].to_vec();
                let score = |key: usize| {
                    let product: f32 = at(&q, head, row)
                        .iter()
                        .zip(at(&k, head / 2, key))
                        .map(|(a, b)| a * b)
                        .sum();
                    f64::from(product / 3f32.sqrt()).exp()
                };
                let total: f64 = seen.iter().map(|&key| score(key)).sum();
                for (d, &got) in out[row * 12 + head * 3..][..3].iter().enumerate() {
                    let want: f64 = seen
                        .iter()
                        .map(|&key| score(key) / total * f64::from(at(&v, head / 2, key)[d]))
                        .sum();
                    assert!(
                        (f64::from(got) - want).abs() < 1e-5,
                        "head {head} row {row}: {got} not {want}"
                    );
                }
            }
        }
    }

    #[test]
    fn gradients_match_finite_differences() {
        let segment = |start, len, parent, position| Segment {
            start,
            len,
            parent,
            position,
        };
        let tiles = tiles(&[
            segment(0, 3, None, 0),
            segment(3, 2, Some(0), 3),
            segment(5, 2, Some(0), 3),
        ]);
        let rows = 7;
        let (q, k, v, dout) = (
            random(rows * 12, 1),
            random(rows * 6, 2),
            random(rows * 6, 3),
            random(rows * 12, 4),
        );
        let (out, lse) = forward(&q, &k, &v, rows, &tiles);
        let (mut dq, mut dk, mut dv) = (vec![1.0; rows * 12], vec![1.0; rows * 12], vec![1.0; rows * 12]);
        let output = AttentionOutput {
            out: &out,
            lse: &lse,
            dout: &dout,
        };
        attention_backward(qkv(&q, &k, &v, rows), &tiles, output, &mut dq, &mut dk, &mut dv);
        let loss = |q: &[f32], k: &[f32], v: &[f32]| dot(&forward(q, k, v, rows, &tiles).0, &dout);
        let per_key_head = |shares: &[f32]| -> Vec<f32> {
            let head = rows * HEADS.dim;
            let pairs = shares.chunks_exact(2 * head);
            pairs
                .flat_map(|pair| (0..head).map(|i| pair[i] + pair[head + i]).collect::<Vec<_>>())
                .collect()
        };
        assert_gradient(&q, &dq, |q| loss(q, &k, &v));
        assert_gradient(&k, &per_key_head(&dk), |k| loss(&q, k, &v));
        assert_gradient(&v, &per_key_head(&dv), |v| loss(&q, &k, v));
    }

    #[test]
    fn rows_after_a_cache_equal_the_same_rows_at_once() {
        let rows = 70;
        let (q, k, v) = (random(rows * 12, 1), random(rows * 6, 2), random(rows * 6, 3));
        let (all, _) = forward(&q, &k, &v, rows, &tiles_after(0, rows));
        let last: Vec<f32> = (0..4)
            .flat_map(|h| q[(h * rows + 67) * 3..(h + 1) * rows * 3].to_vec())
            .collect();
        let (mut out, mut lse) = (vec![0.0; 36], vec![0.0; 12]);
        let cached = Qkv {
            q: &last,
            k: &k,
            v: &v,
            query_rows: 3,
            key_rows: rows,
            heads: HEADS,
            precision: Precision::F32,
        };
        attention(cached, &tiles_after(67, 3), &mut out, &mut lse);
        assert!(out.iter().zip(&all[67 * 12..]).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
