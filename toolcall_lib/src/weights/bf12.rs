//! bf16 matrices in 12 bits per element, without loss.
//!
//! Reading the weights is most of the work of a single reply, and few of the 256 exponents of bf16
//! occur in the weights of a model. So a matrix has a table of 16 exponents, and an element is its
//! sign, its exponent's index in the table (4 bits), and the 7 bits of its mantissa. The few
//! elements with other exponents lie beside the matrix. f16 is rounded to bf16 and stored in the
//! same way; the bits that this loses are its [rest](super::rest). DFloat11 (Zhang et al., 2025)
//! does the same with a Huffman code, which is shorter by one bit and takes longer to read.
//!
//! A matrix row is a sequence of blocks, each of four vectors of 32 elements, then a tail of up to
//! three vectors as plain bf16. A block is three lines of 32 little-endian words of 16 bits. Line
//! `v` holds vector `v`, and the free bits of all three hold vector 3:
//!
//! | bits | word `i` of line `v` |
//! |---|---|
//! | 15, 14 to 11, 6 to 0 | sign, index of the exponent, and mantissa of element `32 v + i` |
//! | 10 to 7, v = 0 | index of the exponent of element `96 + i` |
//! | 10 to 7, v = 1 | upper four bits of its mantissa |
//! | 10 to 7, v = 2 | its sign, and the lower three bits of its mantissa |
//!
//! `avx512.rs` reads the same layout into registers.

use candle_core::quantized::GgmlDType;
use half::bf16;
use rayon::prelude::*;
use std::ops::Range;

/// Elements of a vector.
pub(super) const LANES: usize = 32;

/// Elements of a block, and the bytes that it takes.
pub(super) const BLOCK: usize = 4 * LANES;
pub(super) const BLOCK_BYTES: usize = 3 * 64;

/// One in so many elements may have an exponent that is not in the table.
const RARE: usize = 128;

/// The exponents of a matrix.
#[derive(Debug)]
pub(crate) struct Exponents {
    /// Exponent 0, which rare elements need to be stored as 0, then the 15 most frequent others.
    table: [u8; 16],
    /// Index in `others` of the first one of each row, and of the end: `[rows + 1]`.
    starts: Vec<u32>,
    /// Elements with other exponents, row by row.
    others: Vec<Other>,
}

/// An element whose exponent is not in the table. It is 0 in its block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Other {
    pub column: u32,
    pub value: bf16,
}

/// The exponents of some rows of a matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExponentsOfRows<'a> {
    pub table: &'a [u8; 16],
    starts: &'a [u32],
    others: &'a [Other],
}

impl Exponents {
    /// Returns the exponents as those of all rows.
    pub fn of_all_rows(&self) -> ExponentsOfRows<'_> {
        ExponentsOfRows {
            table: &self.table,
            starts: &self.starts,
            others: &self.others,
        }
    }

    /// Returns the bytes of memory that they take.
    pub fn size(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.others)
    }
}

impl<'a> ExponentsOfRows<'a> {
    /// Returns the exponents of some of the rows.
    pub fn cut(self, rows: Range<usize>) -> Self {
        Self {
            starts: &self.starts[rows.start..=rows.end],
            ..self
        }
    }

    /// Returns the elements of a row that are not in its blocks.
    #[inline]
    pub fn others(&self, row: usize) -> &'a [Other] {
        &self.others[self.starts[row] as usize..self.starts[row + 1] as usize]
    }
}

/// Returns the bytes of a row, or none if rows of this length are not stored in this way.
pub(crate) fn bytes_of_row(columns: usize) -> Option<usize> {
    let is_whole = columns.is_multiple_of(LANES) && columns >= BLOCK;
    is_whole.then(|| row_bytes(columns))
}

/// Returns the bytes of a row of whole vectors.
#[inline]
pub(crate) fn row_bytes(columns: usize) -> usize {
    columns / BLOCK * BLOCK_BYTES + columns % BLOCK * size_of::<bf16>()
}

