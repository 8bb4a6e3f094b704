//! RMSNorm, and sums over matrix rows (`kernels/norm.cu`).

use super::{Device, SHARES, THREADS};
use crate::cuda::buffer::View;
use crate::error::Result;

impl Device {
    /// Computes the RMSNorm of f32 rows `x` into activations `y`.
    pub fn rms_norm(&self, x: View, w: View, eps: f32, y: View) -> Result<()> {
        self.add_rms_norm(x, View::EMPTY, View::EMPTY, (w, eps, y))
    }

    /// Computes `sum = x + added` and its RMSNorm with weight `w` and `eps` into activations `y`.
    pub fn add_rms_norm(
        &self,
        x: View,
        added: View,
        sum: View,
        (w, eps, y): (View, f32, View),
    ) -> Result<()> {
        let kernel = self.either("rms_norm_f32", "rms_norm_bf16");
        let args = [
            x.into(),
            added.into(),
            sum.into(),
            w.into(),
            eps.into(),
            y.into(),
            (w.len as u32).into(),
        ];
        self.run(kernel, x.len / w.len, 0, args)
    }

    /// Adds the gradient of the norm's input to `dx`, and that of its weight to `dw` unless it is
    /// empty. `rounded` receives a copy of `dx` unless it is empty.
    #[allow(clippy::too_many_arguments)] // three inputs, three gradients
    pub fn rms_norm_backward(
        &self,
        x: View,
        w: View,
        eps: f32,
        dy: View,
        dx: View,
        rounded: View,
        dw: View,
    ) -> Result<()> {
        let (width, rows) = (w.len, x.len / w.len);
        let kernel = self.either("rms_norm_backward_f32", "rms_norm_backward_bf16");
        let blocks = rows.min(SHARES);
        let args = [
            x.into(),
            w.into(),
            eps.into(),
            dy.into(),
            dx.into(),
            rounded.into(),
            self.partial.all().into(),
            (rows as u32).into(),
            (width as u32).into(),
        ];
        // Blocks leave partial sums of dw, which are then added in a fixed order.
        self.run(kernel, blocks, width * size_of::<f32>(), args)?;
        self.add_columns(self.partial.all(), blocks, dw)
    }

    /// Adds the sums of the columns of f32 rows to `sums`; does nothing if `sums` is empty.
    pub(super) fn add_columns(&self, x: View, rows: usize, sums: View) -> Result<()> {
        self.sum_columns("sum_columns_f32", x, rows, 1, sums, true)
    }

    /// Adds the sums of the columns of activations to `sums`.
    pub fn add_activation_columns(&self, x: View, sums: View) -> Result<()> {
        let rows = x.len / sums.len;
        // Two steps: shares of the rows leave partial sums, which are then added up.
        let shares = rows.div_ceil(8).min(SHARES);
        let kernel = self.either("sum_columns_f32", "sum_columns_bf16");
        let partial = self.partial.all().slice(0..shares * sums.len);
        self.sum_columns(
            kernel,
            x,
            rows,
            shares,
            View {
                len: sums.len,
                ..partial
            },
            false,
        )?;
        self.add_columns(partial, shares, sums)
    }

    fn sum_columns(
        &self,
        kernel: &'static str,
        x: View,
        rows: usize,
        shares: usize,
        out: View,
        adds: bool,
    ) -> Result<()> {
        let args = [
            x.into(),
            (rows as u32).into(),
            (out.len as u32).into(),
            out.into(),
            u32::from(adds).into(),
        ];
        let grid = [out.len.div_ceil(32), shares, 1];
        if rows == 0 {
            Ok(())
        } else {
            self.driver.run(kernel, grid, THREADS, 0, args)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cuda::testing::{assert_near, shapes};
    use crate::cuda::tests::benches;
    use crate::ops::linear::add_bias_backward;
    use crate::ops::rms_norm::{add_rms_norm, rms_norm_backward};
    use crate::ops::testing::random;

    #[test]
    fn norms_are_those_of_the_cpu() {
        for bench in benches() {
            let device = &bench.device;
            for (rows, width) in shapes(
                [(1, 4), (3, 64), (300, 36), (5, 1024)],
                [(1400, 576), (1400, 1024)],
            ) {
                let (x, w) = (random(rows * width, 1), random(width, 2));
                let (added, added_host) = bench.activations(&random(rows * width, 3));
                let (dy, dy_host) = bench.activations(&random(rows * width, 4));
                let (dx_host, dw_host) = (random(rows * width, 5), random(width, 6));
                let [x_device, w_device, dx, dw] = [&x, &w, &dx_host, &dw_host].map(|x| bench.f32(x));
                let (sum, y, rounded) = (bench.f32(&x), bench.room(rows * width), bench.room(rows * width));
                let norm = (w_device.all(), 1e-5, y.all());
                device
                    .add_rms_norm(x_device.all(), added.all(), sum.all(), norm)
                    .unwrap();
                let (mut want_sum, mut want) = (vec![0.0; rows * width], vec![0.0; rows * width]);
                add_rms_norm(&x, &added_host, None, &mut want_sum, &w, 1e-5, &mut want);
                bench.assert_near(sum.all(), &want_sum, "sum");
                bench.assert_near(y.all(), &want, "norm");
                device.rms_norm(sum.all(), w_device.all(), 1e-5, y.all()).unwrap();
                bench.assert_near(y.all(), &want, "norm alone");

                let (dy, dx, dw) = (dy.all(), dx.all(), dw.all());
                device
                    .rms_norm_backward(sum.all(), w_device.all(), 1e-5, dy, dx, rounded.all(), dw)
                    .unwrap();
                let (mut want_dx, mut want_dw) = (dx_host, dw_host);
                rms_norm_backward(&want_sum, &w, 1e-5, &dy_host, &mut want_dx, Some(&mut want_dw));
                bench.assert_near(dx, &want_dx, "dx");
                bench.assert_near(rounded.all(), &want_dx, "rounded dx");
                assert_near(&bench.read(dw), &want_dw, 2e-5, "dw");
            }
        }
    }

    #[test]
    fn columns_of_activations_are_summed() {
        for bench in benches() {
            for (rows, width) in shapes([(1, 4), (300, 40), (3000, 4)], [(1400, 4096)]) {
                let (x, host) = bench.activations(&random(rows * width, 1));
                let sums = bench.f32(&vec![1.0; width]);
                bench.device.add_activation_columns(x.all(), sums.all()).unwrap();
                let mut want = vec![1.0; width];
                add_bias_backward(&host, &mut want);
                assert_near(&bench.read(sums.all()), &want, 1e-5, "sums");
            }
        }
    }
}
