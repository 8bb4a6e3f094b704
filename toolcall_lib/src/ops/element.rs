//! Number types of buffers: f32 and bf16, and stochastic rounding between them.

use bytemuck::{Pod, Zeroable};
use half::bf16;
use std::fmt::Debug;

/// A number as it is stored: f32, or bf16, which takes half the memory and half the time to read
/// and write. Operations compute in f32 in any case.
pub trait Element: Pod + Send + Sync + Debug {
    /// True for bf16.
    const IS_BF16: bool;

    /// True if products that take bf16 round this type like [`Stochastic`], not to the nearest.
    const IS_STOCHASTIC: bool = false;

    /// Rounds to the nearest number of this type; a tie goes to the even one.
    fn of(x: f32) -> Self;

    /// Returns the value as f32.
    fn value(self) -> f32;
}

impl Element for f32 {
    const IS_BF16: bool = false;

    #[inline(always)]
    fn of(x: f32) -> Self {
        x
    }

    #[inline(always)]
    fn value(self) -> f32 {
        self
    }
}

impl Element for bf16 {
    const IS_BF16: bool = true;

    /// Rounds like `bf16::from_f32`, without a branch, so that loops vectorize.
    #[inline(always)]
    fn of(x: f32) -> Self {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        let nan = bits | 0x0040_0000; // a NaN must not be rounded to infinity
        Self::from_bits(((if x.is_nan() { nan } else { rounded }) >> 16) as u16)
    }

    #[inline(always)]
    fn value(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

/// A trained f32 weight whose bf16 copies follow it even when an update is too small for bf16:
/// they are rounded stochastically.
///
/// A copy is one of the two bf16 around the weight, each the more often the nearer it is, so that
/// the mean is preserved. The random bits are a hash of the weight's bits: it is rounded the same
/// way in every product, on every rank, and in a resumed run. A value that bf16 can hold stays as
/// it is. With `bits` and `hash = bits · HASH mod 2³²`, the copy is `(bits + (hash >> 16)) >> 16`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(transparent)]
pub struct Stochastic(f32);

impl Element for Stochastic {
    const IS_BF16: bool = false;
    const IS_STOCHASTIC: bool = true;

    #[inline(always)]
    fn of(x: f32) -> Self {
        Self(x)
    }

    #[inline(always)]
    fn value(self) -> f32 {
        self.0
    }
}

/// Multiplier of the hash: 2³² divided by the golden ratio (Knuth, The Art of Computer Programming,
/// 6.4). Neighbouring values are far apart in the upper bits of the product.
pub const HASH: u32 = 0x9e37_79b9;

/// Returns the elements as f32, if they are f32.
pub(super) fn as_f32<E: Element>(elements: &[E]) -> Option<&[f32]> {
    if E::IS_BF16 {
        return None;
    }
    bytemuck::try_cast_slice(elements).ok()
}

/// Returns the elements as f32 to write, if they are f32.
pub(super) fn as_f32_mut<E: Element>(elements: &mut [E]) -> Option<&mut [f32]> {
    if E::IS_BF16 {
        return None;
    }
    bytemuck::try_cast_slice_mut(elements).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::round_stochastically;

    #[test]
    fn bf16_is_rounded_as_half_rounds_it() {
        let halfway = [0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x7f7f_ffff, 0x8000_0001];
        let special = [f32::NAN, -f32::NAN, f32::INFINITY, f32::MIN, 0.0, -0.0].map(f32::to_bits);
        let spread = (0..100_000u32).map(|i| i.wrapping_mul(0x9e37_79b9));
        for bits in halfway.into_iter().chain(special).chain(spread) {
            let x = f32::from_bits(bits);
            let (got, want) = (<bf16 as Element>::of(x), bf16::from_f32(x));
            assert_eq!(got.to_bits(), want.to_bits(), "{x} ({bits:x})");
            assert_eq!(got.value().to_bits(), want.to_f32().to_bits());
        }
    }

    /// Checks that weights between two bf16, as updates move them, keep their mean to 1 % of the
    /// distance of the two.
    #[test]
    fn stochastic_rounding_keeps_the_mean() {
        for low in [0x3dcc_0000u32, 0xbb07_0000, 0x4110_0000] {
            let (mut sum, mut rounded) = (0.0, 0.0);
            for part in (0..0x1_0000).step_by(7) {
                let x = f32::from_bits(low + part);
                let got = round_stochastically(x);
                assert!(
                    [low, low + 0x1_0000].contains(&(u32::from(got.to_bits()) << 16)),
                    "{x}"
                );
                sum += f64::from(x);
                rounded += f64::from(got.to_f32());
            }
            let distance = f64::from(f32::from_bits(low + 0x1_0000) - f32::from_bits(low));
            let mean = (rounded - sum) / f64::from(0x1_0000 / 7) / distance;
            assert!(mean.abs() < 0.01, "{low:x}: {mean}");
            assert_eq!(
                round_stochastically(f32::from_bits(low)).to_bits(),
                (low >> 16) as u16
            );
        }
        for special in [f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0] {
            assert_eq!(
                round_stochastically(special).to_f32().to_bits(),
                special.to_bits()
            );
        }
        assert!(round_stochastically(f32::NAN).is_nan());
    }
}
