//! RMSNorm: `y = x · w / sqrt(mean(x²) + eps)` (Zhang and Sennrich, 2019), and the residual sum
//! before it.

use super::element::Element;
use super::simd::dot;
use super::{ELEMENTS_PER_TASK, ROWS_PER_TASK};
use rayon::prelude::*;
use toolcall_macros::vectorized;

/// Normalizes each row of `x` into `y`; both are `[rows, width]`, and `width` is the length of `w`.
pub fn rms_norm<E: Element>(x: &[f32], w: &[f32], eps: f32, y: &mut [E]) {
    let task = ROWS_PER_TASK * w.len();
    y.par_chunks_mut(task)
        .zip(x.par_chunks(task))
        .for_each(|(y, x)| rows(x, w, eps, y));
}

/// Writes `x + added` to `sum`, for all rows or for the `wanted` ones, and [`rms_norm`] of the sum
/// to `y`. `x` and `added` have all rows (`[rows, width]`); `sum` and `y` have the wanted ones.
pub fn add_rms_norm<E: Element>(
    x: &[f32],
    added: &[E],
    wanted: Option<&[usize]>,
    sum: &mut [f32],
    w: &[f32],
    eps: f32,
    y: &mut [E],
) {
    let width = w.len();
    y.par_chunks_mut(ROWS_PER_TASK * width)
        .zip(sum.par_chunks_mut(ROWS_PER_TASK * width))
        .enumerate()
        .for_each(|(task, (y, sum))| {
            for (at, sum) in (task * ROWS_PER_TASK..).zip(sum.chunks_exact_mut(width)) {
                let row = wanted.map_or(at, |wanted| wanted[at]);
                let elements = row * width..(row + 1) * width;
                add_row(&x[elements.clone()], &added[elements], sum);
            }
            rows(sum, w, eps, y);
        });
}

/// Writes `x + added` of one row to `sum`.
#[vectorized]
fn add_row<E: Element>(x: &[f32], added: &[E], sum: &mut [f32]) {
    for ((sum, x), added) in sum.iter_mut().zip(x).zip(added) {
        *sum = x + added.value();
    }
}

/// Moves row `i` of `x` (`[rows, width]`) to row `to[i]` and sets the other rows to zero. `to` must
/// ascend.
pub fn spread_rows(x: &mut [f32], to: &[usize], width: usize) {
    let mut end = x.len();
    for (from, to) in to.iter().enumerate().rev() {
        x.copy_within(from * width..(from + 1) * width, to * width);
        x[(to + 1) * width..end].fill(0.0);
        end = to * width;
    }
    x[..end].fill(0.0);
}

/// Adds `x` to `sum`.
pub fn add(x: &[f32], sum: &mut [f32]) {
    sum.par_chunks_mut(ELEMENTS_PER_TASK)
        .zip(x.par_chunks(ELEMENTS_PER_TASK))
        .for_each(|(sum, x)| sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x));
}

/// Computes [`rms_norm`] of some rows.
#[vectorized]
fn rows<E: Element>(x: &[f32], w: &[f32], eps: f32, y: &mut [E]) {
    for (y, x) in y.chunks_exact_mut(w.len()).zip(x.chunks_exact(w.len())) {
        rms_norm_row(x, w, eps, y);
    }
}

/// Normalizes one row; see [`rms_norm`].
#[inline(always)]
pub(super) fn rms_norm_row<E: Element>(x: &[f32], w: &[f32], eps: f32, y: &mut [E]) {
    let scale = inverse_rms(x, eps);
    for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
        *y = E::of(w * (x * scale));
    }
}

/// Returns `1 / sqrt(mean(x²) + eps)`.
#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt()
}

/// Adds both gradients of [`rms_norm`]: `dx += ∂/∂x`, and `dw += ∂/∂w` if it is wanted.
pub fn rms_norm_backward(x: &[f32], w: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], dw: Option<&mut [f32]>) {
    let task = ROWS_PER_TASK * w.len();
    // Each task sums its own dw; the parts are then added in a fixed order.
    let partial: Vec<Vec<f32>> = dx
        .par_chunks_mut(task)
        .zip(x.par_chunks(task).zip(dy.par_chunks(task)))
        .map(|(dx, (x, dy))| {
            let mut dw = vec![0.0; w.len()];
            rows_backward(x, w, eps, dy, dx, &mut dw);
            dw
        })
        .collect();
    let Some(dw) = dw else { return };
    for part in partial {
        dw.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
}

/// Computes [`rms_norm_backward`] of some rows.
#[vectorized]
fn rows_backward(x: &[f32], w: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], dw: &mut [f32]) {
    let rows = x.chunks_exact(w.len()).zip(dy.chunks_exact(w.len()));
    for (dx, (x, dy)) in dx.chunks_exact_mut(w.len()).zip(rows) {
        rms_norm_row_backward(x, w, eps, dy, dx, dw);
    }
}

