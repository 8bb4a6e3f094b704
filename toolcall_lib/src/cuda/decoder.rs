//! The decoder on the device: loss and gradients over a packed tree.

mod head;
#[cfg(test)]
pub(super) mod tests;
mod tree;

use super::block::{Block, PassRows, Stream};
use super::buffer::{DeviceBuffer, HostBuffer, View};
use super::driver::{Driver, Element, Rounding};
use super::gradients::DeviceGradients;
use super::lora::DeviceAdapter;
use super::ops::Device;
use super::weights::DeviceWeights;
use super::workspace::{Keep, Workspace};
use crate::batch::TreeBatch;
use crate::collective::Shard;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::model::lora::PassId;
use crate::model::{BlockShape, BlockSpans, Decoder, Recompute};
use crate::ops::matmul::Precision;
use crate::weights::{Span, Weights};
use std::sync::Arc;
use tree::DeviceTree;

/// A decoder with its weights on the device.
#[derive(Debug)]
pub(crate) struct DeviceDecoder {
    pub device: Device,
    pub config: ModelConfig,
    pub(super) weights: DeviceWeights,
    /// Adapter of the decoder. If there is one, it is trained and the weights are frozen.
    adapter: Option<DeviceAdapter>,
    /// Activations that a training pass computes again instead of keeping them.
    pub recompute: Recompute,
    pub(super) blocks: Vec<BlockSpans>,
    pub(super) embedding: Span,
    pub(super) norm: Span,
    /// The output projection; the embedding if they are tied.
    pub(super) projection: Span,
    pub(super) table: DeviceBuffer,
    pub(super) workspace: Workspace,
    /// Sums of loss and correct first guesses since the last [`DeviceDecoder::take_total`], two
    /// f64.
    total: DeviceBuffer,
    /// Pinned memory for the logits that the host reads.
    host_logits: Option<HostBuffer>,
}

impl DeviceDecoder {
    /// Copies a decoder's weights to the device; packed ones are unpacked. Weights and activations
    /// have the type that `precision` multiplies.
    ///
    /// # Errors
    /// Sizes that no kernel is made for.
    pub fn new(driver: Arc<dyn Driver>, decoder: &Decoder, precision: Precision) -> Result<Self> {
        Self::of_shard(driver, decoder, precision, Shard::WHOLE)
    }

    /// Copies a decoder whose weights this rank updates only in its shard; see
    /// [`DeviceDecoder::new`].
    pub fn of_shard(
        driver: Arc<dyn Driver>,
        decoder: &Decoder,
        precision: Precision,
        shard: Shard,
    ) -> Result<Self> {
        let element = match precision {
            Precision::F32 => Element::F32,
            Precision::Bf16 | Precision::Bf16Stochastic => Element::Bf16,
        };
        let rounding = Rounding::of(precision);
        let config = decoder.config.clone();
        check(&config)?;
        let shape = BlockShape::new(&config);
        let widest = config
            .hidden_size
            .max(shape.heads.width())
            .max(2 * config.head_dim);
        let device = Device::new(driver.clone(), element, widest)?;
        Ok(Self {
            weights: match (&decoder.weights, &decoder.adapter) {
                (Weights::Full(parameters), None) => {
                    DeviceWeights::trained(&device, parameters, rounding, shard)?
                }
                (weights, _) => DeviceWeights::frozen(&device, weights)?,
            },
            adapter: decoder
                .adapter
                .as_ref()
                .map(|adapter| DeviceAdapter::new(&device, adapter, shard))
                .transpose()?,
            blocks: decoder.blocks.clone(),
            embedding: decoder.embedding.clone(),
            norm: decoder.norm.clone(),
            projection: decoder.projection.clone(),
            table: DeviceBuffer::from_host(&driver, Element::F32, decoder.rope.cos_sin().as_flattened())?,
            recompute: Recompute::default(),
            workspace: Workspace::new(config.num_hidden_layers, element),
            total: DeviceBuffer::zeros(&driver, Element::F32, 4)?,
            host_logits: None,
            device,
            config,
        })
    }

    /// Returns the weights that are trained: the adapter's, or all.
    pub(super) fn trained(&self) -> &DeviceWeights {
        self.adapter
            .as_ref()
            .map_or(&self.weights, |adapter| &adapter.weights)
    }

    /// Adds the loss of a tree's targets to the total. Returns before the device is done.
    pub fn add_loss(&mut self, batch: &TreeBatch) -> Result<()> {
        let tree = DeviceTree::new(&self.device, &mut self.workspace.numbers, batch)?;
        let stream = self.forward(tree.rows, Keep::Nothing, None)?;
        self.head(&tree, stream, None)?;
        Ok(())
    }

    /// Adds the loss of a tree, with dropout, to the total, and its gradient to `gradients`, which
    /// cover the trained weights. Returns before the device is done.
    pub fn add_gradients(
        &mut self,
        batch: &TreeBatch,
        gradients: &mut DeviceGradients,
        pass: PassId,
    ) -> Result<()> {
        let tree = DeviceTree::new(&self.device, &mut self.workspace.numbers, batch)?;
        let keep = match self.recompute {
            Recompute::Norms => Keep::Everything,
            Recompute::Block => Keep::Streams,
        };
        let stream = self.forward(tree.rows, keep, Some(pass))?;
        let dstream = self.head(&tree, stream, Some(&mut *gradients))?;
        self.backward(&tree, dstream, gradients, keep, pass)
    }

    /// Returns true if this rank holds only its shard of the trained f32 weights.
    pub fn divided(&self) -> bool {
        self.trained().divided()
    }

