//! What an adapter adds to a projection on the device, forward and backward.

use super::buffer::{Scratch, View};
use super::driver::{Element, Operand, Rounding};
use super::ops::{Device, Dropout};
use super::weights::DeviceWeights;
use crate::collective::Shard;
use crate::error::Result;
use crate::model::Projection;
use crate::model::lora::{Adapter, Mask, Pass, Place};

/// An adapter with its matrices on the device.
#[derive(Debug)]
pub(super) struct DeviceAdapter {
    /// Its settings, and where its matrices lie in a bucket.
    host: Adapter,
    pub weights: DeviceWeights,
}

impl DeviceAdapter {
    /// A copy on the device, which this rank changes in its shard.
    pub fn new(device: &Device, adapter: &Adapter, shard: Shard) -> Result<Self> {
        Ok(Self {
            weights: DeviceWeights::trained(device, &adapter.parameters, Rounding::Nearest, shard)?,
            host: adapter.without_weights(),
        })
    }

    /// That of one block; with a pass, inputs are dropped.
    pub fn of_block<'a>(&'a self, device: &'a Device, layer: usize, pass: Option<Pass>) -> BlockAdapter<'a> {
        BlockAdapter {
            device,
            adapter: self,
            layer,
            pass,
        }
    }
}

/// Room for one projection, of the type of activations.
#[derive(Debug)]
pub(super) struct LoraScratch {
    /// The input with elements dropped, or the gradient of that.
    dropped: Scratch,
    /// `x · Aᵀ` of all targets, `[rows, targets · r]`, and its gradient.
    low: Scratch,
    dlow: Scratch,
}

impl LoraScratch {
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
    pass: Option<Pass>,
}

impl<'a> BlockAdapter<'a> {
    /// Where the projection's matrices lie, if there are any and any rows to multiply with them.
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

    /// Rows of `columns` elements in the adapter's bucket, as products take them.
    fn matrix(&self, elements: std::ops::Range<usize>, columns: usize) -> Operand {
        self.adapter
            .weights
            .elements(self.layer, elements)
            .matrix(columns)
    }

    fn mask(&self, projection: Projection) -> Option<Dropout> {
        let p = self.adapter.host.config.lora_dropout;
        let mask = |pass| Mask {
            pass,
            layer: self.layer,
            projection,
            p,
        };
        self.pass.filter(|_| p > 0.0).map(|pass| Dropout::of(&mask(pass)))
    }

    /// The adapter's input `dropout(x)`, and `dropout(x) · Aᵀ`.
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

    /// `y += scale · dropout(x) · Aᵀ · Bᵀ` for the targeted columns of `y`.
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

    /// Adds the gradients of `A` and `B` to `gradients`, the adapter's bucket, given that of the joint output `dy` and the input `x`;
    /// and the adapter's part of the gradient of the input to `dx`.
    #[allow(clippy::too_many_arguments)] // an input and an output, their gradients, and where it happens
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
        let (x, low) = self.low(projection, place, x, rows, scratch)?;
        let dlow = scratch.dlow.sized(driver, low.len)?;
        let (r, input, width, outputs) = (self.r(), x.len / rows, low.len / rows, dy.len / rows);
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
        let sizes = [rows, input, width];
        let Some(mask) = self.mask(projection) else {
            return device.gemm(dlow, a, dx.matrix(input), sizes, true);
        };
        let dropped = scratch.dropped.sized(driver, dx.len)?;
        device.gemm(dlow, a, dropped.matrix(input), sizes, false)?;
        device.dropout(dropped, dx, &mask, true)
    }
}
