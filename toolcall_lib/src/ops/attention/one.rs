//! Attention of a single query, as in generation: keys and values are read once, in place, without
//! packing.

use super::{Qkv, Tile, softmax};
use crate::ops::matmul::multiply_row;
use toolcall_macros::vectorized;

/// Computes [`attend`](super::attend) of a tile with one query, in f32.
pub(super) fn attend_one(
    qkv: Qkv<'_>,
    head: usize,
    tile: &Tile,
    scores: &mut [f32],
    out: &mut [f32],
    lse: &mut [f32],
) {
    let q = qkv.q(head, &tile.queries).data();
    for (column, keys) in tile.key_ranges() {
        let k = qkv.k(head, &keys).data();
        multiply_row(q, k, &mut scores[column..][..keys.len()]);
    }
    softmax(scores, tile, qkv.scale(), lse, 1);
    out.fill(0.0);
    for (column, keys) in tile.key_ranges() {
        let v = qkv.v(head, &keys).data();
        add_values(&scores[column..][..keys.len()], v, out);
    }
}

/// Adds `weights · v` to `out`; `v` is `[weights, out]`.
#[vectorized]
fn add_values(weights: &[f32], v: &[f32], out: &mut [f32]) {
    // Columns in parts of 64 lanes; two rows of `v` (even, odd) at a time.
    let (parts, rest) = out.as_chunks_mut::<64>();
    let width = 64 * parts.len() + rest.len();
    let (pairs, last) = weights.as_chunks::<2>();
    let (v_pairs, v_last) = v.split_at(2 * pairs.len() * width);
    for (i, part) in parts.iter_mut().enumerate() {
        // sums stay in registers, twice: a single sum would wait for its own result
        let [mut even, mut odd] = [*part, [0.0; 64]];
        for (weights, v) in pairs.iter().zip(v_pairs.chunks_exact(2 * width)) {
            let (v_even, v_odd) = (&v[64 * i..][..64], &v[width + 64 * i..][..64]);
            for lane in 0..64 {
                even[lane] = weights[0].mul_add(v_even[lane], even[lane]);
                odd[lane] = weights[1].mul_add(v_odd[lane], odd[lane]);
            }
        }
        for (weight, v) in last.iter().zip(v_last.chunks_exact(width)) {
            for (sum, v) in even.iter_mut().zip(&v[64 * i..][..64]) {
                *sum = weight.mul_add(*v, *sum);
            }
        }
        for (out, (even, odd)) in part.iter_mut().zip(even.into_iter().zip(odd)) {
            *out = even + odd;
        }
    }
    // the columns after the last whole part
    let done = width - rest.len();
    for (weight, v) in weights.iter().zip(v.chunks_exact(width)) {
        for (sum, v) in rest.iter_mut().zip(&v[done..]) {
            *sum = weight.mul_add(*v, *sum);
        }
    }
}
