//! The weights of a model, or of an adapter, on the device.

use super::buffer::{DeviceBuffer, View};
use super::driver::{Driver, Element, Operand};
use super::ops::Device;
use crate::error::Result;
use crate::weights::{Layout, Parameters, Slot, Span, Weights};
use std::ops::Range;
use std::sync::Arc;

/// Weights in the layout that they have on the host.
#[derive(Debug)]
pub(super) struct DeviceWeights {
    pub layout: Arc<Layout>,
    /// f32, bucket by bucket; none where the weights are frozen.
    pub masters: Vec<DeviceBuffer>,
    /// Matrices as products take them, bucket by bucket; none where they take the masters.
    pub rounded: Vec<DeviceBuffer>,
    /// The vectors of frozen weights, f32, and where each begins, by the index of its slot.
    vectors: Option<(DeviceBuffer, Vec<usize>)>,
}

impl DeviceWeights {
    /// A copy that can be trained: f32, and where activations are bf16 a rounded copy of it.
    pub fn trained(device: &Device, weights: &Parameters) -> Result<Self> {
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
            vectors: None,
        })
    }

    /// A copy that is only read: matrices of the type of activations, unpacked if need be.
    pub fn frozen(device: &Device, weights: &Weights) -> Result<Self> {
        let (driver, layout) = (&device.driver, weights.layout().clone());
        let bucket = |len| DeviceBuffer::new(driver, device.element, len);
        let buckets: Vec<DeviceBuffer> = layout
            .bucket_sizes()
            .into_iter()
            .map(bucket)
            .collect::<Result<_>>()?;
        let (mut vectors, mut starts) = (Vec::new(), Vec::new());
        for (index, slot) in layout.slots().iter().enumerate() {
            starts.push(vectors.len());
            let span = slot.span(index);
            match slot.is_matrix() {
                true => upload_matrix(device, weights, slot, &span, buckets[slot.bucket].all())?,
                false => vectors.extend_from_slice(weights.vector(&span)),
            }
        }
        let vectors = DeviceBuffer::from_host(driver, Element::F32, &vectors)?;
        Ok(Self {
            layout,
            masters: Vec::new(),
            rounded: buckets,
            vectors: Some((vectors, starts)),
        })
    }

    /// A copy on the host of weights that are trained.
    pub fn download(&self, driver: &dyn Driver, weights: &mut Parameters) -> Result<()> {
        let buckets = self.masters.iter().zip(&mut weights.buckets);
        buckets
            .into_iter()
            .try_for_each(|(from, to)| from.all().download(driver, to))
    }

    /// Vectors that stand side by side, f32.
    pub fn vector(&self, span: &Span) -> View {
        match &self.vectors {
            Some((vectors, starts)) => {
                let start = starts[span.slots.start];
                vectors.all().slice(start..start + span.elements.len())
            }
            None => self.masters[span.bucket].all().slice(span.elements.clone()),
        }
    }

    /// Matrices as products take them.
    pub fn matrix(&self, span: &Span) -> Operand {
        self.elements(span.bucket, span.elements.clone())
            .matrix(span.columns)
    }

    /// Elements of a bucket as products take them.
    pub fn elements(&self, bucket: usize, elements: Range<usize>) -> View {
        let buckets = if self.rounded.is_empty() {
            &self.masters
        } else {
            &self.rounded
        };
        buckets[bucket].all().slice(elements)
    }

    /// A matrix as exactly as it is there, to take rows of.
    pub fn table(&self, span: &Span) -> View {
        let buckets = if self.masters.is_empty() {
            &self.rounded
        } else {
            &self.masters
        };
        buckets[span.bucket].all().slice(span.elements.clone())
    }
}

/// Copies a matrix to its place in a bucket of activations, some rows at a time.
fn upload_matrix(device: &Device, weights: &Weights, slot: &Slot, span: &Span, bucket: View) -> Result<()> {
    let driver = &device.driver;
    let place = bucket.slice(slot.range());
    let mut result = Ok(());
    weights.matrix(span).for_each_tile(|first, values| {
        let start = first * span.columns;
        let place = place.slice(start..start + values.len());
        let upload = || match device.element {
            Element::Bf16 => {
                let exact = DeviceBuffer::from_host(driver, Element::F32, values)?;
                device.round(exact.all(), place)
            }
            _ => place.upload(&**driver, values),
        };
        if result.is_ok() {
            result = upload();
        }
    });
    result
}
