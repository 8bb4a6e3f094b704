//! From the joint Q, K, V projection to attention heads, and back.
//!
//! The projection is `[rows, (query heads + 2 · key heads) · head_dim]`, one row per token. Three
//! steps make the heads: per-head RMSNorm on Q and K where the model has it (Qwen3), rotary
//! position embedding on Q and K (Su et al., 2021; the halves of a head rotate against each other,
//! as in Llama), and a copy of V. Heads are stored one after another, `[heads, rows, head_dim]`, so
//! that attention reads each head as one dense matrix.

use super::ROWS_PER_TASK;
use super::element::Element;
use super::rms_norm::{rms_norm_row, rms_norm_row_backward};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::OnceLock;
use toolcall_macros::vectorized;

/// Number of positions whose angles are computed together.
const SEGMENT: usize = 1024;

/// Cosines and sines for every position up to a limit. They are computed when a position is first
/// used, because a config may ask for millions of positions.
#[derive(Clone, Debug, Default)]
pub struct RopeTable {
    inverse_frequencies: Vec<f32>,
    positions: usize,
    segments: Vec<OnceLock<Box<[[f32; 2]]>>>,
}

impl RopeTable {
    /// Creates the table for `positions` positions, from the frequency of each pair of elements.
    pub fn new(inverse_frequencies: &[f32], positions: usize) -> Self {
        Self {
            inverse_frequencies: inverse_frequencies.to_vec(),
            positions,
            segments: vec![OnceLock::new(); positions.div_ceil(SEGMENT)],
        }
    }

    /// Computes cosine and sine of every position and pair, `[positions, pairs, 2]`.
    #[cfg(feature = "cuda")]
    pub(crate) fn cos_sin(&self) -> Vec<[f32; 2]> {
        self.angles(0..self.positions).collect()
    }

    /// Returns cosine and sine of each pair at a position.
    fn at(&self, position: u32) -> &[[f32; 2]] {
        // 1. The segment of the position, and its row there.
        let (segment, row) = (position as usize / SEGMENT, position as usize % SEGMENT);
        let first = segment * SEGMENT;
        let last = self.positions.min(first + SEGMENT);
        // 2. The angles of the segment, `[positions, pairs, 2]`, computed on first use.
        let angles = self.segments[segment].get_or_init(|| self.angles(first..last).collect());
        let pairs = self.inverse_frequencies.len();
        &angles[row * pairs..][..pairs]
    }

    /// Computes cosine and sine of every pair at some positions, `[positions, pairs, 2]`. The angle
    /// is rounded to f32 as in PyTorch; its cosine is computed in f64.
    fn angles(&self, positions: Range<usize>) -> impl Iterator<Item = [f32; 2]> {
        let angle = |position: usize, frequency: f32| f64::from(position as f32 * frequency);
        positions
            .flat_map(move |p| self.inverse_frequencies.iter().map(move |&f| angle(p, f)))
            .map(|a| [a.cos() as f32, a.sin() as f32])
    }
}

/// Number and width of the heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub queries: usize,
    /// Key heads, and as many value heads.
    pub keys: usize,
    /// Width of a head.
    pub dim: usize,
}

impl Heads {
    /// Returns the number of query, key and value heads together.
    pub fn all(self) -> usize {
        self.queries + 2 * self.keys
    }

    /// Returns true if a head of the joint projection is a value head.
    fn is_value(self, head: usize) -> bool {
        head >= self.queries + self.keys
    }

    /// Returns the width of a row of the joint projection.
    pub fn width(self) -> usize {
        self.all() * self.dim
    }
}

/// Weights of the RMSNorm on each head of Q and of K.
#[derive(Clone, Copy, Debug)]
pub struct QkNorm<'a> {
    /// For queries, length `head_dim`.
    pub q: &'a [f32],
    /// For keys, length `head_dim`.
    pub k: &'a [f32],
    /// Added to the mean square.
    pub eps: f32,
}

impl<'a> QkNorm<'a> {
    /// Returns the norm weights of a query or key head of the joint projection.
    fn weight(&self, head: usize, heads: Heads) -> &'a [f32] {
        if head < heads.queries { self.q } else { self.k }
    }
}

/// Everything that splitting into heads needs besides the numbers: positions, angles, norm and
/// shape.
#[derive(Clone, Copy, Debug)]
pub struct Split<'a> {
    /// Position of each row in its sequence.
    pub positions: &'a [u32],
    /// Table of angles.
    pub rope: &'a RopeTable,
    /// Norm on Q and K, where the model has one.
    pub norm: Option<QkNorm<'a>>,
    /// Number and width of the heads.
    pub heads: Heads,
}

