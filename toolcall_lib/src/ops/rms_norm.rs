//! RMSNorm: `y = x · w / sqrt(mean(x²) + eps)` (Zhang and Sennrich, 2019).

use super::element::Element;
use super::simd::dot;
use super::{ELEMENTS_PER_TASK, ROWS_PER_TASK};
use multiversion::multiversion;
use rayon::prelude::*;

/// Normalizes each row of `x` (`[rows, width]`, `width` = length of `w`) into `y`.
pub fn rms_norm<E: Element>(x: &[f32], w: &[f32], eps: f32, y: &mut [E]) {
    let task = ROWS_PER_TASK * w.len();
    y.par_chunks_mut(task)
        .zip(x.par_chunks(task))
        .for_each(|(y, x)| rows(x, w, eps, y));
}

/// `sum = x + added`, and [`rms_norm`] of the sum into `y`.
pub fn add_rms_norm<E: Element>(x: &[f32], added: &[E], sum: &mut [f32], w: &[f32], eps: f32, y: &mut [E]) {
    let task = ROWS_PER_TASK * w.len();
    let terms = x.par_chunks(task).zip(added.par_chunks(task));
    y.par_chunks_mut(task)
        .zip(sum.par_chunks_mut(task).zip(terms))
        .for_each(|(y, (sum, (x, added)))| {
            add_rows(x, added, sum);
            rows(sum, w, eps, y);
        });
}

#[multiversion(targets = "simd")]
fn add_rows<E: Element>(x: &[f32], added: &[E], sum: &mut [f32]) {
    for ((sum, x), added) in sum.iter_mut().zip(x).zip(added) {
        *sum = x + added.value();
    }
}

/// `sum += x`.
pub fn add(x: &[f32], sum: &mut [f32]) {
    sum.par_chunks_mut(ELEMENTS_PER_TASK)
        .zip(x.par_chunks(ELEMENTS_PER_TASK))
        .for_each(|(sum, x)| sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x));
}

#[multiversion(targets = "simd")]
fn rows<E: Element>(x: &[f32], w: &[f32], eps: f32, y: &mut [E]) {
    for (y, x) in y.chunks_exact_mut(w.len()).zip(x.chunks_exact(w.len())) {
        rms_norm_row(x, w, eps, y);
    }
}

/// One row of [`rms_norm`].
#[inline(always)]
pub(super) fn rms_norm_row<E: Element>(x: &[f32], w: &[f32], eps: f32, y: &mut [E]) {
    let scale = inverse_rms(x, eps);
    for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
        *y = E::of(w * (x * scale));
    }
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt()
}

/// Gradients of [`rms_norm`], both added: `dx += ∂/∂x`, and `dw += ∂/∂w` where it is wanted.
pub fn rms_norm_backward(x: &[f32], w: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], dw: Option<&mut [f32]>) {
    let task = ROWS_PER_TASK * w.len();
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

#[multiversion(targets = "simd")]
fn rows_backward(x: &[f32], w: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], dw: &mut [f32]) {
    let rows = x.chunks_exact(w.len()).zip(dy.chunks_exact(w.len()));
    for (dx, (x, dy)) in dx.chunks_exact_mut(w.len()).zip(rows) {
        rms_norm_row_backward(x, w, eps, dy, dx, dw);
    }
}

/// One row of [`rms_norm_backward`].
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
    // with x̂ = x · scale: dx = scale · (w·dy − x̂ · mean(w·dy·x̂))
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
        add_rms_norm(&x, &added, &mut sum, &w, 1e-5, &mut y);
        let mut want_sum = added;
        add(&x, &mut want_sum);
        rms_norm(&want_sum, &w, 1e-5, &mut want);
        assert_eq!((sum, y), (want_sum, want));
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
