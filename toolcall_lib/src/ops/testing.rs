//! Random inputs, finite differences and a reference for stochastic rounding, for tests.

use super::element::HASH;
use half::bf16;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

/// Draws `n` normally distributed numbers.
pub fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| StandardNormal.sample(&mut rng)).collect()
}

/// Rounds to bf16 as [`Stochastic`](super::element::Stochastic) says.
pub fn round_stochastically(x: f32) -> bf16 {
    let bits = x.to_bits();
    bf16::from_bits((bits.wrapping_add(bits.wrapping_mul(HASH) >> 16) >> 16) as u16)
}

/// Asserts that `gradient` equals the central differences of `loss` at `x`.
pub fn assert_gradient(x: &[f32], gradient: &[f32], loss: impl Fn(&[f32]) -> f32) {
    const STEP: f32 = 1e-2;
    let scale = gradient.iter().fold(1e-3f32, |m, g| m.max(g.abs()));
    for i in 0..x.len() {
        let at = |delta: f32| {
            let mut moved = x.to_vec();
            moved[i] += delta;
            f64::from(loss(&moved))
        };
        // fourth order, so that the step may be large enough for f32
        let slope =
            (8.0 * (at(STEP) - at(-STEP)) - (at(2.0 * STEP) - at(-2.0 * STEP))) / (12.0 * f64::from(STEP));
        let error = (slope - f64::from(gradient[i])).abs();
        assert!(
            error < 4e-3 * f64::from(scale),
            "element {i}: gradient {}, slope {slope}",
            gradient[i]
        );
    }
}
