//! Elements in the types of GGML: f32, f16, bf16, and blocks of few bits with their own scale.
//!
//! Loops that vectorize unpack the types that our programs make and the most common ones; candle
//! knows the others.

#[cfg(target_arch = "x86_64")]
use crate::cpu::{Isa, isa};
use candle_core::quantized::GgmlDType;
use candle_core::quantized::k_quants::{self, GgmlType};
use half::{bf16, f16};
use toolcall_macros::vectorized;

/// Returns the bytes of some elements, which must be whole blocks.
pub(crate) fn bytes_of(elements: usize, dtype: GgmlDType) -> usize {
    elements / dtype.block_size() * dtype.type_size()
}

/// Packs whole blocks into `bytes`, which they fill. A block of few bits cannot hold an element
/// that is infinite or NaN. It becomes NaN as a whole, so that the element does not get lost.
pub(super) fn pack(values: &[f32], dtype: GgmlDType, bytes: &mut [u8]) {
    match dtype {
        GgmlDType::F32 => bytes.copy_from_slice(bytemuck::cast_slice(values)),
        GgmlDType::F16 => each(bytes, values, |x| f16::from_f32(x).to_le_bytes()),
        GgmlDType::BF16 => each(bytes, values, |x| bf16::from_f32(x).to_le_bytes()),
        _ => {
            let mut packed = dtype.cpu_zeros(values.len());
            packed.from_float(values);
            // SAFETY: candle's blocks are plain bytes, and there are `storage_size_in_bytes` of
            // them.
            let packed =
                unsafe { std::slice::from_raw_parts(packed.as_ptr(), packed.storage_size_in_bytes()) };
            bytes.copy_from_slice(packed);
            let blocks = bytes.chunks_exact_mut(dtype.type_size());
            for (block, values) in blocks.zip(values.chunks_exact(dtype.block_size())) {
                if !values.iter().all(|value| value.is_finite()) {
                    block.fill(0xff); // also its scale
                }
            }
        }
    }
}

/// Converts each value to two bytes.
fn each(bytes: &mut [u8], values: &[f32], bytes_of: impl Fn(f32) -> [u8; 2]) {
    let pairs = bytes.as_chunks_mut::<2>().0.iter_mut();
    pairs.zip(values).for_each(|(pair, x)| *pair = bytes_of(*x));
}

/// Unpacks whole blocks. Their bytes are aligned to the parts of a block: 4 for f32, 2 for all
/// others.
pub(crate) fn unpack(dtype: GgmlDType, bytes: &[u8], values: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the processor has AVX2, FMA and F16C.
    if isa() == Isa::Avx2 && unsafe { super::avx2::unpack(dtype, bytes, values) } {
        return;
    }
    match dtype {
        GgmlDType::F32 => values.copy_from_slice(blocks(bytes)),
        GgmlDType::F16 => from_f16(bytes, values),
        GgmlDType::BF16 => from_bf16(bytes, values),
        GgmlDType::Q8_0 => from_q8_0(bytes, values),
        GgmlDType::Q4_0 => from_q4_0(bytes, values),
        GgmlDType::Q4_1 => from_q4_1(bytes, values),
        GgmlDType::Q5_0 => k_quants::BlockQ5_0::to_float(blocks(bytes), values),
        GgmlDType::Q5_1 => k_quants::BlockQ5_1::to_float(blocks(bytes), values),
        GgmlDType::Q8_1 => k_quants::BlockQ8_1::to_float(blocks(bytes), values),
        GgmlDType::Q2K => k_quants::BlockQ2K::to_float(blocks(bytes), values),
        GgmlDType::Q3K => k_quants::BlockQ3K::to_float(blocks(bytes), values),
        GgmlDType::Q4K => k_quants::BlockQ4K::to_float(blocks(bytes), values),
        GgmlDType::Q5K => k_quants::BlockQ5K::to_float(blocks(bytes), values),
        GgmlDType::Q6K => k_quants::BlockQ6K::to_float(blocks(bytes), values),
        GgmlDType::Q8K => k_quants::BlockQ8K::to_float(blocks(bytes), values),
    }
}

/// Returns the bytes as blocks.
fn blocks<T: GgmlType>(bytes: &[u8]) -> &[T] {
    let start = bytes.as_ptr().cast::<T>();
    assert!(start.is_aligned(), "blocks begin at an odd address");
    // SAFETY: blocks are plain numbers, so any bytes will do; they are aligned and within the
    // slice.
    unsafe { std::slice::from_raw_parts(start, bytes.len() / size_of::<T>()) }
}

/// Converts the bits of an f16, in a form that vectorizes.
#[inline(always)]
fn from_half(bits: u16) -> f32 {
    const EXPONENT: u32 = 0x7c00;
    const TWO_TO_112: f32 = f32::from_bits((112 + 127) << 23);
    let (sign, rest) = (u32::from(bits >> 15), u32::from(bits & 0x7fff));
    // The exponent of an f16 is 112 less than that of an f32, also where the number is subnormal.
    let finite = (f32::from_bits(rest << 13) * TWO_TO_112).to_bits();
    let special = (rest << 13) | 0x7f80_0000; // infinity, or not a number
    let magnitude = if rest & EXPONENT == EXPONENT {
        special
    } else {
        finite
    };
    f32::from_bits(sign << 31 | magnitude)
}

