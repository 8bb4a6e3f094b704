//! The numbers that buffers hold.

use bytemuck::Pod;
use half::bf16;
use std::fmt::Debug;

/// A number as it is stored: f32, or bf16, which takes half the memory and half the time to read and write. Ops compute in f32
/// in any case.
pub trait Element: Pod + Send + Sync + Debug {
    /// Whether it is bf16.
    const IS_BF16: bool;

    /// The nearest one; of two, the even one.
    fn of(x: f32) -> Self;

    /// Its value.
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

    /// As `bf16::from_f32`, without a branch, so that loops vectorize.
    #[inline(always)]
    fn of(x: f32) -> Self {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        let nan = bits | 0x0040_0000; // must not be rounded to infinity
        Self::from_bits(((if x.is_nan() { nan } else { rounded }) >> 16) as u16)
    }

    #[inline(always)]
    fn value(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

/// The elements as f32, if that is what they are.
pub(super) fn as_f32<E: Element>(elements: &[E]) -> Option<&[f32]> {
    if E::IS_BF16 {
        return None;
    }
    bytemuck::try_cast_slice(elements).ok()
}

/// [`as_f32`], to write.
pub(super) fn as_f32_mut<E: Element>(elements: &mut [E]) -> Option<&mut [f32]> {
    if E::IS_BF16 {
        return None;
    }
    bytemuck::try_cast_slice_mut(elements).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
