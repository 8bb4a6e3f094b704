//! The weights of a model on the device.

use super::buffer::{DeviceBuffer, View};
use super::driver::{Driver, Element, Operand};
use super::ops::Device;
use crate::error::Result;
use crate::weights::{Layout, Parameters, Span};
use std::sync::Arc;

/// f32 weights, and where activations are bf16 a rounded copy of them, which is what products take.
#[derive(Debug)]
pub(super) struct DeviceWeights {
    pub layout: Arc<Layout>,
    pub masters: Vec<DeviceBuffer>,
    pub rounded: Vec<DeviceBuffer>,
}

impl DeviceWeights {
    /// A copy on the device.
    pub fn new(device: &Device, weights: &Parameters) -> Result<Self> {
        let driver = &device.driver;
        let upload = |bucket: &Vec<f32>| DeviceBuffer::from_host(driver, Element::F32, bucket);
        let masters: Vec<DeviceBuffer> = weights.buckets.iter().map(upload).collect::<Result<_>>()?;
        let mut rounded = Vec::new();
        if device.element == Element::Bf16 {
            for master in &masters {
                let copy = DeviceBuffer::new(driver, Element::Bf16, master.len())?;
                device.round(master.all(), copy.all())?;
                rounded.push(copy);
            }
        }
        Ok(Self {
            layout: weights.layout.clone(),
            masters,
            rounded,
        })
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