/// Reads the f16 scale at byte `at` of a block.
#[inline(always)]
fn scale(bytes: &[u8], at: usize) -> f32 {
    from_half(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

#[vectorized]
fn from_f16(bytes: &[u8], values: &mut [f32]) {
    for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *value = from_half(u16::from_le_bytes(*bytes));
    }
}

#[vectorized]
fn from_bf16(bytes: &[u8], values: &mut [f32]) {
    for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *value = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
    }
}

/// Unpacks blocks of a scale and 32 signed bytes.
#[vectorized]
fn from_q8_0(bytes: &[u8], values: &mut [f32]) {
    let blocks = bytes.as_chunks::<34>().0;
    for (values, block) in values.as_chunks_mut::<32>().0.iter_mut().zip(blocks) {
        let d = scale(block, 0);
        for i in 0..32 {
            values[i] = d * f32::from(block[2 + i] as i8);
        }
    }
}

/// Unpacks blocks of a scale and 32 half bytes, which stand for -8 to 7; the second 16 are the high
/// halves.
#[vectorized]
fn from_q4_0(bytes: &[u8], values: &mut [f32]) {
    let blocks = bytes.as_chunks::<18>().0;
    for (values, block) in values.as_chunks_mut::<32>().0.iter_mut().zip(blocks) {
        let d = scale(block, 0);
        for i in 0..16 {
            let pair = block[2 + i];
            values[i] = d * (f32::from(pair & 15) - 8.0);
            values[16 + i] = d * (f32::from(pair >> 4) - 8.0);
        }
    }
}

/// Unpacks blocks of a scale, the least value, and 32 half bytes, which stand for 0 to 15.
#[vectorized]
fn from_q4_1(bytes: &[u8], values: &mut [f32]) {
    let blocks = bytes.as_chunks::<20>().0;
    for (values, block) in values.as_chunks_mut::<32>().0.iter_mut().zip(blocks) {
        let (d, m) = (scale(block, 0), scale(block, 2));
        for i in 0..16 {
            let pair = block[4 + i];
            values[i] = d * f32::from(pair & 15) + m;
            values[16 + i] = d * f32::from(pair >> 4) + m;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::CpuStorage;

    #[test]
    fn every_f16_has_its_value() {
        for bits in 0..=u16::MAX {
            let (got, want) = (from_half(bits), f16::from_bits(bits).to_f32());
            assert!(
                got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(),
                "{bits:#06x}: {got}, not {want}"
            );
        }
    }

    /// Compares our own loops with candle's.
    #[test]
    fn blocks_are_unpacked_as_candle_does() {
        let values: Vec<f32> = (0..512).map(|i| ((i * 37 % 101) as f32 - 50.0) / 17.0).collect();
        for dtype in [
            GgmlDType::F16,
            GgmlDType::BF16,
            GgmlDType::Q8_0,
            GgmlDType::Q4_0,
            GgmlDType::Q4_1,
            GgmlDType::Q5_0,
            GgmlDType::Q4K,
            GgmlDType::Q6K,
        ] {
            let mut bytes = vec![0; bytes_of(values.len(), dtype)];
            pack(&values, dtype, &mut bytes);
            let mut unpacked = vec![0.0; values.len()];
            unpack(dtype, &bytes, &mut unpacked);
            let Ok(CpuStorage::F32(want)) = dtype.from_data((&bytes[..]).into()).dequantize(values.len())
            else {
                unreachable!("candle unpacks to f32")
            };
            for (got, want) in unpacked.iter().zip(want) {
                assert!((got - want).abs() <= 1e-6, "{dtype:?}: {got} {want}");
            }
            let error = unpacked.iter().zip(&values).map(|(a, b)| (a - b).abs());
            assert!(error.fold(0.0, f32::max) < 0.4, "{dtype:?}");
        }
    }

    #[test]
    fn a_block_with_an_element_that_is_not_finite_is_nan() {
        for dtype in [
            GgmlDType::F16,
            GgmlDType::BF16,
            GgmlDType::Q8_0,
            GgmlDType::Q4_0,
            GgmlDType::Q5_0,
            GgmlDType::Q4K,
            GgmlDType::Q6K,
        ] {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut values = vec![0.5; 512];
                values[256 + 3] = value;
                let mut bytes = vec![0; bytes_of(values.len(), dtype)];
                pack(&values, dtype, &mut bytes);
                unpack(dtype, &bytes, &mut values);
                assert!(values[..256].iter().all(|x| x.is_finite()), "{dtype:?}");
                assert!(!values[256 + 3].is_finite(), "{dtype:?}: {}", values[256 + 3]);
            }
        }
    }
}