    /// Returns the sums of loss and correct first guesses since the last call; waits for the
    /// device.
    pub fn take_total(&mut self) -> Result<[f64; 2]> {
        let driver = &*self.device.driver;
        let mut total = [0.0f64; 2];
        self.total.all().download(driver, &mut total)?;
        self.total.all().zero(driver)?;
        Ok(total)
    }

    /// Runs embedding, blocks and final norm. Returns the residual stream after the last block and
    /// its norm, `[wanted rows, hidden]` each.
    pub(super) fn forward(
        &mut self,
        rows: PassRows<'_>,
        keep: Keep,
        pass: Option<PassId>,
    ) -> Result<[View; 2]> {
        let Self {
            device,
            config,
            weights,
            workspace,
            ..
        } = self;
        let (shape, driver) = (BlockShape::new(config), &device.driver);
        let len = rows.ids.len * shape.hidden;
        let normed = workspace.scratch.normed.sized(driver, len)?;
        let norm_of = |layer: usize| {
            let spans = self.blocks.get(layer);
            let norm = spans.map_or(&self.norm, |spans| &spans.input_norm);
            (weights.vector(norm), shape.eps, normed)
        };
        // 1. Embedding and its first norm: [rows, hidden].
        let mut x = workspace.residual[0].sized(driver, len)?;
        device.gather_rows(weights.table(&self.embedding), rows.ids, x, shape.hidden)?;
        device.add_rms_norm(x, View::EMPTY, View::EMPTY, norm_of(0))?;
        let adapter = self.adapter.as_ref();
        // 2. Blocks. The norm of the next block is fused with the sum of the residual stream.
        for (layer, spans) in self.blocks.iter().enumerate() {
            let block = Block {
                device,
                shape,
                weights,
                spans,
                adapter: adapter.map(|adapter| adapter.of_block(device, layer, pass)),
                table: self.table.all(),
                layer,
                rows,
                wanted: (layer + 1 == self.blocks.len()).then_some(rows.wanted),
            };
            let kept = &mut workspace.blocks[keep.activations(layer)];
            block.forward_to_gate_up(x, kept, &mut workspace.scratch)?;
            let (middle, added) = block.forward_from_gate_up(kept, &mut workspace.scratch)?;
            x = workspace.residual[keep.stream(layer + 1)].sized(driver, middle.len)?;
            device.add_rms_norm(middle, added, x, norm_of(layer + 1))?;
        }
        Ok([x, normed.slice(0..x.len)])
    }

    /// Runs the backward pass from `dstream`, the gradient of the residual stream that
    /// [`DeviceDecoder::forward`] returned, `[wanted rows, hidden]`.
    fn backward(
        &mut self,
        tree: &DeviceTree,
        dstream: View,
        gradients: &mut DeviceGradients,
        keep: Keep,
        pass: PassId,
    ) -> Result<()> {
        let Self {
            device,
            config,
            weights,
            workspace,
            ..
        } = self;
        let shape = BlockShape::new(config);
        let len = tree.rows.ids.len * shape.hidden;
        let mut stream = Stream::new(device, dstream, &mut workspace.rounded)?;
        let adapter = self.adapter.as_ref();
        for (layer, spans) in self.blocks.iter().enumerate().rev() {
            let x = workspace.residual[layer].get(len);
            let wanted = (layer + 1 == self.blocks.len()).then_some(tree.rows.wanted);
            let block = Block {
                device,
                shape,
                weights,
                spans,
                adapter: adapter.map(|adapter| adapter.of_block(device, layer, Some(pass))),
                table: self.table.all(),
                layer,
                rows: tree.rows,
                wanted,
            };
            // The first bucket of a whole model is the embedding.
            let bucket = layer + usize::from(self.adapter.is_none());
            let sums = gradients.bucket(bucket)?;
            let kept = &mut workspace.blocks[keep.activations(layer)];
            // 1. Run the block forward again if only its input was kept.
            if keep == Keep::Streams {
                block.norm_input(x, &mut workspace.scratch)?;
                block.forward_to_gate_up(x, kept, &mut workspace.scratch)?;
            }
            // 2. MLP. In the last block, only the wanted rows went through it: scatter their
            //    gradient.
            block.backward_mlp(kept, &mut workspace.scratch, stream, sums)?;
            if wanted.is_some() {
                let exact = workspace.dresidual.sized(&device.driver, len)?;
                exact.zero(&*device.driver)?;
                device.add_rows(stream.exact, &tree.target_places, exact, shape.hidden)?;
                stream = Stream::new(device, exact, &mut workspace.rounded)?;
            }
            // 3. Attention; then the bucket is complete and may travel to the other ranks.
            block.backward_attention(x, kept, &mut workspace.scratch, stream, sums)?;
            gradients.complete(bucket)?;
        }
        // 4. Embedding: each token adds its gradient to its row of the table.
        if self.adapter.is_some() {
            return Ok(());
        }
        let dtable = gradients
            .bucket(self.embedding.bucket)?
            .slice(self.embedding.elements.clone());
        device.add_rows(stream.exact, &tree.embedded, dtable, shape.hidden)?;
        gradients.complete(self.embedding.bucket)
    }
}

/// Refuses sizes that no kernel is made for.
fn check(config: &ModelConfig) -> Result<()> {
    if ![64, 128].contains(&config.head_dim) {
        let problem = format!(
            "{} is not supported on a GPU; expected 64 or 128",
            config.head_dim
        );
        return Err(Error::invalid("head_dim", problem));
    }
    let sizes = [
        ("hidden_size", config.hidden_size),
        ("intermediate_size", config.intermediate_size),
    ];
    match sizes.iter().find(|(_, size)| !size.is_multiple_of(8)) {
        Some((field, size)) => {
            let problem = format!("{size} is not supported on a GPU; expected a multiple of 8");
            Err(Error::invalid(field, problem))
        }
        None => Ok(()),
    }
}
