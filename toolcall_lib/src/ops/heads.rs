//! Key heads that several query heads share.

use rayon::prelude::*;

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
    fn groups_are_summed() {
        let mut out = vec![0.0; 4];
        sum_groups(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 2, &mut out);
        assert_eq!(out, [4.0, 6.0, 12.0, 14.0]);
    }
}
