//! The engine of a run on one GPU.

use super::TrainConfig;
use super::engine::Engine;
use super::rows::mean_loss;
use crate::batch::TreeBatch;
use crate::collective::OneRank;
use crate::cuda::{DeviceDecoder, DeviceOptimizer, Driver, Element};
use crate::error::Result;
use crate::model::Decoder;
use crate::model::lora::Pass;
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
        decoder: &Decoder,
        optimizer: &AdamW,
        config: &'a TrainConfig,
    ) -> Result<Self> {
        let element = if config.bf16 { Element::Bf16 } else { Element::F32 };
        let mut on_device = DeviceDecoder::new(driver, decoder, element)?;
        on_device.recompute = config.recompute;
        Ok(Self {
            config,
            optimizer: DeviceOptimizer::new(&on_device, optimizer)?,
            decoder: on_device,
        })
    }
}

impl Engine for OnGpu<'_> {
    fn add_trees(&mut self, _: &Decoder, trees: &[TreeBatch], step: usize) -> Result<()> {
        let gradients = &self.optimizer.gradients;
        for (tree, batch) in trees.iter().enumerate() {
            let pass = Pass {
                seed: self.config.seed,
                step: step as u32,
                tree: tree as u16,
            };
            self.decoder.add_gradients(batch, gradients, pass)?;
        }
        Ok(())
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

    fn mean_loss(&mut self, _: &Decoder, data: &[Vec<Sequence>]) -> Result<f64> {
        let decoder = &mut self.decoder;
        mean_loss(data, self.config, &OneRank, |trees| {
            trees.iter().try_for_each(|tree| decoder.add_loss(tree))?;
            Ok(decoder.take_total()?[0])
        })
    }

    fn bring_back(&mut self, decoder: &mut Decoder, optimizer: &mut AdamW) -> Result<()> {
        let weights = decoder.trainable_mut()?;
        self.optimizer.download(&self.decoder, weights, optimizer)
    }

    fn bytes(&self) -> (usize, usize) {
        let gradients = self.optimizer.gradients.iter();
        (gradients.map(|bucket| bucket.len() * size_of::<f32>()).sum(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;
    use crate::cuda::emulate::emulated;
    use crate::model::lora::Adapter;
    use crate::model::{LoraConfig, Recompute};
    use crate::train::engine::OnCpu;
    use crate::weights::Parameters;

    fn decoder() -> Decoder {
        let config = ModelConfig {
            model_type: "qwen3".into(),
            vocab_size: 64,
            hidden_size: 32,
            intermediate_size: 48,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            head_dim: 64,
            rms_norm_eps: 1e-6,
            rope_theta: 1e4,
            rope_scaling: None,
            max_position_embeddings: 64,
            tie_word_embeddings: true,
            attention_bias: false,
            qk_norm: true,
        };
        let weights = Parameters::random(&config, 3);
        Decoder::new(config, weights).unwrap()
    }

    /// Norms, losses and weights of a run of three steps are those of the CPU.
    fn check(decoder: &Decoder, config: &TrainConfig) {
        let sequence = |seed: u32| Sequence {
            ids: (0..12).map(|i| (i * 7 + seed * (i / 6)) % 50).collect(),
            trained: (0..12).map(|i| i > 4).collect(),
        };
        let data = [vec![sequence(1), sequence(2)], vec![sequence(3)]];
        let trees = data
            .each_ref()
            .map(|row| TreeBatch::pack(&row.iter().collect::<Vec<_>>()));
        let tokens = trees.iter().map(TreeBatch::trained_tokens).sum();
        let mut models = [decoder.clone(), decoder.clone()];
        let optimizer = AdamW::new(config.adamw(), decoder.trainable().unwrap());
        let mut optimizers = [optimizer.clone(), optimizer];
        let engines: [Box<dyn Engine>; 2] = [
            Box::new(OnCpu::new(&OneRank, &models[0], config).unwrap()),
            Box::new(OnGpu::new(emulated(), &models[1], &optimizers[1], config).unwrap()),
        ];
        let runs = engines.into_iter().zip(models.iter_mut().zip(&mut optimizers));
        let numbers: Vec<Vec<f64>> = runs
            .map(|(mut engine, (decoder, optimizer))| {
                let mut numbers = Vec::new();
                for step in 0..3 {
                    engine.add_trees(decoder, &trees, step).unwrap();
                    engine.step(decoder, optimizer, tokens, 1e-3).unwrap();
                    let (grad_norm, sum) = engine.finish_step().unwrap();
                    numbers.extend([grad_norm, sum.loss]);
                }
                numbers.push(engine.mean_loss(decoder, &data).unwrap());
                engine.bring_back(decoder, optimizer).unwrap();
                numbers.push(optimizer.steps as f64);
                numbers
            })
            .collect();
        let (cpu, gpu) = (&numbers[0], &numbers[1]);
        for (cpu, gpu) in cpu.iter().zip(gpu) {
            assert!((cpu - gpu).abs() < 1e-4 * cpu, "{cpu} {gpu}");
        }
        assert!(
            cpu[6] < cpu[1] / tokens,
            "three steps make the loss smaller: {cpu:?}"
        );
        let [cpu, gpu] = models
            .each_ref()
            .map(|decoder| &decoder.trainable().unwrap().buckets);
        for (cpu, gpu) in cpu.iter().flatten().zip(gpu.iter().flatten()) {
            assert!((cpu - gpu).abs() < 1e-4, "{cpu} {gpu}");
        }
    }

    #[test]
    fn a_run_on_the_device_is_that_of_the_cpu() {
        let config = TrainConfig {
            bf16: false,
            ..TrainConfig::default()
        };
        check(&decoder(), &config);
    }

    #[test]
    fn a_run_of_an_adapter_draws_the_masks_of_the_cpu() {
        let config = TrainConfig {
            bf16: false,
            recompute: Recompute::Block,
            ..TrainConfig::default()
        };
        let lora = LoraConfig {
            lora_dropout: 0.3,
            ..LoraConfig::default()
        };
        let mut decoder = decoder();
        let mut adapter = Adapter::new(lora, decoder.weights.layout(), "base", 3).unwrap();
        let not_zero = |(i, w): (usize, &mut f32)| *w += ((i * 37 % 11) as f32 - 5.0) / 100.0;
        adapter
            .parameters
            .buckets
            .iter_mut()
            .for_each(|bucket| bucket.iter_mut().enumerate().for_each(not_zero));
        decoder.adapter = Some(adapter);
        check(&decoder, &config);
    }
}
