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
mod qkv;
mod softmax;
mod tiles;

pub use qkv::{AttentionOutput, Qkv};
pub(crate) use tiles::{TILE, join};
pub use tiles::{Tile, tiles};

use super::element::Element;
use super::matmul::{Matrix, Output, matmul_into};
use super::rope::Heads;
use super::with_scratch;
use one::attend_one;
use rayon::prelude::*;
use softmax::{softmax, softmax_backward};

/// Computes softmax attention. `out` is `[rows, query heads · head_dim]`; `lse` receives the
/// log-sum-exp of each softmax, `[rows, query heads]`. The tiles must cover all rows, in order.
pub fn attention<E: Element>(qkv: Qkv<'_, E>, tiles: &[Tile], mut out: &mut [E], mut lse: &mut [f32]) {
    let Heads { queries, dim, .. } = qkv.heads;
    // 1. Cut the outputs into tasks: a tile with all its heads, or one head of a tile with one row.
    let mut tasks = Vec::with_capacity(tiles.len());
    for tile in tiles {
        // A single token may see many keys, so each of its heads is a separate task.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Segment;
    use crate::ops::matmul::Precision;
    use crate::ops::simd::dot;
    use crate::ops::testing::{assert_gradient, random};
    use std::ops::Range;

    const HEADS: Heads = Heads {
        queries: 4,
        keys: 2,
        dim: 3,
    };

    fn segment(start: usize, len: usize, parent: Option<usize>, position: usize) -> Segment {
        Segment {
            start,
            len,
            parent,
            position,
        }
    }

    /// Builds a root of 70 rows (two tiles), two children, a grandchild, and a second root.
    fn tree() -> Vec<Segment> {
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
        let (all, _) = forward(&q, &k, &v, rows, &tiles(&[segment(0, rows, None, 0)]));
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
        let tile = Tile {
            queries: 0..3,
            visible: std::iter::once(0..67).collect(),
            causal: 67,
        };
        attention(cached, &[tile], &mut out, &mut lse);
        assert!(out.iter().zip(&all[67 * 12..]).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
