//! The engine of a run on one GPU.

use super::TrainConfig;
use super::engine::Engine;
use super::rows::mean_loss;
use crate::batch::TreeBatch;
use crate::collective::OneRank;
use crate::cuda::{DeviceDecoder, DeviceOptimizer, Driver, Element};
use crate::error::Result;
use crate::model::Model;
use crate::ops::cross_entropy::LossSum;
use crate::optimizer::AdamW;
use crate::tokens::Sequence;
use std::sync::Arc;

/// Weights, gradients and the optimizer's state are on the GPU from the first step to [`Engine::bring_back`].
#[derive(Debug)]
pub(super) struct OnGpu<'a> {
    config: &'a TrainConfig,
    decoder: DeviceDecoder,
    optimizer: DeviceOptimizer,
}

impl<'a> OnGpu<'a> {
    pub fn new(
        driver: Arc<dyn Driver>,
        model: &Model,
        optimizer: &AdamW,
        config: &'a TrainConfig,
    ) -> Result<Self> {
        let element = if config.bf16 { Element::Bf16 } else { Element::F32 };
        let decoder = DeviceDecoder::new(driver, &model.decoder, element)?;
        Ok(Self {
            config,
            optimizer: DeviceOptimizer::new(&decoder, optimizer)?,
            decoder,
        })
    }
}

impl Engine for OnGpu<'_> {
    fn add_trees(&mut self, _: &Model, trees: &[TreeBatch], _: usize) -> Result<()> {
        let gradients = &self.optimizer.gradients;
        trees
            .iter()
            .try_for_each(|tree| self.decoder.add_tree(tree, Some(gradients)))
    }

    fn step(&mut self, _: &mut Model, optimizer: &mut AdamW, tokens: f64, learning_rate: f64) -> Result<f64> {
        let most = self.config.max_grad_norm;
        self.optimizer
            .step(&mut self.decoder, optimizer, tokens, most, learning_rate)
    }

    fn take_loss(&mut self) -> Result<LossSum> {
        let [loss, correct] = self.decoder.take_total()?;
        Ok(LossSum { loss, correct })
    }

    fn mean_loss(&mut self, _: &Model, data: &[Vec<Sequence>]) -> Result<f64> {
        let decoder = &mut self.decoder;
        mean_loss(data, self.config, &OneRank, |tree| {
            decoder.add_tree(tree, None)?;
            Ok(decoder.take_total()?[0])
        })
    }

    fn bring_back(&mut self, model: &mut Model, optimizer: &mut AdamW) -> Result<()> {
        let weights = model.decoder.trainable_mut()?;
        self.optimizer.download(&self.decoder, weights, optimizer)
    }

    fn bytes(&self) -> (usize, usize) {
        let gradients = self.optimizer.gradients.iter();
        (gradients.map(|bucket| bucket.len() * size_of::<f32>()).sum(), 0)
    }
}
