//! Vector code without intrinsics: plain loops in functions marked
//! [`#[vectorized]`](toolcall_macros::vectorized).
//!
//! Such a function is compiled once for each instruction set, and the version of
//! [`isa`](crate::cpu::isa) runs. Functions that it calls must be `#[inline(always)]` to be
//! compiled with it.

use super::element::Element;

/// Computes `e^x` to 2 ulp, in a form that vectorizes; 0 below -87, finite above 88.
///
/// The method is Cephes' `expf`: `x = n ln 2 + r` with `|r| <= ln 2 / 2`, a polynomial for `e^r`,
/// and `2^n` through the exponent bits.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: the low bits of x + ROUND are round(x)
    let below = x < -87.0;
    let x = x.clamp(-87.0, 88.0);
    // 1. Reduce: n = round(x / ln 2), r = x − n · ln 2 with ln 2 in two parts.
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    // 2. Polynomial for e^r.
    let mut p = 1.987_569_2e-4_f32;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p.mul_add(r, c);
    }
    let p = p.mul_add(r * r, r) + 1.0;
    // 3. Scale by 2^n: n, still in the low bits of `shifted`, becomes the exponent.
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if below { 0.0 } else { p * power }
}

/// Returns the sum of products, in 16 partial sums so that it vectorizes; the order is fixed.
#[inline(always)]
pub fn dot<E: Element>(a: &[E], b: &[E]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(x, y)| x.value() * y.value())
        .sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] = x[lane].value().mul_add(y[lane].value(), sums[lane]);
        }
    }
    sums.iter().sum::<f32>() + tail
}

/// Returns the sum, in 16 partial sums so that it vectorizes; the order is fixed.
#[inline(always)]
pub fn sum(x: &[f32]) -> f32 {
    lanes(x, 0.0, |a, b| a + b)
}

/// Returns the largest element, or -∞ if there is none.
#[inline(always)]
pub fn max(x: &[f32]) -> f32 {
    lanes(x, f32::NEG_INFINITY, f32::max)
}

/// Folds the elements in 16 lanes, then the lanes and the rest.
#[inline(always)]
fn lanes(x: &[f32], start: f32, fold: impl Fn(f32, f32) -> f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<16>();
    let mut lanes = [start; 16];
    for chunk in chunks {
        for lane in 0..16 {
            lanes[lane] = fold(lanes[lane], chunk[lane]);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(start, fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_and_max_take_every_element() {
        for len in [0, 1, 16, 37] {
            let x: Vec<f32> = (0..len).map(|i| -1.0 - i as f32).collect();
            assert_eq!(sum(&x), x.iter().sum::<f32>());
            assert_eq!(max(&x), x.first().copied().unwrap_or(f32::NEG_INFINITY));
        }
    }

    #[test]
    fn exp_is_within_two_ulp() {
        for i in -860..=870 {
            let x = i as f32 * 0.1 + 0.0137;
            let (got, want) = (exp(x), f64::from(x).exp());
            assert!(
                ((f64::from(got) - want) / want).abs() < 2.5e-7,
                "exp({x}) = {got}, not {want}"
            );
        }
        assert_eq!((exp(0.0), exp(-1e9), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
    }

    #[test]
    fn dot_sums_all_elements() {
        let a: Vec<f32> = (0..53).map(|i| i as f32).collect();
        assert_eq!(dot(&a, &a), (0..53).map(|i| (i * i) as f32).sum::<f32>());
    }
}
