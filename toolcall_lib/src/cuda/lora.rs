//! LoRA on the device: the sum that an adapter adds to a projection, forward and backward.

use super::buffer::{Scratch, View};
use super::driver::{Element, Operand, Rounding};
use super::ops::{Device, Dropout};
use super::weights::DeviceWeights;
use crate::collective::Shard;
use crate::error::Result;
use crate::model::Projection;
use crate::model::lora::{Adapter, PassId, Place};

/// An adapter with its matrices on the device.
#[derive(Debug)]
pub(super) struct DeviceAdapter {
    /// Settings of the adapter, and the places of its matrices in a bucket.
    host: Adapter,
    pub weights: DeviceWeights,
}

impl DeviceAdapter {
    /// Copies the adapter to the device; this rank updates only its shard.
    pub fn new(device: &Device, adapter: &Adapter, shard: Shard) -> Result<Self> {
        Ok(Self {
            weights: DeviceWeights::trained(device, &adapter.parameters, Rounding::Nearest, shard)?,
            host: adapter.without_weights(),
        })
    }

    /// Returns the adapter of one block. With a `pass`, its inputs go through dropout.
    pub fn of_block<'a>(
        &'a self,
        device: &'a Device,
        layer: usize,
        pass: Option<PassId>,
    ) -> BlockAdapter<'a> {
        BlockAdapter {
            device,
            adapter: self,
            layer,
            pass,
        }
    }
}

/// Memory for one projection, in the type of activations.
#[derive(Debug)]
pub(super) struct LoraScratch {
    /// Input after dropout, or the gradient of that.
    dropped: Scratch,
    /// `dropout(x) · Aᵀ` of all targets, `[rows, targets · r]`, and its gradient.
    low: Scratch,
    dlow: Scratch,
}

impl LoraScratch {
    /// Makes a scratch without memory.
    pub fn new(element: Element) -> Self {
        let [dropped, low, dlow] = [(); 3].map(|()| Scratch::new(element));
        Self { dropped, low, dlow }
    }
}

/// The adapter of one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockAdapter<'a> {
    device: &'a Device,
    adapter: &'a DeviceAdapter,
    layer: usize,
    pass: Option<PassId>,
}

