//! f16 elements as bf16, and the bits that these lack.
//!
//! Products of bf16 read f16 weights rounded to bf16. The rest is needed only where the exact
//! elements count: rows of an embedding, exports, merged adapters. Stored apart, it costs replies
//! no time.
//!
//! As an f32, an f16 is 16 bits (a truncated bf16), three more bits of mantissa, then 13 zeros. The
//! rest is these three bits, and a fourth that is set if rounding went away from zero: then the
//! bf16 is one larger than the upper 16 bits. A byte holds two rests, the first in its low half.

use half::{bf16, f16};
use rayon::prelude::*;

/// Elements that one thread splits at a time; an even number.
const AT_A_TIME: usize = 1 << 16;

/// Bit of the rest of an element that was rounded away from zero.
const UP: u8 = 8;

/// Rounds elements to bf16, and returns the rest of each; the rest is empty if all are bf16.
/// Returns none if an element is infinite or NaN, or if the number of elements is odd.
pub(super) fn split(elements: &[f16]) -> Option<(Vec<bf16>, Vec<u8>)> {
    if !elements.len().is_multiple_of(2) || !elements.par_iter().all(|x| x.is_finite()) {
        return None;
    }
    let rounded: Vec<bf16> = elements.par_iter().map(|x| bf16::from_f32(x.to_f32())).collect();
    let mut rest = vec![0; elements.len() / 2];
    let pieces = rest.par_chunks_mut(AT_A_TIME / 2);
    pieces
        .zip(elements.par_chunks(AT_A_TIME))
        .for_each(|(rest, elements)| {
            for (rest, [first, second]) in rest.iter_mut().zip(elements.as_chunks().0) {
                *rest = rest_of(*first) | rest_of(*second) << 4;
            }
        });
    if rest.par_iter().all(|&rest| rest == 0) {
        rest = Vec::new();
    }
    Some((rounded, rest))
}

/// Turns rounded elements back into the exact ones. Leaves them unchanged if `rest` is empty.
pub(super) fn restore(values: &mut [f32], rest: &[u8]) {
    for (values, rest) in values.as_chunks_mut::<2>().0.iter_mut().zip(rest) {
        *values = [exact(values[0], rest & 15), exact(values[1], rest >> 4)];
    }
}

fn rest_of(x: f16) -> u8 {
    let bits = x.to_f32().to_bits();
    let lower = (bits >> 13 & 7) as u8;
    let is_up = u32::from(bf16::from_f32(x.to_f32()).to_bits()) != bits >> 16;
    lower | if is_up { UP } else { 0 }
}

fn exact(rounded: f32, rest: u8) -> f32 {
    let upper = (rounded.to_bits() >> 16) - u32::from(rest >> 3);
    f32::from_bits(upper << 16 | u32::from(rest & 7) << 13)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_is_split_and_put_together() {
        let all = (0..=u16::MAX).map(f16::from_bits);
        let finite: Vec<f16> = all.filter(|x| x.is_finite()).collect();
        let (rounded, rest) = split(&finite).unwrap();
        let mut values: Vec<f32> = rounded.iter().map(|x| x.to_f32()).collect();
        restore(&mut values, &rest);
        for (value, want) in values.iter().zip(&finite) {
            assert_eq!(value.to_bits(), want.to_f32().to_bits(), "{want}");
        }
    }

    #[test]
    fn nothing_is_left_of_a_bf16_and_no_f16_is_split_that_is_not_finite() {
        let exact = [0.0, -0.5, 1.0078125, 2e4].map(|x| f16::from_f32(bf16::from_f32(x).to_f32()));
        assert!(split(&exact).unwrap().1.is_empty());
        for x in [f16::NAN, f16::INFINITY] {
            assert!(split(&[f16::ONE, x]).is_none());
        }
    }
}
