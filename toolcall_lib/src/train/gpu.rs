//! The engine of a training run on GPUs, one GPU per rank.

use super::config::TrainConfig;
use super::engine::{Engine, add_trees, precision};
use super::predict::CACHE_BYTES;
use super::ranks::gather;
use super::rows::mean_loss;
use crate::batch::TreeBatch;
use crate::collective::Collective;
use crate::cuda::{DeviceDecoder, DeviceOptimizer, DeviceRanks, Driver};
use crate::device::Device;
use crate::error::Result;
use crate::generate::PrefixCache;
use crate::model::{Decoder, Model};
use crate::ops::cross_entropy::LossSum;
use crate::optimizer::AdamW;
use crate::tokens::Sequence;
use std::sync::Arc;

/// A run whose weights, gradients and optimizer state are on the GPU from the first step to
/// [`Engine::copy_to_host`].
#[derive(Debug)]
pub(super) struct OnGpu<'a> {
    ranks: &'a dyn Collective,
    config: &'a TrainConfig,
    decoder: DeviceDecoder,
    optimizer: DeviceOptimizer,
}

impl<'a> OnGpu<'a> {
    /// Makes the engine of one of the `ranks`, which owns the GPU of `driver`; `devices` connects
    /// that GPU with the others.
    pub fn new(
        driver: Arc<dyn Driver>,
        devices: Arc<dyn DeviceRanks>,
        ranks: &'a dyn Collective,
        decoder: &Decoder,
        optimizer: &AdamW,
        config: &'a TrainConfig,
    ) -> Result<Self> {
        let precision = precision(config, decoder);
        let mut on_device = DeviceDecoder::of_shard(driver, decoder, precision, optimizer.shard)?;
        on_device.recompute = config.recompute;
        Ok(Self {
            ranks,
            config,
            optimizer: DeviceOptimizer::new(&on_device, optimizer, devices, config.zero_stage)?,
            decoder: on_device,
        })
    }
}

impl Engine for OnGpu<'_> {
    fn add_trees(&mut self, _: &Decoder, trees: &[TreeBatch], step: usize) -> Result<()> {
        let (decoder, gradients) = (&mut self.decoder, &mut self.optimizer.gradients);
        let run = (self.config.seed, step);
        add_trees(self.ranks, trees, gradients, run, |tree, gradients, id| {
            decoder.add_gradients(tree, gradients, id)
        })
    }

    fn step(
        &mut self,
        _: &mut Decoder,
        optimizer: &mut AdamW,
        tokens: f64,
        learning_rate: f64,
    ) -> Result<()> {
        let most = self.config.max_grad_norm;
        self.optimizer
            .step(&mut self.decoder, optimizer, tokens, most, learning_rate)
    }

    fn finish_step(&mut self) -> Result<(f64, LossSum)> {
        let grad_norm = self.optimizer.norm(&self.decoder)?;
        let [loss, correct] = self.decoder.take_total()?;
        Ok((grad_norm, LossSum { loss, correct }))
    }

    fn mean_loss(&mut self, _: &Decoder, data: &[Vec<Sequence>]) -> Result<[f64; 2]> {
        let decoder = &mut self.decoder;
        mean_loss(data, self.config, self.ranks, |trees| {
            trees.iter().try_for_each(|tree| decoder.add_loss(tree))?;
            let [loss, correct] = decoder.take_total()?;
            Ok(LossSum { loss, correct })
        })
    }

    fn generator(&self, model: &Model) -> Result<(PrefixCache, Device)> {
        let driver = self.decoder.device.driver.clone();
        Ok((PrefixCache::on_driver(driver, model, CACHE_BYTES)?, Device::Cuda))
    }

    fn copy_to_host(&mut self, decoder: &mut Decoder, optimizer: &mut AdamW) -> Result<()> {
        let weights = decoder.trainable_mut()?;
        self.optimizer.download(&self.decoder, weights, optimizer)?;
        match self.decoder.divided() {
            true => gather(weights, self.ranks),
            false => Ok(()),
        }
    }

    fn bytes(&self) -> (usize, usize) {
        self.optimizer.gradients.bytes()
    }
}

#[cfg(test)]
mod tests;