/// Chooses the exponents of a matrix with these elements, `[rows, columns]`. Returns none if too
/// many elements have others.
pub(super) fn exponents(elements: &[bf16], columns: usize) -> Option<Exponents> {
    // 1. Count the exponents.
    let count = |elements: &[bf16]| {
        let mut counts = [0usize; 256];
        elements.iter().for_each(|x| counts[exponent(*x)] += 1);
        counts
    };
    let add = |a: [usize; 256], b: [usize; 256]| std::array::from_fn(|i| a[i] + b[i]);
    let counts = elements.par_chunks(1 << 16).map(count).reduce(|| [0; 256], add);
    // 2. Put the most frequent ones into the table.
    let mut frequent: Vec<u8> = (1..=255).collect();
    frequent.sort_by_key(|&exponent| std::cmp::Reverse(counts[usize::from(exponent)]));
    let mut table = [0; 16];
    table[1..].copy_from_slice(&frequent[..15]);
    let others: usize = frequent[15..]
        .iter()
        .map(|&exponent| counts[usize::from(exponent)])
        .sum();
    if others > elements.len() / RARE {
        return None;
    }
    // 3. Collect the elements with others, unless they are in the tail of a row.
    let in_blocks = columns / BLOCK * BLOCK;
    let mut is_in_table = [false; 256];
    table
        .iter()
        .for_each(|&exponent| is_in_table[usize::from(exponent)] = true);
    let others_of = |row: &[bf16]| -> Vec<Other> {
        let rare = |(column, &value): (usize, &bf16)| {
            let is_rare = !is_in_table[exponent(value)];
            is_rare.then_some(Other {
                column: column as u32,
                value,
            })
        };
        row[..in_blocks].iter().enumerate().filter_map(rare).collect()
    };
    let others: Vec<Vec<Other>> = elements.par_chunks(columns).map(others_of).collect();
    let mut starts = vec![0];
    for row in &others {
        starts.push(starts[starts.len() - 1] + row.len() as u32);
    }
    Some(Exponents {
        table,
        starts,
        others: others.concat(),
    })
}

/// Writes rows of elements, `[rows, columns]`, in 12 bits each into `bytes`, which they fill.
pub(super) fn pack(elements: &[bf16], columns: usize, exponents: &Exponents, bytes: &mut [u8]) {
    let mut indices = [None; 256];
    for (index, &exponent) in exponents.table.iter().enumerate() {
        indices[usize::from(exponent)] = Some(index as u16);
    }
    // Returns sign, index of the exponent and mantissa.
    let parts = |x: bf16| match indices[exponent(x)] {
        Some(index) => (x.to_bits() >> 15, index, x.to_bits() & 0x7f),
        None => (0, 0, 0),
    };
    let rows = bytes
        .par_chunks_exact_mut(row_bytes(columns))
        .zip(elements.par_chunks_exact(columns));
    rows.for_each(|(bytes, row)| {
        let (blocks, tail) = row.as_chunks::<BLOCK>();
        let (packed, plain) = bytes.split_at_mut(blocks.len() * BLOCK_BYTES);
        for (block, packed) in blocks.iter().zip(packed.as_chunks_mut::<BLOCK_BYTES>().0) {
            for i in 0..LANES {
                let (sign, index, mantissa) = parts(block[3 * LANES + i]);
                let shared = [index, mantissa >> 3, sign << 3 | mantissa & 7];
                for (v, shared) in shared.into_iter().enumerate() {
                    let (sign, index, mantissa) = parts(block[v * LANES + i]);
                    let word = sign << 15 | index << 11 | shared << 7 | mantissa;
                    packed[2 * (v * LANES + i)..][..2].copy_from_slice(&word.to_le_bytes());
                }
            }
        }
        plain.copy_from_slice(bytemuck::cast_slice(tail));
    });
}

/// Unpacks the blocks and the tail of a row. Processors that pack rows do it faster, with
/// `avx512.rs`; this is the reference.
pub(super) fn unpack_row(bytes: &[u8], exponents: ExponentsOfRows<'_>, values: &mut [f32]) {
    let value = |sign: u16, index: u16, mantissa: u16| {
        let exponent = u16::from(exponents.table[usize::from(index & 15)]);
        bf16::from_bits(sign << 15 | exponent << 7 | mantissa).to_f32()
    };
    let (blocks, tail) = values.as_chunks_mut::<BLOCK>();
    let (packed, plain) = bytes.split_at(blocks.len() * BLOCK_BYTES);
    for (block, packed) in blocks.iter_mut().zip(packed.as_chunks::<BLOCK_BYTES>().0) {
        for i in 0..LANES {
            let word = |v: usize| {
                let at = 2 * (v * LANES + i);
                u16::from_le_bytes([packed[at], packed[at + 1]])
            };
            let words = [word(0), word(1), word(2)];
            for (v, word) in words.into_iter().enumerate() {
                block[v * LANES + i] = value(word >> 15, word >> 11, word & 0x7f);
            }
            let [index, upper, lower] = words.map(|word| word >> 7 & 15);
            block[3 * LANES + i] = value(lower >> 3, index, upper << 3 | lower & 7);
        }
    }
    super::blocks::unpack(GgmlDType::BF16, plain, tail);
}

