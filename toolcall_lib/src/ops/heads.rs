//! Between rows of tokens, `[rows, heads · dim]`, and heads, `[heads, rows, dim]`.

use super::ROWS_PER_TASK;
use rayon::prelude::*;

/// `[heads, rows, dim]` to `[rows, heads · dim]`.
pub fn heads_to_rows(heads: &[f32], rows: usize, dim: usize, out: &mut [f32]) {
    let width = out.len() / rows;
    out.par_chunks_mut(ROWS_PER_TASK * width)
        .enumerate()
        .for_each(|(task, out)| {
            for (i, out) in out.chunks_exact_mut(width).enumerate() {
                let row = task * ROWS_PER_TASK + i;
                for (head, out) in out.chunks_exact_mut(dim).enumerate() {
                    out.copy_from_slice(&heads[(head * rows + row) * dim..][..dim]);
                }
            }
        });
}

/// `[rows, heads · dim]` to `[heads, rows, dim]`.
pub fn rows_to_heads(x: &[f32], rows: usize, dim: usize, out: &mut [f32]) {
    let width = x.len() / rows;
    out.par_chunks_exact_mut(rows * dim)
        .enumerate()
        .for_each(|(head, out)| {
            for (out, row) in out.chunks_exact_mut(dim).zip(x.chunks_exact(width)) {
                out.copy_from_slice(&row[head * dim..][..dim]);
            }
        });
}

/// Sums neighbouring heads: `[heads · group, …]` to `[heads, …]`, each head of `size` elements.
pub fn sum_groups(shares: &[f32], size: usize, out: &mut [f32]) {
    let group = shares.len() / out.len();
    out.par_chunks_exact_mut(size)
        .zip(shares.par_chunks_exact(group * size))
        .for_each(|(out, shares)| {
            let (first, others) = shares.split_at(size);
            out.copy_from_slice(first);
            for share in others.chunks_exact(size) {
                out.iter_mut().zip(share).for_each(|(sum, share)| *sum += share);
            }
        });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_heads_convert_back_and_forth() {
        let x: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let (mut heads, mut back) = (vec![0.0; 24], vec![0.0; 24]);
        rows_to_heads(&x, 4, 3, &mut heads);
        assert_eq!(heads[..6], [0.0, 1.0, 2.0, 6.0, 7.0, 8.0]);
        heads_to_rows(&heads, 4, 3, &mut back);
        assert_eq!(x, back);
    }

    #[test]
    fn groups_are_summed() {
        let mut out = vec![0.0; 4];
        sum_groups(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 2, &mut out);
        assert_eq!(out, [4.0, 6.0, 12.0, 14.0]);
    }
}
