//! SwiGLU: `silu(gate) · up` (Shazeer, 2020), with `silu(x) = x · sigmoid(x)`.

use super::ROWS_PER_TASK;
use super::element::Element;
use super::simd::exp;
use rayon::prelude::*;
use toolcall_macros::vectorized;

/// Computes `y = silu(gate) · up`. `gate_up` is `[rows, 2 · width]`, with the gate in the first
/// half of each row; `y` is `[rows, width]`.
pub fn swiglu<E: Element>(gate_up: &[E], y: &mut [E], width: usize) {
    let gate_up = gate_up.par_chunks(ROWS_PER_TASK * 2 * width);
    y.par_chunks_mut(ROWS_PER_TASK * width)
        .zip(gate_up)
        .for_each(|(y, gate_up)| rows(gate_up, y, width));
}

/// Computes [`swiglu`] of some rows.
#[vectorized]
fn rows<E: Element>(gate_up: &[E], y: &mut [E], width: usize) {
    for (y, gate_up) in y.chunks_exact_mut(width).zip(gate_up.chunks_exact(2 * width)) {
        let (gate, up) = gate_up.split_at(width);
        for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
            let (g, u) = (g.value(), u.value());
            *y = E::of(g * sigmoid(g) * u);
        }
    }
}

/// Writes the gradient of [`swiglu`] to `dgate_up` (`[rows, 2 · width]`).
pub fn swiglu_backward<E: Element>(gate_up: &[E], dy: &[E], dgate_up: &mut [E], width: usize) {
    let inputs = gate_up
        .par_chunks(ROWS_PER_TASK * 2 * width)
        .zip(dy.par_chunks(ROWS_PER_TASK * width));
    dgate_up
        .par_chunks_mut(ROWS_PER_TASK * 2 * width)
        .zip(inputs)
        .for_each(|(dgate_up, (gate_up, dy))| rows_backward(gate_up, dy, dgate_up, width));
}

/// Computes [`swiglu_backward`] of some rows.
#[vectorized]
fn rows_backward<E: Element>(gate_up: &[E], dy: &[E], dgate_up: &mut [E], width: usize) {
    let inputs = gate_up.chunks_exact(2 * width).zip(dy.chunks_exact(width));
    for (dgate_up, (gate_up, dy)) in dgate_up.chunks_exact_mut(2 * width).zip(inputs) {
        let ((gate, up), (dgate, dup)) = (gate_up.split_at(width), dgate_up.split_at_mut(width));
        for ((((dg, du), g), u), dy) in dgate.iter_mut().zip(dup).zip(gate).zip(up).zip(dy) {
            let (g, u, dy) = (g.value(), u.value(), dy.value());
            let s = sigmoid(g);
            // silu(g) = g · s, and its derivative is s · (1 + g · (1 − s))
            *du = E::of(dy * g * s);
            *dg = E::of(dy * u * s * (1.0 + g * (1.0 - s)));
        }
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::simd::dot;
    use crate::ops::testing::{assert_gradient, random};

    #[test]
    fn gradient_matches_finite_differences() {
        let (rows, width) = (3, 5);
        let (gate_up, dy) = (random(rows * 2 * width, 1), random(rows * width, 2));
        let mut dgate_up = vec![0.0; rows * 2 * width];
        swiglu_backward(&gate_up, &dy, &mut dgate_up, width);
        assert_gradient(&gate_up, &dgate_up, |gate_up| {
            let mut y = vec![0.0; rows * width];
            swiglu(gate_up, &mut y, width);
            dot(&y, &dy)
        });
    }
}
