//! What an adapter adds to a projection, forward and backward.

use super::adapter::{Adapter, Place};
use super::dropout::{Mask, Pass};
use crate::model::projection::Projection;
use crate::ops::buffer::Buffer;
use crate::ops::element::Element;
use crate::ops::matmul::{Matrix, Output, Precision, linear, matmul_into};

/// The adapter of one block.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct BlockAdapter<'a> {
    pub adapter: &'a Adapter,
    pub layer: usize,
    /// With a pass, inputs are dropped.
    pub pass: Option<Pass>,
    pub precision: Precision,
}

/// Buffers of one projection.
#[derive(Debug, Default)]
pub(in crate::model) struct LoraScratch {
    /// The input with elements dropped, or its gradient, `[rows, in]`.
    dropped: Buffer,
    /// `x · Aᵀ` of all targets, `[rows, targets · r]`.
    low: Buffer,
    /// Its gradient.
    dlow: Buffer,
}

impl BlockAdapter<'_> {
    fn weights(&self) -> &[f32] {
        &self.adapter.parameters.buckets[self.layer]
    }

    /// Where the projection's matrices lie, if there are any and any rows to multiply with them.
    fn place(&self, projection: Projection, rows: usize) -> Option<&Place> {
        let place = self.adapter.place(self.layer, projection);
        place.filter(|_| rows > 0)
    }

    fn mask(&self, projection: Projection) -> Option<Mask> {
        let p = self.adapter.config.lora_dropout;
        let mask = |pass| Mask {
            pass,
            layer: self.layer,
            projection,
            p,
        };
        self.pass.filter(|_| p > 0.0).map(mask)
    }

    /// The adapter's input `dropout(x)`, and `dropout(x) · Aᵀ`.
    fn low<'b, E: Element>(
        &self,
        projection: Projection,
        place: &Place,
        x: &'b [E],
        rows: usize,
        dropped: &'b mut Buffer,
        low: &'b mut Buffer,
    ) -> (&'b [E], &'b [f32]) {
        let width = x.len() / rows;
        let x = match self.mask(projection) {
            None => x,
            Some(mask) => {
                let dropped = dropped.sized(x.len());
                dropped.copy_from_slice(x);
                mask.apply(dropped, width);
                dropped
            }
        };
        let low = low.sized(rows * place.targets.len() * self.adapter.config.r);
        let a = &self.weights()[place.a.clone()];
        linear(x, a, low, rows, width, self.precision);
        (x, low)
    }

    /// `y += scale · dropout(x) · Aᵀ · Bᵀ` for the targeted columns of `y`.
    pub fn forward<X: Element, Y: Element>(
        &self,
        projection: Projection,
        x: &[X],
        y: &mut [Y],
        rows: usize,
        scratch: &mut LoraScratch,
    ) {
        let Some(place) = self.place(projection, rows) else {
            return;
        };
        let (r, scale, outputs) = (self.adapter.config.r, self.adapter.config.scale(), y.len() / rows);
        let (_, low) = self.low(projection, place, x, rows, &mut scratch.dropped, &mut scratch.low);
        let width = low.len() / rows;
        for (i, target) in place.targets.iter().enumerate() {
            let low = Matrix::strided(&low[i * r..], rows, r, width);
            let b = Matrix::new(&self.weights()[target.b.clone()], target.columns.len(), r);
            let y = &mut y[target.columns.start..];
            matmul_into(y, outputs, Output::Add, scale, low, b.t(), self.precision, true);
        }
    }

    /// Adds the gradients of `A` and `B` to `gradients`, given that of the joint output `dy` and the input `x`. What
    /// [`BlockAdapter::backward_input`] needs stays in `scratch`.
    pub fn backward_weights<Y: Element, E: Element>(
        &self,
        projection: Projection,
        dy: &[Y],
        x: &[E],
        rows: usize,
        scratch: &mut LoraScratch,
        gradients: &mut [f32],
    ) {
        let Some(place) = self.place(projection, rows) else {
            return;
        };
        let (r, scale, outputs) = (
            self.adapter.config.r,
            self.adapter.config.scale(),
            dy.len() / rows,
        );
        let (x, low) = self.low(projection, place, x, rows, &mut scratch.dropped, &mut scratch.low);
        let (input, width) = (x.len() / rows, low.len() / rows);
        let dlow: &mut [f32] = scratch.dlow.sized(low.len());
        for (i, target) in place.targets.iter().enumerate() {
            let dy = Matrix::strided(&dy[target.columns.start..], rows, target.columns.len(), outputs);
            let low = Matrix::strided(&low[i * r..], rows, r, width);
            let db = &mut gradients[target.b.clone()];
            matmul_into(db, r, Output::Add, scale, dy.t(), low, self.precision, true);
            let b = Matrix::new(&self.weights()[target.b.clone()], target.columns.len(), r);
            let dlow = &mut dlow[i * r..];
            matmul_into(dlow, width, Output::Set, scale, dy, b, self.precision, true);
        }
        let da = &mut gradients[place.a.clone()];
        let (dlow, x) = (Matrix::new(dlow, rows, width), Matrix::new(x, rows, input));
        matmul_into(da, input, Output::Add, 1.0, dlow.t(), x, self.precision, true);
    }

    /// Adds the adapter's part of the gradient of the input to `dx`, after [`BlockAdapter::backward_weights`].
    pub fn backward_input<E: Element>(
        &self,
        projection: Projection,
        dx: &mut [E],
        rows: usize,
        scratch: &mut LoraScratch,
    ) {
        let Some(place) = self.place(projection, rows) else {
            return;
        };
        let (input, width) = (dx.len() / rows, place.targets.len() * self.adapter.config.r);
        let dlow = Matrix::new(scratch.dlow.get::<f32>(rows * width), rows, width);
        let a = Matrix::new(&self.weights()[place.a.clone()], width, input);
        let Some(mask) = self.mask(projection) else {
            return matmul_into(dx, input, Output::Add, 1.0, dlow, a, self.precision, true);
        };
        let dropped: &mut [E] = scratch.dropped.sized(dx.len());
        matmul_into(dropped, input, Output::Set, 1.0, dlow, a, self.precision, true);
        mask.apply(dropped, input);
        dx.iter_mut()
            .zip(dropped)
            .for_each(|(dx, part)| *dx = E::of(dx.value() + part.value()));
    }
}
