//! The activation function of the MLP, SwiGLU (`kernels/swiglu.cu`).

use super::{Device, THREADS};
use crate::cuda::buffer::View;
use crate::error::Result;

impl Device {
    /// Computes `y = silu(gate) · up`; `gate_up` is `[rows, 2 · width]`, `y` is `[rows, width]`.
    pub fn swiglu(&self, gate_up: View, y: View, width: usize) -> Result<()> {
        let kernel = self.either("swiglu_f32", "swiglu_bf16");
        let args = [gate_up.into(), y.into(), y.len.into(), (width as u32).into()];
        self.run(kernel, y.len.div_ceil(4 * THREADS), 0, args)
    }

    /// Computes the gradient of [`Device::swiglu`] into `dgate_up`, `[rows, 2 · width]`.
    pub fn swiglu_backward(&self, gate_up: View, dy: View, dgate_up: View, width: usize) -> Result<()> {
        let kernel = self.either("swiglu_backward_f32", "swiglu_backward_bf16");
        let args = [
            gate_up.into(),
            dy.into(),
            dgate_up.into(),
            dy.len.into(),
            (width as u32).into(),
        ];
        self.run(kernel, dy.len.div_ceil(4 * THREADS), 0, args)
    }
}

#[cfg(test)]
mod tests {
    use crate::cuda::testing::shapes;
    use crate::cuda::tests::benches;
    use crate::ops::swiglu::{swiglu, swiglu_backward};
    use crate::ops::testing::random;

    #[test]
    fn swiglu_is_that_of_the_cpu() {
        for bench in benches() {
            for (rows, width) in shapes([(1, 4), (3, 20), (9, 128)], [(1400, 1536), (1400, 3072)]) {
                let (gate_up, host) = bench.activations(&random(rows * 2 * width, 1));
                let (dy, dy_host) = bench.activations(&random(rows * width, 2));
                let (y, dgate_up) = (bench.room(rows * width), bench.room(rows * 2 * width));
                bench.device.swiglu(gate_up.all(), y.all(), width).unwrap();
                bench
                    .device
                    .swiglu_backward(gate_up.all(), dy.all(), dgate_up.all(), width)
                    .unwrap();
                let (mut want, mut want_d) = (vec![0.0; rows * width], vec![0.0; rows * 2 * width]);
                swiglu(&host, &mut want, width);
                swiglu_backward(&host, &dy_host, &mut want_d, width);
                bench.assert_near(y.all(), &want, "swiglu");
                bench.assert_near(dgate_up.all(), &want_d, "dgate_up");
            }
        }
    }
}
