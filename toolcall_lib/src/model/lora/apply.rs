//! The adapter's part of a projection, forward and backward.
//!
//! Shapes, for `rows` tokens and a joint projection with several targets: `x` is `[rows, in]`,
//! `low = dropout(x) · Aᵀ` is `[rows, targets · r]`, and each target adds `scale · low · Bᵀ` to its
//! own columns of the output.

use super::adapter::{Adapter, Place};
use super::dropout::{Mask, PassId};
use crate::model::projection::Projection;
use crate::ops::buffer::Buffer;
use crate::ops::element::Element;
use crate::ops::linear::linear;
use crate::ops::matmul::{Matrix, Output, Precision, matmul_into};

/// The adapter of one block.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct BlockAdapter<'a> {
    pub adapter: &'a Adapter,
    pub layer: usize,
    /// Identity of the training pass, which selects the dropout masks; `None` outside training.
    pub pass: Option<PassId>,
    pub precision: Precision,
}

/// Buffers for one projection.
#[derive(Debug, Default)]
pub(in crate::model) struct LoraScratch {
    /// Input after dropout, or its gradient, `[rows, in]`.
    dropped: Buffer,
    /// Product `dropout(x) · Aᵀ` of all targets, `[rows, targets · r]`.
    low: Buffer,
    /// Gradient of `low`.
    dlow: Buffer,
}

impl BlockAdapter<'_> {
    /// Returns the matrices of the block, one after the other.
    fn weights(&self) -> &[f32] {
        &self.adapter.parameters.buckets[self.layer]
    }

    /// Returns the places of the projection's matrices, if it has any and if there are rows to
    /// multiply.
    fn place(&self, projection: Projection, rows: usize) -> Option<&Place> {
        let place = self.adapter.place(self.layer, projection);
        place.filter(|_| rows > 0)
    }

    /// Returns the dropout mask of a projection's input, if the pass drops anything.
    fn mask(&self, projection: Projection) -> Option<Mask> {
        self.adapter.mask(self.layer, projection, self.pass)
    }

    /// Computes the adapter's input `dropout(x)` and `low = dropout(x) · Aᵀ`.
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

    /// Adds `scale · dropout(x) · Aᵀ · Bᵀ` to the targeted columns of `y` (`[rows, outputs]`).
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

    /// Adds the gradients of `A` and `B` to `gradients`, from the gradient `dy` of the joint output
    /// and the input `x`. Leaves the gradient of `low` in `scratch` for
    /// [`BlockAdapter::backward_input`].
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
        // 1. Recompute low = dropout(x) · Aᵀ: [rows, width], where width = targets · r.
        let (x, low) = self.low(projection, place, x, rows, &mut scratch.dropped, &mut scratch.low);
        let (input, width) = (x.len() / rows, low.len() / rows);
        let dlow: &mut [f32] = scratch.dlow.sized(low.len());
        // 2. For each target: dB += scale · dyᵀ · low, and dlow = scale · dy · B.
        for (i, target) in place.targets.iter().enumerate() {
            let dy = Matrix::strided(&dy[target.columns.start..], rows, target.columns.len(), outputs);
            let low = Matrix::strided(&low[i * r..], rows, r, width);
            let db = &mut gradients[target.b.clone()];
            matmul_into(db, r, Output::Add, scale, dy.t(), low, self.precision, true);
            let b = Matrix::new(&self.weights()[target.b.clone()], target.columns.len(), r);
            let dlow = &mut dlow[i * r..];
            matmul_into(dlow, width, Output::Set, scale, dy, b, self.precision, true);
        }
        // 3. All targets at once: dA += dlowᵀ · dropout(x).
        let da = &mut gradients[place.a.clone()];
        let (dlow, x) = (Matrix::new(dlow, rows, width), Matrix::new(x, rows, input));
        matmul_into(da, input, Output::Add, 1.0, dlow.t(), x, self.precision, true);
    }

    /// Adds `dropout'(dlow · A)`, the adapter's part of the input's gradient, to `dx`. Must follow
    /// [`BlockAdapter::backward_weights`] for the same projection.
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
        // The gradient of dropout is the same mask.
        let dropped: &mut [E] = scratch.dropped.sized(dx.len());
        matmul_into(dropped, input, Output::Set, 1.0, dlow, a, self.precision, true);
        mask.apply(dropped, input);
        dx.iter_mut()
            .zip(dropped)
            .for_each(|(dx, part)| *dx = E::of(dx.value() + part.value()));
    }
}
