//! Output projection and loss on the device.

use super::DeviceDecoder;
use super::tree::DeviceTree;
use crate::cuda::buffer::View;
use crate::cuda::gradients::DeviceGradients;
use crate::error::Result;

/// Logits that exist at a time, in elements (256 MiB of f32): enough rows for efficient products.
const LOGITS_AT_A_TIME: usize = 1 << 26;
/// Even with the largest vocabulary, products need so many rows.
const FEWEST_ROWS: usize = 128;

impl DeviceDecoder {
    /// Output projection and loss of the rows of the last stream that have a target, `x`, given their norm `y`; with `gradients`,
    /// the gradient of `x`, else nothing.
    pub(super) fn head(
        &mut self,
        tree: &DeviceTree,
        [x, y]: [View; 2],
        mut gradients: Option<&mut DeviceGradients>,
    ) -> Result<View> {
        let Self {
            device,
            config,
            weights,
            workspace,
            ..
        } = self;
        let (hidden, eps, vocabulary) = (config.hidden_size, config.rms_norm_eps as f32, config.vocab_size);
        let driver = &device.driver;
        let rows = x.len / hidden;
        let head = &mut workspace.head;
        let dy = head.dy.sized(driver, rows * hidden)?;
        let stride = vocabulary.next_multiple_of(8); // so that rows are read and written in wide pieces
        let at_a_time = (LOGITS_AT_A_TIME / stride).max(FEWEST_ROWS).min(rows);
        let projection = weights.matrix(&self.projection);
        for first in (0..rows).step_by(at_a_time.max(1)) {
            let here = at_a_time.min(rows - first);
            let part = |x: View| x.slice(first * hidden..(first + here) * hidden);
            let logits = head.logits.sized(driver, here * stride)?;
            let y = part(y).matrix(hidden);
            let sizes = [here, vocabulary, hidden];
            device.gemm(y, projection.t(), logits.matrix(stride), sizes, false)?;
            let dlogits = match gradients {
                Some(_) => head.dlogits.sized(driver, here * stride)?,
                None => View::EMPTY,
            };
            let sums = head.sums.sized(driver, 2 * here)?;
            let targets = tree.targets.from(first, here);
            device.cross_entropy(
                logits,
                dlogits,
                [stride, vocabulary],
                targets,
                sums,
                self.total.all(),
            )?;
            let Some(gradients) = gradients.as_deref_mut() else {
                continue;
            };
            let dlogits = dlogits.matrix(stride);
            let dy = part(dy).matrix(hidden);
            device.gemm(dlogits, projection, dy, [here, hidden, vocabulary], false)?;
            if self.adapter.is_none() {
                let dprojection = gradients
                    .bucket(device, self.projection.bucket)?
                    .slice(self.projection.elements.clone())
                    .matrix(hidden);
                let sizes = [vocabulary, hidden, here];
                device.gemm(dlogits.t(), y, dprojection, sizes, true)?;
            }
        }
        let Some(gradients) = gradients else {
            return Ok(View::EMPTY);
        };
        let dx = head.dx.sized(driver, rows * hidden)?;
        dx.zero(&**driver)?;
        let dnorm = match self.adapter {
            None => gradients
                .bucket(device, self.norm.bucket)?
                .slice(self.norm.elements.clone()),
            Some(_) => View::EMPTY,
        };
        let norm = weights.vector(&self.norm);
        device.rms_norm_backward(x, norm, eps, dy, dx, View::EMPTY, dnorm)?;
        if self.adapter.is_none() {
            gradients.complete(device, self.norm.bucket)?;
        }
        Ok(dx)
    }
}