/// Returns the exponent of an element, as it is stored.
fn exponent(x: bf16) -> usize {
    usize::from(x.to_bits() >> 7 & 0xff)
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::random;
    use crate::weights::packed::{Form, Packed};
    use crate::weights::packed_for_test;
    use candle_core::quantized::GgmlDType;
    use std::ops::Range;

    /// Returns the bits of some rows, so that a zero keeps its sign.
    fn bits(packed: &Packed, rows: Range<usize>) -> Vec<u32> {
        let mut values = vec![0.5; rows.len() * packed.columns()];
        packed.tensor().unpack(rows, &mut values);
        values.into_iter().map(f32::to_bits).collect()
    }

    /// Puts each odd value into a block, and at the end of a row (in its tail, where it has one).
    #[test]
    fn a_matrix_in_12_bits_has_the_same_elements() {
        const ROWS: usize = 40;
        let odd = [0.0, -0.0, 1e-30, -1e30, 1e-40, f32::INFINITY];
        for columns in [128, 160, 576, 1536] {
            let mut values = random(ROWS * columns, 1);
            for (i, odd) in odd.into_iter().enumerate() {
                values[i * columns + 7] = odd;
                values[(i + 2) * columns - 1] = odd;
            }
            let packed = || packed_for_test(&values, GgmlDType::BF16, columns);
            let (packed, short) = (packed(), packed().shortened());
            assert!(short.size() < packed.size() * 9 / 10, "{columns}");
            for rows in [0..ROWS, 3..4, ROWS - 1..ROWS] {
                assert_eq!(bits(&short, rows.clone()), bits(&packed, rows), "{columns}");
            }
            // The reference reads the same, but for the elements that lie elsewhere.
            let part = short.part(2..3);
            let Form::Bf12 { exponents, .. } = part.form else {
                panic!("{columns}")
            };
            let (mut values, all) = (vec![0.5; columns], bits(&short, 2..3));
            super::unpack_row(part.bytes, exponents, &mut values);
            for other in exponents.others(0) {
                values[other.column as usize] = other.value.to_f32();
            }
            let values: Vec<u32> = values.into_iter().map(f32::to_bits).collect();
            assert_eq!(values, all, "{columns}");
        }
    }

    #[test]
    fn f16_in_12_bits_has_a_rest_beside_it() {
        let values = random(4 * 256, 1);
        let packed = || packed_for_test(&values, GgmlDType::F16, 256);
        let (packed, short) = (packed(), packed().shortened());
        assert!(short.bytes().len() < packed.bytes().len() * 9 / 10);
        assert_eq!(bits(&short, 1..4), bits(&packed, 1..4));
        // It has none if all elements are bf16.
        let exact: Vec<f32> = values.iter().map(|x| half::bf16::from_f32(*x).to_f32()).collect();
        let exact = packed_for_test(&exact, GgmlDType::F16, 256).shortened();
        assert!(exact.size() < short.size());
    }

    #[test]
    fn other_matrices_stay_as_they_are() {
        // any exponent; rows that are not whole vectors; fewer bits
        let any: Vec<f32> = random(4 * 256, 1).iter().map(|x| (40.0 * x).exp()).collect();
        let few = random(4 * 256, 1);
        for (values, dtype, columns) in [
            (&any, GgmlDType::BF16, 256),
            (&few, GgmlDType::BF16, 16),
            (&few, GgmlDType::Q8_0, 256),
        ] {
            let packed = || packed_for_test(values, dtype, columns);
            assert_eq!(packed().shortened().bytes(), packed().bytes());
        }
    }
}
