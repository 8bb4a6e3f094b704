//! Gradients and AdamW's state on the device.

use super::buffer::{DeviceBuffer, View};
use super::decoder::DeviceDecoder;
use super::driver::Element;
use crate::error::Result;
use crate::optimizer::{AdamW, Update, is_decayed};
use crate::weights::{Layout, Parameters};
use std::ops::Range;

/// What an optimizer step needs beside the weights, bucket by bucket.
#[derive(Debug)]
pub(crate) struct DeviceOptimizer {
    /// Sums over the trees of a step.
    pub gradients: Vec<DeviceBuffer>,
    moments: [Vec<DeviceBuffer>; 2],
    /// Runs of a bucket that decay alike.
    runs: Vec<(usize, Range<usize>, bool)>,
    /// What gradients are multiplied with, and the norm.
    scale: DeviceBuffer,
}

impl DeviceOptimizer {
    /// The state of `optimizer`, which goes on on the device.
    pub fn new(decoder: &DeviceDecoder, optimizer: &AdamW) -> Result<Self> {
        let driver = &decoder.device.driver;
        let upload = |buckets: &Vec<Vec<f32>>| -> Result<Vec<DeviceBuffer>> {
            buckets
                .iter()
                .map(|bucket| DeviceBuffer::from_host(driver, Element::F32, bucket))
                .collect()
        };
        let layout = &decoder.trained().layout;
        let zeros = |len: usize| DeviceBuffer::zeros(driver, Element::F32, len);
        Ok(Self {
            gradients: layout
                .bucket_sizes()
                .into_iter()
                .map(zeros)
                .collect::<Result<_>>()?,
            moments: [upload(&optimizer.first)?, upload(&optimizer.second)?],
            runs: runs(layout),
            scale: zeros(2)?,
        })
    }

    /// Step number `optimizer.steps + 1` with the gradients, which are sums over `tokens`: clipped to the norm `most`, then zero.
    /// Where their norm is not finite, no step is made. Returns before the device is done.
    pub fn step(
        &mut self,
        decoder: &mut DeviceDecoder,
        optimizer: &mut AdamW,
        tokens: f64,
        most: f64,
        learning_rate: f64,
    ) -> Result<()> {
        let (device, weights) = (&decoder.device, decoder.trained());
        let gradients: Vec<View> = self.gradients.iter().map(DeviceBuffer::all).collect();
        device.clip(&gradients, tokens as f32, most as f32, self.scale.all())?;
        optimizer.steps += 1;
        for (bucket, range, decays) in &self.runs {
            let part = |buffers: &[DeviceBuffer]| match buffers.get(*bucket) {
                Some(buffer) => buffer.all().slice(range.clone()),
                None => View::EMPTY, // weights are not rounded
            };
            let [first, second] = &self.moments;
            let all = [&weights.masters, &self.gradients, first, second].map(|buffers| part(buffers));
            let update = Update::of(&optimizer.config, optimizer.steps, learning_rate, *decays);
            device.adamw(all, part(&weights.rounded), &update, self.scale.all())?;
        }
        Ok(())
    }

    /// The norm of the mean of the last step's gradients before clipping; waits for the device.
    pub fn norm(&self, decoder: &DeviceDecoder) -> Result<f64> {
        let mut scale = [0.0f32; 2];
        self.scale.all().download(&*decoder.device.driver, &mut scale)?;
        Ok(f64::from(scale[1]))
    }

    /// Copies weights and state to the host.
    pub fn download(
        &self,
        decoder: &DeviceDecoder,
        weights: &mut Parameters,
        optimizer: &mut AdamW,
    ) -> Result<()> {
        let driver = &*decoder.device.driver;
        decoder.trained().download(driver, weights)?;
        for (from, to) in self
            .moments
            .iter()
            .zip([&mut optimizer.first, &mut optimizer.second])
        {
            for (from, to) in from.iter().zip(to) {
                from.all().download(driver, to)?;
            }
        }
        Ok(())
    }
}

/// Neighbours that decay alike are one run: few kernels.
fn runs(layout: &Layout) -> Vec<(usize, Range<usize>, bool)> {
    let mut runs: Vec<(usize, Range<usize>, bool)> = Vec::new();
    for slot in layout.slots() {
        let decays = is_decayed(slot);
        match runs.last_mut() {
            Some((bucket, range, alike)) if *bucket == slot.bucket && *alike == decays => {
                range.end = slot.range().end;
            }
            _ => runs.push((slot.bucket, slot.range(), decays)),
        }
    }
    runs
}
