//! From the joint projection to heads: bias, norm and rotary embedding (`kernels/rope.cu`).

use super::{Device, SHARES, THREADS};
use crate::cuda::buffer::View;
use crate::error::Result;
use crate::ops::rope::Heads;

/// RMSNorm of the heads of Q and K: the weights of Q, and after them those of K.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadNorms {
    pub weights: View,
    pub eps: f32,
}

/// Everything that turns the rows of a joint projection into heads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SplitHeads {
    pub bias: View,
    /// Position of each row.
    pub positions: View,
    /// Cosine and sine for each position and pair, `[positions, dim / 2, 2]`.
    pub table: View,
    pub norms: Option<HeadNorms>,
    pub heads: Heads,
}

impl SplitHeads {
    fn norm_arguments(&self) -> (View, f32) {
        self.norms
            .map_or((View::EMPTY, 0.0), |norms| (norms.weights, norms.eps))
    }
}

impl Device {
    /// Applies bias, norm and rotation to the joint projection `qkv`,
    /// `[rows, (queries + 2 · keys) · dim]`. `out` may be `qkv`.
    pub fn split_heads(&self, qkv: View, split: &SplitHeads, out: View) -> Result<()> {
        let (norms, eps) = split.norm_arguments();
        let Heads { queries, keys, dim } = split.heads;
        let args = [
            qkv.into(),
            split.bias.into(),
            split.positions.into(),
            split.table.into(),
            norms.into(),
            eps.into(),
            out.into(),
            (queries as u32).into(),
            (keys as u32).into(),
            (dim as u32).into(),
        ];
        let kernel = self.either("split_heads_f32", "split_heads_bf16");
        self.run(kernel, qkv.len / split.heads.width(), 0, args)
    }

    /// Computes the gradient of [`Device::split_heads`] into `dqkv`, which may be `dheads`, and
    /// adds the gradient of the norms' weights to `dnorms`.
    pub fn split_heads_backward(
        &self,
        dheads: View,
        qkv: View,
        split: &SplitHeads,
        dqkv: View,
        dnorms: View,
    ) -> Result<()> {
        let (norms, eps) = split.norm_arguments();
        let Heads { queries, keys, dim } = split.heads;
        let rows = dheads.len / split.heads.width();
        // With norms, the rows are divided among few blocks, so that few partial sums of their
        // gradient are left.
        let blocks = if split.norms.is_some() {
            rows.min(SHARES)
        } else {
            rows
        };
        let args = [
            dheads.into(),
            qkv.into(),
            split.bias.into(),
            split.positions.into(),
            split.table.into(),
            norms.into(),
            eps.into(),
            dqkv.into(),
            self.partial.all().into(),
            (rows as u32).into(),
            (queries as u32).into(),
            (keys as u32).into(),
            (dim as u32).into(),
        ];
        let kernel = self.either("split_heads_backward_f32", "split_heads_backward_bf16");
        // Shared memory: the norms' gradient of each warp, [warps, 2 · dim].
        let shared = THREADS / 32 * 2 * dim * size_of::<f32>();
        self.run(kernel, blocks, shared, args)?;
        match split.norms {
            Some(_) => self.add_columns(self.partial.all(), blocks, dnorms),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::testing::{assert_near, shapes};
    use crate::cuda::tests::{benches, exchange};
    use crate::ops::linear::add_bias;
    use crate::ops::rope::{HeadGradients, QkNorm, RopeTable, Split, split_heads, split_heads_backward};
    use crate::ops::testing::random;

    #[test]
    fn heads_are_normed_and_rotated_as_on_the_cpu() {
        for bench in benches() {
            let small = [
                (1, [4, 2, 4], true, false),
                (300, [4, 2, 16], true, true),
                (7, [4, 2, 64], false, true),
                (5, [4, 2, 128], true, false),
                (3, [4, 2, 256], false, false),
            ];
            let real = [
                (1400, [9, 3, 64], false, false),
                (1400, [16, 8, 128], true, false),
            ];
            for (rows, [queries, keys, dim], with_norm, with_bias) in shapes(small, real) {
                let heads = Heads { queries, keys, dim };
                let positions: Vec<u32> = (0..rows as u32).map(|row| row * 7 % 50).collect();
                let frequencies: Vec<f32> = (0..dim / 2).map(|i| 1.0 / (1.0 + i as f32)).collect();
                let rope = RopeTable::new(&frequencies, 50);
                let norms = random(2 * dim, 1);
                let bias = if with_bias {
                    random(heads.width(), 2)
                } else {
                    vec![0.0; heads.width()]
                };
                let (qkv, mut projected) = bench.activations(&random(rows * heads.width(), 3));
                let (dheads, dheads_host) = bench.activations(&random(rows * heads.width(), 4));
                add_bias(&mut projected, &bias);
                let split = Split {
                    positions: &positions,
                    rope: &rope,
                    norm: with_norm.then(|| QkNorm {
                        q: &norms[..dim],
                        k: &norms[dim..],
                        eps: 1e-6,
                    }),
                    heads,
                };
                let mut want = vec![0.0; projected.len()];
                split_heads(&projected, split, &mut want);

                let (positions, table) = (bench.u32(&positions), bench.f32(rope.cos_sin().as_flattened()));
                let (weights, bias) = (bench.f32(&norms), bench.f32(&bias));
                let on_device = SplitHeads {
                    bias: if with_bias { bias.all() } else { View::EMPTY },
                    positions: positions.all(),
                    table: table.all(),
                    norms: with_norm.then(|| HeadNorms {
                        weights: weights.all(),
                        eps: 1e-6,
                    }),
                    heads,
                };
                let out = bench.room(projected.len());
                bench
                    .device
                    .split_heads(qkv.all(), &on_device, out.all())
                    .unwrap();
                bench.assert_near(out.all(), &exchange(&want, heads.all(), rows, dim), "heads");

                let mut want = vec![0.0; projected.len()];
                let dheads_host = exchange(&dheads_host, rows, heads.all(), dim);
                let (dq, dkv) = dheads_host.split_at(heads.queries * rows * dim);
                let (dk, dv) = dkv.split_at(heads.keys * rows * dim);
                // The CPU keeps one gradient for each query head of a group; the whole one is in
                // the first.
                let parts = |whole: &[f32]| -> Vec<f32> {
                    let of_others = vec![0.0; (queries / keys - 1) * rows * dim];
                    let heads = whole.chunks_exact(rows * dim);
                    heads.flat_map(|head| [head, &of_others].concat()).collect()
                };
                let dheads_host = HeadGradients {
                    dq,
                    dk: &parts(dk),
                    dv: &parts(dv),
                };
                let dnorms_want = split_heads_backward(dheads_host, &projected, split, &mut want).concat();
                let dnorms = bench.f32(&vec![0.0; 2 * dim]);
                let (dheads, dnorms) = (dheads.all(), dnorms.all());
                bench
                    .device
                    .split_heads_backward(dheads, qkv.all(), &on_device, dheads, dnorms)
                    .unwrap();
                bench.assert_near(dheads, &want, "dqkv");
                assert_near(&bench.read(dnorms), &dnorms_want, 2e-5, "dnorms");
            }
        }
    }
}
