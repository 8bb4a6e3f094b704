//! The engine that computes the steps of a run: the interface, and the CPU's implementation.
//!
//! A step is three calls: [`Engine::add_trees`] sums gradients, [`Engine::step`] updates the
//! weights, and [`Engine::finish_step`] waits for the result. A GPU returns early from the second,
//! so that the host can prepare the next batch. The GPU's engine is in `gpu`.

use super::config::TrainConfig;
use super::gradients::{OnHost, norm, own};
use super::predict::CACHE_BYTES;
use super::ranks::{gather, tree_numbers};
use super::rows::mean_loss;
use crate::batch::TreeBatch;
use crate::collective::Collective;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::generate::PrefixCache;
use crate::model::lora::PassId;
use crate::model::{Decoder, Model, Workspace};
use crate::ops::cross_entropy::LossSum;
use crate::ops::matmul::Precision;
use crate::optimizer::zero::{GradientSums, Memory};
use crate::optimizer::{AdamW, clip_coefficient};
use crate::tokens::Sequence;

/// Computes the steps of a run. The weights of `decoder` are current only after
/// [`Engine::copy_to_host`].
pub(super) trait Engine {
    /// Adds up the loss of this rank's trees, and the gradients over all ranks. `step`, counted
    /// from 0, chooses the dropout masks.
    fn add_trees(&mut self, decoder: &Decoder, trees: &[TreeBatch], step: usize) -> Result<()>;

    /// Updates the weights with the gradients, which are sums over `trained` tokens. If the
    /// norm of the gradients is not finite, the weights stay as they are. May return before the
    /// update is done.
    fn step(
        &mut self,
        decoder: &mut Decoder,
        optimizer: &mut AdamW,
        trained: f64,
        learning_rate: f64,
    ) -> Result<()>;

    /// Waits for the step. Returns the norm of the mean gradient before clipping, and this rank's
    /// loss.
    fn finish_step(&mut self) -> Result<(f64, LossSum)>;

    /// Returns the mean loss of the trained tokens of `data`, over all ranks, and the share of them
    /// that the model ranks first.
    fn mean_loss(&mut self, decoder: &Decoder, data: &[Vec<Sequence>]) -> Result<[f64; 2]>;

    /// Returns the cache and device that write replies of `model`, whose weights must be current.
    fn generator(&self, model: &Model) -> Result<(PrefixCache, Device)>;

    /// Brings weights and optimizer state to the host, where they can be saved.
    fn copy_to_host(&mut self, decoder: &mut Decoder, optimizer: &mut AdamW) -> Result<()>;

    /// Returns the bytes of the gradient sums, and of the other buffers of the backward pass.
    fn bytes(&self) -> (usize, usize);
}

/// Makes the engines of a run, one for each rank.
pub(super) trait EngineFactory: Sync {
    /// Returns the engine of a rank, with the weights of `decoder` and the state of `optimizer`,
    /// and the reason if it does not use the GPU that this build could use.
    fn make<'a>(
        &self,
        ranks: &'a dyn Collective,
        decoder: &Decoder,
        optimizer: &AdamW,
        config: &'a TrainConfig,
    ) -> Result<(Box<dyn Engine + 'a>, Option<Error>)>;
}

/// The CPU's engine, for one rank or many.
#[derive(Debug)]
pub(super) struct OnCpu<'a> {
    ranks: &'a dyn Collective,
    config: &'a TrainConfig,
    gradients: GradientSums<OnHost<'a>>,
    workspace: Workspace,
    loss: LossSum,
    grad_norm: f64,
}

impl<'a> OnCpu<'a> {
    /// Creates the engine, with gradient sums for the trainable parameters.
    pub fn new(ranks: &'a dyn Collective, decoder: &Decoder, config: &'a TrainConfig) -> Result<Self> {
        let layout = decoder.trainable()?.layout.clone();
        Ok(Self {
            ranks,
            config,
            gradients: GradientSums::new(OnHost(ranks), config.zero_stage, layout)?,
            workspace: Workspace::new(config.recompute, precision(config, decoder)),
            loss: LossSum::default(),
            grad_norm: 0.0,
        })
    }
}