impl<'a> BlockAdapter<'a> {
    /// Returns the places of the projection's matrices; `None` if it has none or there are no rows.
    fn place(&self, projection: Projection, rows: usize) -> Option<&'a Place> {
        let place = self.adapter.host.place(self.layer, projection);
        place.filter(|_| rows > 0)
    }

    fn r(&self) -> usize {
        self.adapter.host.config.r
    }

    fn scale(&self) -> f32 {
        self.adapter.host.config.scale()
    }

    /// Returns elements of the adapter's bucket as a matrix with `columns` columns.
    fn matrix(&self, elements: std::ops::Range<usize>, columns: usize) -> Operand {
        self.adapter
            .weights
            .elements(self.layer, elements)
            .matrix(columns)
    }

    fn mask(&self, projection: Projection) -> Option<Dropout> {
        let mask = self.adapter.host.mask(self.layer, projection, self.pass);
        mask.as_ref().map(Dropout::of)
    }

    /// Computes the adapter's input `dropout(x)`, and `dropout(x) · Aᵀ`, `[rows, targets · r]`.
    fn low(
        &self,
        projection: Projection,
        place: &Place,
        x: View,
        rows: usize,
        scratch: &mut LoraScratch,
    ) -> Result<(View, View)> {
        let (device, driver) = (self.device, &self.device.driver);
        let x = match self.mask(projection) {
            None => x,
            Some(mask) => {
                let dropped = scratch.dropped.sized(driver, x.len)?;
                device.dropout(x, dropped, &mask, false)?;
                dropped
            }
        };
        let (input, width) = (x.len / rows, place.targets.len() * self.r());
        let low = scratch.low.sized(driver, rows * width)?;
        let a = self.matrix(place.a.clone(), input).t();
        device.gemm(x.matrix(input), a, low.matrix(width), [rows, width, input], false)?;
        Ok((x, low))
    }

    /// Computes `y += scale · dropout(x) · Aᵀ · Bᵀ` for the targeted columns of `y`,
    /// `[rows, outputs]`.
    pub fn forward(
        &self,
        projection: Projection,
        x: View,
        y: View,
        rows: usize,
        scratch: &mut LoraScratch,
    ) -> Result<()> {
        let Some(place) = self.place(projection, rows) else {
            return Ok(());
        };
        let (_, low) = self.low(projection, place, x, rows, scratch)?;
        // Each target has r columns of the low-rank product, and its own columns of y.
        let (r, width, outputs) = (self.r(), low.len / rows, y.len / rows);
        for (i, target) in place.targets.iter().enumerate() {
            let low = low.slice(i * r..low.len).matrix(width);
            let b = self.matrix(target.b.clone(), r).t();
            let y = y.slice(target.columns.start..y.len).matrix(outputs);
            let sizes = [rows, target.columns.len(), r];
            self.device.scaled_gemm(self.scale(), low, b, y, sizes, true)?;
        }
        Ok(())
    }

    /// Adds the gradients of `A` and `B` to `gradients`, the adapter's bucket, and the adapter's
    /// part of the input's gradient to `dx`, given the gradient of the joint output, `dy`, and the
    /// input `x`.
    #[allow(clippy::too_many_arguments)] // an input, an output, their gradients, and the workspace
    pub fn backward(
        &self,
        projection: Projection,
        dy: View,
        x: View,
        dx: View,
        rows: usize,
        scratch: &mut LoraScratch,
        gradients: View,
    ) -> Result<()> {
        let Some(place) = self.place(projection, rows) else {
            return Ok(());
        };
        let (device, driver) = (self.device, &self.device.driver);
        // 1. Compute the low-rank product again.
        let (x, low) = self.low(projection, place, x, rows, scratch)?;
        let dlow = scratch.dlow.sized(driver, low.len)?;
        let (r, input, width, outputs) = (self.r(), x.len / rows, low.len / rows, dy.len / rows);
        // 2. Per target: dB[outputs, r] += scale · dyᵀ · low, and dlow[rows, r] = scale · dy · B.
        for (i, target) in place.targets.iter().enumerate() {
            let dy = dy.slice(target.columns.start..dy.len).matrix(outputs);
            let low = low.slice(i * r..low.len).matrix(width);
            let db = gradients.slice(target.b.clone()).matrix(r);
            let sizes = [target.columns.len(), r, rows];
            device.scaled_gemm(self.scale(), dy.t(), low, db, sizes, true)?;
            let b = self.matrix(target.b.clone(), r);
            let dlow = dlow.slice(i * r..dlow.len).matrix(width);
            let sizes = [rows, r, target.columns.len()];
            device.scaled_gemm(self.scale(), dy, b, dlow, sizes, false)?;
        }
        // 3. dA[targets · r, input] += dlowᵀ · dropout(x).
        let (a, da) = (
            self.matrix(place.a.clone(), input),
            gradients.slice(place.a.clone()),
        );
        let dlow = dlow.matrix(width);
        device.gemm(
            dlow.t(),
            x.matrix(input),
            da.matrix(input),
            [width, input, rows],
            true,
        )?;
        // 4. dx[rows, input] += dlow · A, through the mask if there is one.
        let sizes = [rows, input, width];
        let Some(mask) = self.mask(projection) else {
            return device.gemm(dlow, a, dx.matrix(input), sizes, true);
        };
        let dropped = scratch.dropped.sized(driver, dx.len)?;
        device.gemm(dlow, a, dropped.matrix(input), sizes, false)?;
        device.dropout(dropped, dx, &mask, true)
    }
}
