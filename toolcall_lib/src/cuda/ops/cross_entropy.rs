//! Cross-entropy loss (`kernels/cross_entropy.cu`).

use super::Device;
use crate::cuda::buffer::View;
use crate::error::Result;

/// Targets of some rows of logits: row `r` has the targets `begins[r]..begins[r + 1]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowTargets {
    pub begins: View,
    pub ids: View,
    pub weights: View,
}

impl RowTargets {
    /// Returns the targets of `rows` rows from row `first` on. The numbers in `begins` keep
    /// counting from the first of all targets.
    pub fn from(self, first: usize, rows: usize) -> Self {
        Self {
            begins: self.begins.slice(first..first + rows + 1),
            ..self
        }
    }
}

impl Device {
    /// Computes the loss of each row of `logits`, f32 `[rows, vocabulary]` with rows `stride`
    /// apart.
    ///
    /// Row `r` leaves its loss and the weight of its correct first guesses in `sums`, `[rows, 2]`;
    /// both are added to `total`, two f64. `dlogits` receives the gradient of the logits, unless it
    /// is empty.
    #[allow(clippy::too_many_arguments)] // two inputs, three outputs, two sizes
    pub fn cross_entropy(
        &self,
        logits: View,
        dlogits: View,
        [stride, vocabulary]: [usize; 2],
        targets: RowTargets,
        sums: View,
        total: View,
    ) -> Result<()> {
        let kernel = self.either("cross_entropy_f32", "cross_entropy_bf16");
        let rows = logits.len / stride;
        let args = [
            logits.into(),
            dlogits.into(),
            stride.into(),
            (vocabulary as u32).into(),
            targets.begins.into(),
            targets.ids.into(),
            targets.weights.into(),
            sums.into(),
        ];
        // One block per row, then one block that adds up the rows.
        self.run(kernel, rows, 0, args)?;
        self.run(
            "sum_losses",
            1,
            0,
            [sums.into(), (rows as u32).into(), total.into()],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::testing::{assert_near, assert_near_number, shapes};
    use crate::cuda::tests::{benches, exchange};
    use crate::ops::cross_entropy::{RowTarget, cross_entropy};
    use crate::ops::matmul::Precision;
    use crate::ops::testing::random;
    use crate::weights::Tensor;

    #[test]
    fn loss_and_its_gradient_are_those_of_the_cpu() {
        let targets = [(0, 3, 1.0), (1, 0, 2.0), (1, 5, 1.0), (3, 32, 1.0)];
        let target = |(row, id, weight): (usize, u32, f32)| RowTarget { row, id, weight };
        for bench in benches() {
            for vocabulary in shapes([33usize, 2000], [49_152, 151_936]) {
                // With the identity as hidden states, the logits are the transposed projection.
                let (rows, stride) = (4, vocabulary.next_multiple_of(8));
                let mut logits = random(rows * vocabulary, 1);
                for id in [0, 5] {
                    // of equal logits, the first one counts as the guess
                    logits[vocabulary + id] = 9.0;
                }
                let identity: Vec<f32> = (0..rows * rows)
                    .map(|i| f32::from(u8::from(i % (rows + 1) == 0)))
                    .collect();
                let projection = exchange(&logits, rows, vocabulary, 1);
                let (mut dhidden, mut dprojection) = (vec![0.0; rows * rows], vec![0.0; rows * vocabulary]);
                let gradients = Some((&mut dhidden[..], Some(&mut dprojection[..])));
                let want = cross_entropy(
                    &identity,
                    Tensor::new(&projection, rows),
                    &targets.map(target),
                    gradients,
                    &mut Default::default(),
                    Precision::F32,
                );
                let mut padded = vec![f32::NAN; rows * stride];
                for (padded, row) in padded
                    .chunks_exact_mut(stride)
                    .zip(logits.chunks_exact(vocabulary))
                {
                    padded[..vocabulary].copy_from_slice(row);
                }
                let (logits, dlogits) = (bench.f32(&padded), bench.room(rows * stride));
                let begins = bench.u32(&[0, 1, 3, 3, 4]);
                let (ids, weights) = (bench.u32(&targets.map(|t| t.1)), bench.f32(&targets.map(|t| t.2)));
                let targets = RowTargets {
                    begins: begins.all(),
                    ids: ids.all(),
                    weights: weights.all(),
                };
                let sums = bench.f32(&vec![0.0; 2 * rows]);
                let total = bench.f32(&[0.0; 4]);
                let sizes = [stride, vocabulary];
                let device = &bench.device;
                device
                    .cross_entropy(
                        logits.all(),
                        dlogits.all(),
                        sizes,
                        targets,
                        sums.all(),
                        total.all(),
                    )
                    .unwrap();
                let mut got = [0.0f64; 2];
                total.all().download(&*device.driver, &mut got).unwrap();
                assert_near_number(got[0], want.loss, 1e-5, "loss");
                assert_eq!(got[1], want.correct);
                assert_eq!(got[1] % 3.0, 2.0, "the row with equal logits");
                let got: Vec<f32> = bench
                    .read(dlogits.all())
                    .chunks(stride)
                    .flat_map(|row| row[..vocabulary].to_vec())
                    .collect();
                let want = exchange(&dprojection, vocabulary, rows, 1);
                assert_near(&got, &want, bench.tolerance, "dlogits");
            }
        }
    }
}
