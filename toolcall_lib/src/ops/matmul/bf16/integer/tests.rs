//! Products in integers, compared with products in f64.

use super::super::few::linear_few;
use super::super::instructions;
use super::*;
use crate::ops::testing::random;
use crate::weights::{Packed, Tensor, packed_for_test};
use half::f16;

const TYPES: [GgmlDType; 3] = [GgmlDType::Q8_0, GgmlDType::Q4_0, GgmlDType::Q4_1];

/// Returns `x · wᵀ` as it is computed here and in f64, and the product of the norms; none on
/// processors without the instructions.
fn products(x: &[f32], w: Tensor<'_>) -> Option<(Vec<f32>, Vec<f64>, Vec<f64>)> {
    instructions()?;
    let (input, output) = (w.columns(), w.rows());
    let mut weights = vec![0.0; output * input];
    w.unpack(0..output, &mut weights);
    let mut got = vec![0.0; x.len() / input * output];
    // SAFETY: the processor has the instructions.
    unsafe { linear_few(x, w, &mut got) };
    let pairs = x
        .chunks_exact(input)
        .flat_map(|x| weights.chunks_exact(input).map(move |w| (x, w)));
    let dot =
        |x: &[f32], w: &[f32]| -> f64 { x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum() };
    let (want, norms) = pairs
        .map(|(x, w)| (dot(x, w), (dot(x, x) * dot(w, w)).sqrt()))
        .unzip();
    Some((got, want, norms))
}

/// Asserts that products are as exact as the module says.
fn check(label: &str, x: &[f32], w: Tensor<'_>) {
    let Some((got, want, norms)) = products(x, w) else {
        return;
    };
    for ((got, want), norm) in got.iter().zip(want).zip(norms) {
        let error = (f64::from(*got) - want).abs();
        assert!(error <= norm * 2f64.powi(-13), "{label}: {got}, not {want}");
    }
}

/// Groups of four blocks and rests of one to three, for all numbers of rows and of outputs.
#[test]
fn products_are_those_of_the_unpacked_weights() {
    for dtype in TYPES {
        for (blocks, output) in [(1, 9), (2, 4), (3, 1), (4, 70), (5, 7), (18, 6), (8, 2)] {
            let input = blocks * BLOCK;
            let packed = packed_for_test(&random(output * input, 1), dtype, input);
            for rows in 1..=FEW {
                let mut x = random(rows * input, 2);
                x[input / 2] = 4000.0; // an element much larger than the others
                check(&format!("{dtype:?} {blocks} {rows}"), &x, packed.tensor());
            }
        }
    }
}

/// The parts of a tensor may have any types and begin within a task of 64 outputs.
#[test]
fn parts_are_multiplied_each_as_it_is_stored() {
    let of = |dtype, rows: usize| packed_for_test(&random(rows * 96, rows as u64), dtype, 96);
    let [first, second, third] = [
        of(GgmlDType::Q8_0, 30),
        of(GgmlDType::Q8_0, 61),
        of(GgmlDType::Q4_1, 5),
    ];
    check(
        "one kind of kernel",
        &random(3 * 96, 2),
        Tensor::packed(&[first, second, third], 96),
    );
    let parts = [
        of(GgmlDType::Q5_0, 30),
        of(GgmlDType::Q4_0, 61),
        of(GgmlDType::BF16, 5),
    ];
    let w = Tensor::packed(&parts, 96);
    let Some((got, want, _)) = products(&random(3 * 96, 2), w) else {
        return;
    };
    for (got, want) in got.iter().zip(want) {
        assert!((f64::from(*got) - want).abs() < 0.3, "{got}, not {want}");
    }
}

/// Returns weights whose integers are all `byte`, with a scale of 1 and a minimum of 0.
fn blocks_of(byte: u8, dtype: GgmlDType, rows: usize, input: usize) -> Packed {
    let mut packed = packed_for_test(&vec![0.0; rows * input], dtype, input);
    for block in packed.bytes_mut().chunks_exact_mut(dtype.type_size()) {
        block.fill(byte);
        block[..2].copy_from_slice(&f16::ONE.to_le_bytes());
        if dtype == GgmlDType::Q4_1 {
            block[2..4].fill(0);
        }
    }
    packed
}

/// The largest and the smallest bytes meet the largest elements of either sign, and elements of
/// any size.
#[test]
fn no_sum_overflows() {
    for dtype in TYPES {
        for byte in [0x00, 0x7f, 0x80, 0xff] {
            let packed = blocks_of(byte, dtype, 3, 4 * BLOCK);
            for size in [f32::MAX / 1e5, 1.0, -1.0, 1e-20, 1e-29] {
                let x = vec![size; 2 * 4 * BLOCK];
                check(&format!("{dtype:?} {byte} {size}"), &x, packed.tensor());
            }
        }
    }
}

#[test]
fn blocks_that_are_almost_zero_are_zero() {
    for size in [0.0, 1e-31, -1e-45] {
        let packed = blocks_of(0x7f, GgmlDType::Q8_0, 3, 64);
        let Some((got, ..)) = products(&[size; 64], packed.tensor()) else {
            return;
        };
        assert_eq!(got, [0.0; 3], "{size}");
    }
}

/// An element that is infinite or NaN makes all outputs of its row NaN, and of no other row.
#[test]
fn elements_that_are_not_finite_are_not_lost() {
    for dtype in TYPES {
        for element in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let packed = packed_for_test(&random(5 * 64, 1), dtype, 64);
            let mut x = random(2 * 64, 2);
            x[17] = element;
            let Some((got, ..)) = products(&x, packed.tensor()) else {
                return;
            };
            let (first, second) = got.split_at(5);
            assert!(first.iter().all(|y| y.is_nan()), "{dtype:?}: {first:?}");
            assert!(second.iter().all(|y| y.is_finite()), "{dtype:?}: {second:?}");
        }
    }
}
