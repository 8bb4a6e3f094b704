//! Final norm, output projection and loss on the device, some rows of logits at a time.

use super::DeviceDecoder;
use super::tree::DeviceTree;
use crate::cuda::buffer::{HostBuffer, View};
use crate::cuda::gradients::DeviceGradients;
use crate::cuda::ops::RowTargets;
use crate::error::Result;

/// Most logits that exist at a time, in elements (256 MiB of f32): enough rows for efficient
/// products.
const LOGITS_AT_A_TIME: usize = 1 << 26;
/// Fewest rows of logits at a time; products need as many even with the largest vocabulary.
const FEWEST_ROWS: usize = 128;

impl DeviceDecoder {
    /// Returns the logits of the final norm's output `y`, `[rows, vocabulary]`, in host memory;
    /// waits for the device.
    pub(in crate::cuda) fn logits(&mut self, y: View) -> Result<&mut [f32]> {
        let (stride, vocabulary) = (self.logits_stride(), self.config.vocab_size);
        let logits = self.project(y)?;
        let driver = &self.device.driver;
        let room = match self.host_logits.take().filter(|room| room.len() >= logits.len) {
            Some(room) => room,
            None => HostBuffer::zeros(driver, logits.len + logits.len / 8)?,
        };
        let values = &mut self.host_logits.insert(room)[..logits.len];
        logits.download(&**driver, values)?;
        let rows = logits.len / stride;
        // Close the gaps between the padded rows.
        for row in 1..rows {
            values.copy_within(row * stride..row * stride + vocabulary, row * vocabulary);
        }
        Ok(&mut values[..rows * vocabulary])
    }

    /// Adds the loss of the wanted rows `x` of the last residual stream, given their norm `y`, to
    /// the total. With `gradients`, returns the gradient of `x`; otherwise an empty view.
    pub(super) fn head(
        &mut self,
        tree: &DeviceTree,
        [x, y]: [View; 2],
        mut gradients: Option<&mut DeviceGradients>,
    ) -> Result<View> {
        let dy = self.workspace.head.dy.sized(&self.device.driver, y.len)?;
        let hidden = self.config.hidden_size;
        let rows = x.len / hidden;
        // 1. As many rows at a time as the memory for logits allows.
        let at_a_time = (LOGITS_AT_A_TIME / self.logits_stride())
            .max(FEWEST_ROWS)
            .min(rows);
        for first in (0..rows).step_by(at_a_time.max(1)) {
            let here = at_a_time.min(rows - first);
            let part = |x: View| x.slice(first * hidden..(first + here) * hidden);
            // 2. Logits, loss and the gradient of the normalized rows, part by part.
            let logits = self.project(part(y))?;
            let targets = tree.targets.from(first, here);
            let dlogits = self.loss(logits, targets, gradients.is_some())?;
            if let Some(gradients) = gradients.as_deref_mut() {
                self.backward_project(dlogits, part(y), part(dy), gradients)?;
            }
        }
        // 3. The final norm, for all rows at once.
        match gradients {
            Some(gradients) => self.backward_final_norm(x, dy, gradients),
            None => Ok(View::EMPTY),
        }
    }

    /// Turns the gradient `dy` of the final norm's output into that of its input `x`.
    fn backward_final_norm(&mut self, x: View, dy: View, gradients: &mut DeviceGradients) -> Result<View> {
        let (device, weight) = (&self.device, self.weights.vector(&self.norm));
        let dx = self.workspace.head.dx.sized(&device.driver, x.len)?;
        dx.zero(&*device.driver)?;
        let dnorm = match self.adapter {
            None => gradients
                .bucket(self.norm.bucket)?
                .slice(self.norm.elements.clone()),
            Some(_) => View::EMPTY,
        };
        let eps = self.config.rms_norm_eps as f32;
        device.rms_norm_backward(x, weight, eps, dy, dx, View::EMPTY, dnorm)?;
        if self.adapter.is_none() {
            gradients.complete(self.norm.bucket)?;
        }
        Ok(dx)
    }

    /// Returns the elements from one row of logits to the next: padded, so that rows are read and
    /// written in wide pieces.
    fn logits_stride(&self) -> usize {
        self.config.vocab_size.next_multiple_of(8)
    }

    /// Computes the logits of normalized rows, with rows [`DeviceDecoder::logits_stride`] apart.
    fn project(&mut self, y: View) -> Result<View> {
        let (stride, hidden) = (self.logits_stride(), self.config.hidden_size);
        let rows = y.len / hidden;
        let logits = &mut self.workspace.head.logits;
        let logits = logits.sized(&self.device.driver, rows * stride)?;
        let projection = self.weights.matrix(&self.projection).t();
        let sizes = [rows, self.config.vocab_size, hidden];
        self.device
            .gemm(y.matrix(hidden), projection, logits.matrix(stride), sizes, false)?;
        Ok(logits)
    }

    /// Writes the gradient of `y` in [`DeviceDecoder::project`] to `dy`, and adds that of the
    /// projection.
    fn backward_project(
        &self,
        dlogits: View,
        y: View,
        dy: View,
        gradients: &mut DeviceGradients,
    ) -> Result<()> {
        let (device, hidden, vocabulary) = (&self.device, self.config.hidden_size, self.config.vocab_size);
        let (rows, dlogits) = (y.len / hidden, dlogits.matrix(self.logits_stride()));
        // dy[rows, hidden] = dlogits · W
        let projection = self.weights.matrix(&self.projection);
        let sizes = [rows, hidden, vocabulary];
        device.gemm(dlogits, projection, dy.matrix(hidden), sizes, false)?;
        if self.adapter.is_some() {
            return Ok(());
        }
        // dW[vocabulary, hidden] += dlogitsᵀ · y
        let dprojection = gradients
            .bucket(self.projection.bucket)?
            .slice(self.projection.elements.clone())
            .matrix(hidden);
        let sizes = [vocabulary, hidden, rows];
        device.gemm(dlogits.t(), y.matrix(hidden), dprojection, sizes, true)
    }

    /// Adds the loss of some rows to the total; returns the gradient of their logits, or an empty
    /// view.
    fn loss(&mut self, logits: View, targets: RowTargets, with_gradient: bool) -> Result<View> {
        let [stride, vocabulary] = [self.logits_stride(), self.config.vocab_size];
        let (device, head) = (&self.device, &mut self.workspace.head);
        let dlogits = match with_gradient {
            true => head.dlogits.sized(&device.driver, logits.len)?,
            false => View::EMPTY,
        };
        let sums = head.sums.sized(&device.driver, 2 * logits.len / stride)?;
        let total = self.total.all();
        device.cross_entropy(logits, dlogits, [stride, vocabulary], targets, sums, total)?;
        Ok(dlogits)
    }
}