/// Adds both gradients of one row; see [`rms_norm_backward`].
#[inline(always)]
pub(super) fn rms_norm_row_backward(
    x: &[f32],
    w: &[f32],
    eps: f32,
    dy: &[f32],
    dx: &mut [f32],
    dw: &mut [f32],
) {
    let scale = inverse_rms(x, eps);
    // With x̂ = x · scale: dx = scale · (w·dy − x̂ · mean(w·dy·x̂)) and dw = dy · x̂.
    let mut products = [0.0; 16]; // partial sums, so that the loop vectorizes
    for (((x, w), dy), dw) in x
        .chunks(16)
        .zip(w.chunks(16))
        .zip(dy.chunks(16))
        .zip(dw.chunks_mut(16))
    {
        let columns = x.iter().zip(w).zip(dy).zip(dw);
        for (product, (((x, w), dy), dw)) in products.iter_mut().zip(columns) {
            let normalized = x * scale;
            *product += w * dy * normalized;
            *dw += dy * normalized;
        }
    }
    let product: f32 = products.iter().sum();
    let mean = product / x.len() as f32;
    // second pass over the row, now that the mean is known
    for (((dx, x), w), dy) in dx.iter_mut().zip(x).zip(w).zip(dy) {
        *dx += scale * (w * dy - x * scale * mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_gradient, random};

    #[test]
    fn a_sum_is_normalized_like_any_row() {
        let (x, added, w) = (random(3 * 7, 1), random(3 * 7, 2), random(7, 3));
        let (mut sum, mut y, mut want) = (vec![9.0; 21], vec![0.0; 21], vec![0.0; 21]);
        add_rms_norm(&x, &added, None, &mut sum, &w, 1e-5, &mut y);
        let mut want_sum = added;
        add(&x, &mut want_sum);
        rms_norm(&want_sum, &w, 1e-5, &mut want);
        assert_eq!((sum, y), (want_sum, want));
    }

    #[test]
    fn wanted_rows_are_added_alone_and_spread_again() {
        let (x, added, w) = (random(80 * 7, 1), random(80 * 7, 2), random(7, 3));
        let of = |rows: usize, wanted| {
            let (mut sum, mut y) = (vec![9.0; rows * 7], vec![9.0; rows * 7]);
            add_rms_norm(&x, &added, wanted, &mut sum, &w, 1e-5, &mut y);
            [sum, y]
        };
        // more rows than one task has
        let wanted: Vec<usize> = (1..80).filter(|row| row % 7 > 2).collect();
        let all = of(80, None);
        let [some, normed] = of(wanted.len(), Some(&wanted));
        let pick = |x: &[f32]| -> Vec<f32> {
            let rows = wanted.iter().flat_map(|row| &x[row * 7..][..7]);
            rows.copied().collect()
        };
        assert_eq!([pick(&all[0]), pick(&all[1])], [some.clone(), normed]);

        let mut spread = vec![9.0; 80 * 7];
        spread[..some.len()].copy_from_slice(&some);
        spread_rows(&mut spread, &wanted, 7);
        assert_eq!(pick(&spread), some);
        let rows = spread.chunks(7).enumerate();
        let mut others = rows.filter(|(row, _)| !wanted.contains(row));
        assert!(others.all(|(_, x)| x == [0.0; 7]));
    }

    #[test]
    fn gradients_match_finite_differences() {
        let (rows, width) = (3, 7);
        let (x, w, dy) = (random(rows * width, 1), random(width, 2), random(rows * width, 3));
        let loss = |x: &[f32], w: &[f32]| {
            let mut y = vec![0.0; rows * width];
            rms_norm(x, w, 1e-5, &mut y);
            dot(&y, &dy)
        };
        let (mut dx, mut dw) = (vec![0.0; rows * width], vec![0.0; width]);
        rms_norm_backward(&x, &w, 1e-5, &dy, &mut dx, Some(&mut dw));
        assert_gradient(&x, &dx, |x| loss(x, &w));
        assert_gradient(&w, &dw, |w| loss(&x, w));
    }
}
