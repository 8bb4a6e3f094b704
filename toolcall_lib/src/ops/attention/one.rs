//! Attention of a single query, as in generation: keys and values are read once, in place, and nothing is packed.

use super::{Qkv, Tile, softmax};
use crate::ops::element::Element;
use multiversion::multiversion;
use std::array::from_fn;

/// [`attend`](super::attend) of a tile with one query.
pub(super) fn attend_one<E: Element>(
    qkv: Qkv<'_, E>,
    head: usize,
    tile: &Tile,
    scores: &mut [f32],
    out: &mut [f32],
    lse: &mut [f32],
) {
    let q = qkv.q(head, &tile.queries).data();
    for (column, keys) in tile.key_ranges() {
        let k = qkv.k(head, &keys).data();
        multiply_keys(q, k, &mut scores[column..][..keys.len()]);
    }
    softmax(scores, tile, qkv.scale(), lse, 1);
    out.fill(0.0);
    for (column, keys) in tile.key_ranges() {
        let v = qkv.v(head, &keys).data();
        add_values(&scores[column..][..keys.len()], v, out);
    }
}

/// `scores = k · q`, four keys at a time, so that their sums do not wait for each other.
#[multiversion(targets = "simd")]
fn multiply_keys<E: Element>(q: &[E], k: &[E], scores: &mut [f32]) {
    let dim = q.len();
    let (fours, rest) = scores.as_chunks_mut::<4>();
    for (i, scores) in fours.iter_mut().enumerate() {
        let k: [&[E]; 4] = from_fn(|j| &k[(4 * i + j) * dim..][..dim]);
        *scores = dots(q, k);
    }
    let done = 4 * fours.len();
    for (i, score) in rest.iter_mut().enumerate() {
        [*score] = dots(q, [&k[(done + i) * dim..][..dim]]);
    }
}

/// `out += weights · v`.
#[multiversion(targets = "simd")]
fn add_values<E: Element>(weights: &[f32], v: &[E], out: &mut [f32]) {
    let (parts, rest) = out.as_chunks_mut::<64>();
    let width = 64 * parts.len() + rest.len();
    for (i, part) in parts.iter_mut().enumerate() {
        let mut sums = *part; // in registers
        for (weight, v) in weights.iter().zip(v.chunks_exact(width)) {
            for (sum, v) in sums.iter_mut().zip(&v[64 * i..][..64]) {
                *sum = weight.mul_add(v.value(), *sum);
            }
        }
        *part = sums;
    }
    let done = width - rest.len();
    for (weight, v) in weights.iter().zip(v.chunks_exact(width)) {
        for (sum, v) in rest.iter_mut().zip(&v[done..]) {
            *sum = weight.mul_add(v.value(), *sum);
        }
    }
}

/// Products of one vector with `N` others, in 16 partial sums each, which are added in pairs: for vectors that are as short as a
/// head, adding them one after another would take longer than all products.
#[inline(always)]
fn dots<E: Element, const N: usize>(a: &[E], others: [&[E]; N]) -> [f32; N] {
    let (parts, rest) = a.as_chunks::<16>();
    let mut sums = [[0.0f32; 16]; N];
    for (i, a) in parts.iter().enumerate() {
        for (sums, b) in sums.iter_mut().zip(others) {
            let b = &b.as_chunks::<16>().0[i];
            for lane in 0..16 {
                sums[lane] = a[lane].value().mul_add(b[lane].value(), sums[lane]);
            }
        }
    }
    let mut dots = [0.0; N];
    for ((dot, sums), b) in dots.iter_mut().zip(&mut sums).zip(others) {
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                sums[lane] += sums[lane + half];
            }
        }
        let b = &b[a.len() - rest.len()..];
        *dot = sums[0]
            + rest
                .iter()
                .zip(b)
                .map(|(a, b)| a.value() * b.value())
                .sum::<f32>();
    }
    dots
}
