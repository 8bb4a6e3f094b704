//! The softmax of a tile's scores, and its backward pass.

use super::super::element::Element;
use super::super::simd::{dot, exp, max, sum};
use super::qkv::{AttentionOutput, Qkv};
use super::tiles::Tile;
use toolcall_macros::vectorized;

/// Replaces each row of scores by the softmax of `scale` times the columns that the row sees; the
/// other columns become 0. Writes the log-sum-exp of each row to `lse`.
#[vectorized]
pub(super) fn softmax(scores: &mut [f32], tile: &Tile, scale: f32, lse: &mut [f32], heads: usize) {
    let seen_by_all = tile.context() - tile.queries.len();
    let rows = scores.chunks_exact_mut(tile.stride()).take(tile.queries.len());
    for (i, (row, lse)) in rows.zip(lse.iter_mut().step_by(heads)).enumerate() {
        let (seen, hidden) = row.split_at_mut(seen_by_all + i + 1);
        let max = max(seen);
        seen.iter_mut().for_each(|s| *s = exp((*s - max) * scale));
        let sum = sum(seen);
        seen.iter_mut().for_each(|s| *s /= sum);
        hidden.fill(0.0);
        *lse = max * scale + sum.ln();
    }
}

/// Turns scores into softmax weights (with the saved `lse`), and the gradient of the weights into
/// the gradient of the unscaled scores: `ds = scale · p · (dp − Σ dout·out)` (FlashAttention, Dao
/// et al., 2022). `output` begins with the tile's first row of the head.
#[vectorized]
pub(super) fn softmax_backward<E: Element>(
    weights: &mut [f32],
    dscores: &mut [f32],
    tile: &Tile,
    qkv: Qkv<'_, E>,
    output: AttentionOutput<'_, E>,
) {
    let (scale, heads, dim) = (qkv.scale(), qkv.heads.queries, qkv.heads.dim);
    let seen_by_all = tile.context() - tile.queries.len();
    let rows = weights
        .chunks_exact_mut(tile.stride())
        .zip(dscores.chunks_exact_mut(tile.stride()));
    for (i, (p, ds)) in rows.enumerate() {
        let (out, dout) = (
            &output.out[i * heads * dim..][..dim],
            &output.dout[i * heads * dim..][..dim],
        );
        // delta = Σ p · dp, which equals Σ dout · out
        let (delta, lse) = (dot(out, dout), output.lse[i * heads]);
        let seen = seen_by_all + i + 1;
        for (p, ds) in p[..seen].iter_mut().zip(&mut ds[..seen]) {
            *p = exp(*p * scale - lse);
            *ds = scale * *p * (*ds - delta);
        }
        p[seen..].fill(0.0);
        ds[seen..].fill(0.0);
    }
}
