//! Copies of matrix rows (`kernels/copy.cu`).

use super::Device;
use crate::cuda::buffer::View;
use crate::error::Result;

impl Device {
    /// Copies rows of `width` activations.
    pub fn copy_rows(&self, x: View, y: View, width: usize) -> Result<()> {
        self.store(x, View::EMPTY, y, [width; 2], x.len / width, width)
    }

    /// Computes `y[rows[i]] = x[i]` for the first `width` elements of rows of activations; the rows
    /// of `x` and `y` are `strides` elements apart.
    pub fn store_rows(&self, x: View, rows: View, y: View, strides: [usize; 2], width: usize) -> Result<()> {
        self.store(x, rows, y, strides, rows.len, width)
    }

    fn store(
        &self,
        x: View,
        rows: View,
        y: View,
        strides: [usize; 2],
        count: usize,
        width: usize,
    ) -> Result<()> {
        let kernel = self.either("store_rows_f32", "store_rows_bf16");
        let args = [
            x.into(),
            strides[0].into(),
            rows.into(),
            y.into(),
            strides[1].into(),
            (width as u32).into(),
        ];
        self.run(kernel, count, 0, args)
    }
}

#[cfg(test)]
mod tests {
    use crate::cuda::testing::assert_near;
    use crate::cuda::tests::benches;
    use crate::ops::testing::random;

    #[test]
    fn rows_are_stored_by_number() {
        for bench in benches() {
            let (x, host) = bench.activations(&random(3 * 10, 1));
            let (y, mut want) = bench.activations(&random(5 * 16, 2));
            let rows = [4, 0, 3];
            let on_device = bench.u32(&rows);
            bench
                .device
                .store_rows(x.all(), on_device.all(), y.all(), [10, 16], 8)
                .unwrap();
            for (i, &row) in rows.iter().enumerate() {
                want[row as usize * 16..][..8].copy_from_slice(&host[i * 10..][..8]);
            }
            assert_near(&bench.read(y.all()), &want, 0.0, "rows");
        }
    }
}