/// Splits the projection `qkv` into heads, `[heads, rows, head_dim]`: normalizes and rotates Q and
/// K, and copies V.
pub fn split_heads<E: Element>(qkv: &[E], split: Split<'_>, out: &mut [E]) {
    let head_len = split.positions.len() * split.heads.dim;
    out.par_chunks_exact_mut(head_len)
        .enumerate()
        .for_each(|(head, out)| split_head(qkv, split, head, out));
}

/// Computes [`split_heads`] of one head; `out` is `[rows, head_dim]`.
#[vectorized]
fn split_head<E: Element>(qkv: &[E], split: Split<'_>, head: usize, out: &mut [E]) {
    let Split {
        positions,
        rope,
        norm,
        heads,
    } = split;
    let [mut x, mut y] = [vec![0.0; heads.dim], vec![0.0; heads.dim]];
    let rows = qkv.chunks_exact(heads.width()).zip(positions);
    for (out, (row, &position)) in out.chunks_exact_mut(heads.dim).zip(rows) {
        // 1. The head's part of the row, [head_dim]. V is copied.
        let row = &row[head * heads.dim..][..heads.dim];
        if heads.is_value(head) {
            out.copy_from_slice(row);
            continue;
        }
        // 2. Norm: y [head_dim], in f32.
        x.iter_mut().zip(row).for_each(|(x, row)| *x = row.value());
        match norm {
            Some(norm) => rms_norm_row(&x, norm.weight(head, heads), norm.eps, &mut y),
            None => y.copy_from_slice(&x),
        }
        // 3. Rotation by the angles of the row's position.
        rotate(&mut y, rope.at(position), 1.0);
        out.iter_mut().zip(&y).for_each(|(out, y)| *out = E::of(*y));
    }
}

/// Rotates the pairs `(i, i + half)` of one head by their angles; `direction` -1 rotates back.
#[inline(always)]
fn rotate(head: &mut [f32], cos_sin: &[[f32; 2]], direction: f32) {
    // The halves of the head, [head_dim / 2] each.
    let (first, second) = head.split_at_mut(cos_sin.len());
    for ((a, b), [cos, sin]) in first.iter_mut().zip(second).zip(cos_sin) {
        let sin = sin * direction;
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

/// Gradients of the heads, `[query heads, rows, head_dim]` each. A key head is shared by several
/// query heads, and its gradient is given as their shares.
#[derive(Clone, Copy, Debug)]
pub struct HeadGradients<'a> {
    /// Gradient of the queries.
    pub dq: &'a [f32],
    /// Shares of the gradient of the keys.
    pub dk: &'a [f32],
    /// Shares of the gradient of the values.
    pub dv: &'a [f32],
}

impl HeadGradients<'_> {
    /// Writes the gradient of one row of one head of the joint projection to `dy`: the sum of the
    /// shares of the query heads.
    #[inline(always)]
    fn sum(&self, head: usize, row: usize, split: Split<'_>, dy: &mut [f32]) {
        let Heads { queries, keys, dim } = split.heads;
        // 1. The shares, [query heads, rows, head_dim]; the head's number among the query, key or
        //    value heads; and the number of query heads that use it.
        let (shares, head, group) = match head.checked_sub(queries) {
            None => (self.dq, head, 1),
            Some(head) if head < keys => (self.dk, head, queries / keys),
            Some(head) => (self.dv, head - keys, queries / keys),
        };
        // 2. Sum over these query heads: dy [head_dim].
        let share = |i: usize| &shares[((head * group + i) * split.positions.len() + row) * dim..][..dim];
        dy.copy_from_slice(share(0));
        for i in 1..group {
            dy.iter_mut().zip(share(i)).for_each(|(dy, share)| *dy += share);
        }
    }
}