impl Engine for OnCpu<'_> {
    fn add_trees(&mut self, decoder: &Decoder, trees: &[TreeBatch], step: usize) -> Result<()> {
        let (workspace, loss) = (&mut self.workspace, &mut self.loss);
        let pass = |tree: &TreeBatch, gradients: &mut GradientSums<OnHost<'_>>, id| {
            workspace.begin(id);
            *loss += decoder.loss_and_gradients(tree, gradients, workspace)?;
            Ok(())
        };
        let run = (self.config.seed, step);
        add_trees(self.ranks, trees, &mut self.gradients, run, pass)
    }

    fn step(
        &mut self,
        decoder: &mut Decoder,
        optimizer: &mut AdamW,
        tokens: f64,
        learning_rate: f64,
    ) -> Result<()> {
        // 1. The norm of the mean gradient. If it is not finite, the weights stay as they are.
        self.grad_norm = norm(&self.gradients)? / tokens;
        if !self.grad_norm.is_finite() {
            return Ok(());
        }
        // 2. Clip, and update this rank's shard of the weights.
        let scale = clip_coefficient(self.grad_norm, self.config.max_grad_norm) / tokens;
        let trained = decoder.trainable_mut()?;
        optimizer.step(trained, &mut own(&mut self.gradients), scale, learning_rate);
        // 3. Gather the shards of all ranks.
        if self.config.zero_stage > 0 {
            gather(trained, self.ranks)?;
        }
        Ok(())
    }

    fn finish_step(&mut self) -> Result<(f64, LossSum)> {
        Ok((self.grad_norm, std::mem::take(&mut self.loss)))
    }

    fn mean_loss(&mut self, decoder: &Decoder, data: &[Vec<Sequence>]) -> Result<[f64; 2]> {
        let workspace = &mut self.workspace;
        mean_loss(data, self.config, self.ranks, |trees| {
            let mut sum = LossSum::default();
            for tree in trees {
                sum += decoder.loss(tree, workspace)?;
            }
            Ok(sum)
        })
    }

    fn generator(&self, _: &Model) -> Result<(PrefixCache, Device)> {
        Ok((PrefixCache::with_bytes(CACHE_BYTES), Device::Cpu))
    }

    fn copy_to_host(&mut self, _: &mut Decoder, _: &mut AdamW) -> Result<()> {
        Ok(()) // weights and state are on the host already
    }

    fn bytes(&self) -> (usize, usize) {
        self.gradients.bytes()
    }
}

/// Makes a pass for each of this rank's trees, which adds to the gradients. A rank takes part in as
/// many exchanges as the rank with the most trees, because each tree may need all ranks.
pub(super) fn add_trees<M: Memory>(
    ranks: &dyn Collective,
    trees: &[TreeBatch],
    gradients: &mut GradientSums<M>,
    (seed, step): (u64, usize),
    mut pass: impl FnMut(&TreeBatch, &mut GradientSums<M>, PassId) -> Result<()>,
) -> Result<()> {
    // Dropout masks depend on the number of a tree within the step, over all ranks.
    let (first, most) = tree_numbers(ranks, trees.len())?;
    for number in 0..most {
        gradients.begin_tree(number + 1 == most)?;
        let Some(tree) = trees.get(number) else {
            gradients.no_tree()?;
            continue;
        };
        let id = PassId {
            seed,
            step: step as u32,
            tree: (first + number) as u16,
        };
        pass(tree, gradients, id)?;
    }
    gradients.finish()
}

/// Returns the precision of the products with the weights of `decoder`. Only trained weights are
/// rounded stochastically.
pub(super) fn precision(config: &TrainConfig, decoder: &Decoder) -> Precision {
    let weights_are_trained = decoder.adapter.is_none();
    match config.bf16 {
        true if config.bf16_stochastic_round && weights_are_trained => Precision::Bf16Stochastic,
        true => Precision::Bf16,
        false => Precision::F32,
    }
}

/// Refuses a gradient norm that is not finite.
pub(super) fn check_norm(grad_norm: f64, step: usize) -> Result<()> {
    if grad_norm.is_finite() {
        return Ok(());
    }
    let problem = format!(
        "step {}: the gradient is not finite; use a lower learning rate",
        step + 1
    );
    Err(Error::invalid("training", problem))
}
