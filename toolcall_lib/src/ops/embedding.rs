//! Token embedding: looks up a row of the table for each token id.

use crate::weights::Tensor;

/// Copies row `ids[i]` of `table` (`[vocabulary, width]`) to row `i` of `y`.
pub fn embedding(ids: &[u32], table: Tensor<'_>, y: &mut [f32]) {
    for (y, &id) in y.chunks_exact_mut(table.columns()).zip(ids) {
        let row = id as usize;
        table.unpack(row..row + 1, y);
    }
}

/// Adds the gradient of [`embedding`]: row `i` of `dy` to row `ids[i]` of `dtable`.
pub fn embedding_backward(ids: &[u32], dy: &[f32], dtable: &mut [f32], width: usize) {
    for (dy, &id) in dy.chunks_exact(width).zip(ids) {
        let row = &mut dtable[id as usize * width..][..width];
        row.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_of_equal_tokens_add_up() {
        let mut dtable = vec![0.0; 6];
        embedding_backward(&[2, 0, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut dtable, 2);
        assert_eq!(dtable, [3.0, 4.0, 0.0, 0.0, 6.0, 8.0]);
    }
}
