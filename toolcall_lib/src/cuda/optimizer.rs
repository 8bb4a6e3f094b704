//! Gradients and AdamW's state on the device.

use super::buffer::DeviceBuffer;
use super::decoder::DeviceDecoder;
use super::driver::Element;
use super::gradients::{DeviceGradients, OnDevice};
use super::ops::SQUARES_OF_A_BUCKET;
use super::ranks::DeviceRanks;
use crate::error::Result;
use crate::optimizer::{AdamW, Update, is_decayed};
use crate::weights::{Layout, Parameters};
use std::ops::Range;
use std::sync::Arc;

/// Gradients and moments, bucket by bucket. With ZeRO, those of this rank's shard.
#[derive(Debug)]
pub(crate) struct DeviceOptimizer {
    /// Sums of gradients over the trees of a step and over the ranks.
    pub gradients: DeviceGradients,
    ranks: Arc<dyn DeviceRanks>,
    moments: [Vec<DeviceBuffer>; 2],
    /// Runs of elements in a bucket with the same weight decay: bucket, elements, and true if they
    /// decay.
    runs: Vec<(usize, Range<usize>, bool)>,
    /// Partial sums of the squares of gradients, of all ranks.
    squares: DeviceBuffer,
    /// Factor for the gradients, and their norm.
    scale: DeviceBuffer,
}

impl DeviceOptimizer {
    /// Copies the state of `optimizer` to the device, divided by `zero_stage` among these ranks.
    pub fn new(
        decoder: &DeviceDecoder,
        optimizer: &AdamW,
        ranks: Arc<dyn DeviceRanks>,
        zero_stage: u8,
    ) -> Result<Self> {
        let device = &decoder.device;
        let layout = &decoder.trained().layout;
        let zeros = |len: usize| DeviceBuffer::zeros(&device.driver, Element::F32, len);
        let upload = |buckets: &Vec<Vec<f32>>| -> Result<Vec<DeviceBuffer>> {
            let copy = |bucket: &Vec<f32>| match optimizer.steps {
                0 => zeros(bucket.len()), // the moments are still zero on the host
                _ => DeviceBuffer::from_host(&device.driver, Element::F32, bucket),
            };
            buckets.iter().map(copy).collect()
        };
        let memory = OnDevice {
            driver: device.driver.clone(),
            ranks: ranks.clone(),
        };
        let gradients = DeviceGradients::new(memory, zero_stage, layout.clone())?;
        let squares = gradients.shard().size * layout.bucket_sizes().len() * SQUARES_OF_A_BUCKET;
        Ok(Self {
            gradients,
            ranks,
            moments: [upload(&optimizer.first)?, upload(&optimizer.second)?],
            runs: runs(layout),
            squares: zeros(squares)?,
            scale: zeros(2)?,
        })
    }

    /// Makes step number `optimizer.steps + 1`. The gradients are sums over `tokens` tokens; they
    /// are clipped to the norm `most` and become zero. Changes nothing if their norm is not finite.
    /// Returns before the device is done.
    pub fn step(
        &mut self,
        decoder: &mut DeviceDecoder,
        optimizer: &mut AdamW,
        tokens: f64,
        most: f64,
        learning_rate: f64,
    ) -> Result<()> {
        let (device, weights) = (&decoder.device, decoder.trained());
        // 1. The factor for the gradients, from the norm over all ranks.
        self.clip(decoder, tokens, most)?;
        optimizer.steps += 1;
        let shard = self.gradients.shard();
        let (sums, mut under_way) = (self.gradients.own(), Vec::new());
        // 2. AdamW over the runs of this rank's shard of each bucket.
        for (bucket, &size) in weights.sizes.iter().enumerate() {
            let own = shard.range(size);
            for (_, range, decays) in self.runs.iter().filter(|run| run.0 == bucket) {
                let run = range.start.max(own.start)..range.end.min(own.end);
                if run.is_empty() {
                    continue;
                }
                let part = run.start - own.start..run.end - own.start;
                let [first, second] = self.moments.each_ref().map(|all| all[bucket].all());
                let state = [sums[bucket], first, second];
                let [gradient, first, second] = state.map(|all| all.slice(part.clone()));
                let (master, rounded) = weights.own(bucket, run);
                let update = Update::of(&optimizer.config, optimizer.steps, learning_rate, *decays);
                let all = [master, gradient, first, second];
                device.adamw(all, (rounded, weights.rounding), &update, self.scale.all())?;
            }
            // 3. The new weights travel to the other ranks while the next bucket is stepped.
            if shard.size > 1 {
                under_way.push(weights.start_gather(bucket, &*self.ranks)?);
            }
        }
        weights.finish_gather(device, &*self.ranks, under_way)
    }

    /// Returns the norm of the mean gradient of the last step, before clipping; waits for the
    /// device.
    pub fn norm(&self, decoder: &DeviceDecoder) -> Result<f64> {
        let mut scale = [0.0f32; 2];
        self.scale.all().download(&*decoder.device.driver, &mut scale)?;
        Ok(f64::from(scale[1]))
    }

    /// Computes the factor for the gradients from those of all ranks. Every rank adds the same
    /// numbers in the same order, so all get the same factor.
    fn clip(&self, decoder: &DeviceDecoder, tokens: f64, most: f64) -> Result<()> {
        let (device, shard, squares) = (&decoder.device, self.gradients.shard(), self.squares.all());
        device.sum_squares(&self.gradients.own(), squares.slice(shard.range(squares.len)))?;
        if shard.size > 1 {
            self.ranks.join(self.ranks.start_all_gather(squares)?)?;
        }
        device.clip(squares, tokens as f32, most as f32, self.scale.all())
    }

    /// Copies weights and state to the host; of buckets that are divided among the ranks, this
    /// rank's shard.
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

/// Joins neighbouring tensors with the same weight decay to one run, to launch few kernels.
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
