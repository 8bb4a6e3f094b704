//! The weights of a model on the device.

use super::buffer::{DeviceBuffer, View};
use super::driver::{Driver, Element, Operand};
use super::ops::Device;
use crate::collective::Shard;
use crate::error::Result;
use crate::weights::{Layout, Parameters, Span};
use std::sync::Arc;

/// f32 weights, and where activations are bf16 a rounded copy of them, which is what products take.
#[derive(Debug)]
pub(super) struct DeviceWeights {
    pub layout: Arc<Layout>,
    /// Elements of the buckets.
    pub sizes: Vec<usize>,
    /// With room for the parts of all ranks.
    pub masters: Vec<DeviceBuffer>,
    pub rounded: Vec<DeviceBuffer>,
}

impl DeviceWeights {
    /// A copy on the device, with room for the parts of `all` ranks.
    pub fn new(device: &Device, weights: &Parameters, all: Shard) -> Result<Self> {
        let driver = &device.driver;
        let mut copy = Self {
            layout: weights.layout.clone(),
            sizes: weights.layout.bucket_sizes(),
            masters: Vec::new(),
            rounded: Vec::new(),
        };
        for (bucket, values) in weights.buckets.iter().enumerate() {
            let master = DeviceBuffer::new(driver, Element::F32, all.room(values.len()))?;
            master.all().upload(&**driver, values)?;
            copy.masters.push(master);
            if device.element == Element::Bf16 {
                let rounded = DeviceBuffer::new(driver, Element::Bf16, values.len())?;
                copy.rounded.push(rounded);
                copy.round(device, bucket)?;
            }
        }
        Ok(copy)
    }

    /// Rounds a bucket whose f32 weights have changed, where rounded weights are used.
    pub fn round(&self, device: &Device, bucket: usize) -> Result<()> {
        let Some(rounded) = self.rounded.get(bucket) else {
            return Ok(());
        };
        let master = self.masters[bucket].all().slice(0..self.sizes[bucket]);
        device.round(master, rounded.all())
    }

    /// A copy on the host.
    pub fn download(&self, driver: &dyn Driver, weights: &mut Parameters) -> Result<()> {
        let buckets = self.masters.iter().zip(&mut weights.buckets);
        buckets
            .into_iter()
            .try_for_each(|(from, to)| from.all().download(driver, to))
    }

    /// Vectors, or matrices as they are trained.
    pub fn vector(&self, span: &Span) -> View {
        self.masters[span.bucket].all().slice(span.elements.clone())
    }

    /// Matrices as products take them.
    pub fn matrix(&self, span: &Span) -> Operand {
        let buckets = if self.rounded.is_empty() {
            &self.masters
        } else {
            &self.rounded
        };
        buckets[span.bucket]
            .all()
            .slice(span.elements.clone())
            .matrix(span.columns)
    }
}