/// Writes the gradient of [`split_heads`] to `dqkv` and returns the gradients of the norm weights
/// of Q and K. `qkv` is the projection; it is read only if there is a norm.
pub fn split_heads_backward<E: Element>(
    dheads: HeadGradients<'_>,
    qkv: &[E],
    split: Split<'_>,
    dqkv: &mut [E],
) -> [Vec<f32>; 2] {
    let (dim, width) = (split.heads.dim, split.heads.width());
    // 1. Each task sums the norm gradients of its rows of dqkv: dnorm [2, head_dim].
    let partial: Vec<[Vec<f32>; 2]> = dqkv
        .par_chunks_mut(ROWS_PER_TASK * width)
        .enumerate()
        .map(|(task, dqkv)| {
            let mut dnorm = [vec![0.0; dim], vec![0.0; dim]];
            rows_backward(dheads, qkv, split, task * ROWS_PER_TASK, dqkv, &mut dnorm);
            dnorm
        })
        .collect();
    // 2. Add them in a fixed order.
    let mut total = [vec![0.0; dim], vec![0.0; dim]];
    for part in partial {
        for (sum, part) in total.iter_mut().flatten().zip(part.iter().flatten()) {
            *sum += part;
        }
    }
    total
}

/// Computes the rows of `dqkv` from row `first` on.
#[vectorized]
fn rows_backward<E: Element>(
    dheads: HeadGradients<'_>,
    qkv: &[E],
    split: Split<'_>,
    first: usize,
    dqkv: &mut [E],
    dnorm: &mut [Vec<f32>; 2],
) {
    let Split {
        positions,
        rope,
        norm,
        heads,
    } = split;
    let (dim, width) = (heads.dim, heads.width());
    let [mut x, mut dx, mut dy] = [vec![0.0; dim], vec![0.0; dim], vec![0.0; dim]];
    for (i, dqkv) in dqkv.chunks_exact_mut(width).enumerate() {
        let row = first + i;
        for (head, out) in dqkv.chunks_exact_mut(dim).enumerate() {
            // 1. Sum of the query heads' shares: dy [head_dim].
            dheads.sum(head, row, split, &mut dy);
            if !heads.is_value(head) {
                // 2. Rotate back.
                rotate(&mut dy, rope.at(positions[row]), -1.0);
                // 3. Gradient of the norm: dx [head_dim], and the sum over rows dw [head_dim].
                if let Some(norm) = norm {
                    let qkv = &qkv[row * width + head * dim..][..dim];
                    x.iter_mut().zip(qkv).for_each(|(x, qkv)| *x = qkv.value());
                    let dw = &mut dnorm[usize::from(head >= heads.queries)];
                    dx.fill(0.0);
                    rms_norm_row_backward(&x, norm.weight(head, heads), norm.eps, &dy, &mut dx, dw);
                    dy.copy_from_slice(&dx);
                }
            }
            out.iter_mut().zip(&dy).for_each(|(out, dy)| *out = E::of(*dy));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::simd::dot;
    use crate::ops::testing::{assert_gradient, random};

    #[test]
    fn gradients_match_finite_differences_with_and_without_norm() {
        let heads = Heads {
            queries: 2,
            keys: 1,
            dim: 4,
        };
        let positions = [0, 3, 1];
        let rope = RopeTable::new(&[1.0, 0.3], 4);
        let (qkv, q, k) = (random(48, 1), random(4, 2), random(4, 3));
        // each query head has a share in the gradient of the key and the value head
        let (dq, dk, dv) = (random(24, 4), random(24, 5), random(24, 6));
        let sum = |parts: &[f32]| -> Vec<f32> { (0..12).map(|i| parts[i] + parts[12 + i]).collect() };
        let dy = [&dq[..], &sum(&dk), &sum(&dv)].concat();
        let dheads = HeadGradients {
            dq: &dq,
            dk: &dk,
            dv: &dv,
        };
        for with_norm in [false, true] {
            let loss = |qkv: &[f32], q: &[f32], k: &[f32]| {
                let mut out = vec![0.0; 48];
                let norm = with_norm.then_some(QkNorm { q, k, eps: 1e-6 });
                split_heads(
                    qkv,
                    Split {
                        positions: &positions,
                        rope: &rope,
                        norm,
                        heads,
                    },
                    &mut out,
                );
                dot(&out, &dy)
            };
            let mut dqkv = vec![0.0; 48];
            let norm = with_norm.then_some(QkNorm {
                q: &q,
                k: &k,
                eps: 1e-6,
            });
            let split = Split {
                positions: &positions,
                rope: &rope,
                norm,
                heads,
            };
            let [dq, dk] = split_heads_backward(dheads, &qkv, split, &mut dqkv);
            assert_gradient(&qkv, &dqkv, |qkv| loss(qkv, &q, &k));
            assert_gradient(&q, &dq, |q| loss(&qkv, q, &k));
            assert_gradient(&k, &dk, |k| loss(&qkv, &q, k));
        }
    }
}
