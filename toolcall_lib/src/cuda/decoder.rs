//! The decoder on the device: loss and gradients over a packed tree.

#[cfg(test)]
mod tests;

use super::block::{Block, Stream};
use super::buffer::{DeviceBuffer, Scratch, View};
use super::driver::{Driver, Element};
use super::gradients::DeviceGradients;
use super::ops::{Device, Places, RowTargets};
use super::weights::DeviceWeights;
use super::workspace::{TreeScratch, Workspace};
use crate::batch::TreeBatch;
use crate::collective::Shard;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::model::{BlockShape, BlockSpans, Decoder, target_rows};
use crate::weights::Span;
use bytemuck::Pod;
use std::sync::Arc;

/// Logits that exist at a time, in elements (256 MiB of f32): enough rows for efficient products.
const LOGITS_AT_A_TIME: usize = 1 << 26;
/// Even with the largest vocabulary, products need so many rows.
const FEWEST_ROWS: usize = 128;

/// A decoder with its weights on the device.
#[derive(Debug)]
pub(crate) struct DeviceDecoder {
    pub device: Device,
    pub config: ModelConfig,
    pub(super) weights: DeviceWeights,
    pub(super) blocks: Vec<BlockSpans>,
    pub(super) embedding: Span,
    pub(super) norm: Span,
    /// The output projection: the embedding where they are tied.
    pub(super) projection: Span,
    pub(super) table: DeviceBuffer,
    pub(super) workspace: Workspace,
    /// Loss and right guesses, two f64.
    total: DeviceBuffer,
}

/// The numbers of a tree on the device.
#[derive(Debug)]
struct DeviceTree {
    ids: View,
    positions: View,
    embedded: Places<View>,
    /// Rows that have a target, and their targets.
    target_rows: View,
    target_places: Places<View>,
    targets: RowTargets,
}

impl DeviceDecoder {
    /// A copy of a decoder's weights. Activations are of type `element`.
    ///
    /// # Errors
    /// The model has an adapter or packed weights, or sizes that no kernel is made for.
    #[cfg(test)]
    pub fn new(driver: Arc<dyn Driver>, decoder: &Decoder, element: Element) -> Result<Self> {
        Self::of_shard(driver, decoder, element, Shard::WHOLE)
    }

    /// [`DeviceDecoder::new`] for weights of which this rank changes its shard.
    pub fn of_shard(
        driver: Arc<dyn Driver>,
        decoder: &Decoder,
        element: Element,
        shard: Shard,
    ) -> Result<Self> {
        let config = decoder.config.clone();
        check(&config)?;
        if decoder.adapter.is_some() {
            let problem = "a LoRA adapter cannot be used on a GPU yet; use the CPU, or merge() it first";
            return Err(Error::invalid("lora", problem));
        }
        let parameters = decoder.trainable()?;
        let shape = BlockShape::new(&config);
        let widest = config
            .hidden_size
            .max(shape.heads.width())
            .max(2 * config.head_dim);
        let device = Device::new(driver.clone(), element, widest)?;
        Ok(Self {
            weights: DeviceWeights::new(&device, parameters, shard)?,
            blocks: decoder.blocks.clone(),
            embedding: decoder.embedding.clone(),
            norm: decoder.norm.clone(),
            projection: decoder.projection.clone(),
            table: DeviceBuffer::from_host(&driver, Element::F32, decoder.rope.cos_sin().as_flattened())?,
            workspace: Workspace::new(config.num_hidden_layers, element),
            total: DeviceBuffer::zeros(&driver, Element::F32, 4)?,
            device,
            config,
        })
    }

    /// Adds the loss of a tree's targets to the total, and its gradient to `gradients`. Returns before the device is done.
    pub fn add_tree(&mut self, batch: &TreeBatch, mut gradients: Option<&mut DeviceGradients>) -> Result<()> {
        let Self {
            device,
            config,
            weights,
            workspace,
            ..
        } = self;
        let tree = DeviceTree::new(device, &mut workspace.tree, batch)?;
        let (hidden, n) = (config.hidden_size, batch.ids.len());
        let x = workspace.residual[0].sized(&device.driver, n * hidden)?;
        device.gather_rows(weights.vector(&self.embedding), tree.ids, x, hidden)?;
        self.forward(&tree)?;
        self.head(&tree, gradients.as_deref_mut())?;
        match gradients {
            Some(gradients) => self.backward(&tree, gradients),
            None => Ok(()),
        }
    }

    /// Whether this rank has only its shard of the f32 weights.
    pub fn divided(&self) -> bool {
        self.weights.divided()
    }

    /// Loss and number of right first guesses since the last call; waits for the device.
    pub fn take_total(&mut self) -> Result<[f64; 2]> {
        let driver = &*self.device.driver;
        let mut total = [0.0f64; 2];
        self.total.all().download(driver, &mut total)?;
        self.total.all().zero(driver)?;
        Ok(total)
    }

    /// The blocks; fills the residual streams and the activations.
    fn forward(&mut self, tree: &DeviceTree) -> Result<()> {
        let Self {
            device,
            config,
            weights,
            workspace,
            ..
        } = self;
        let (shape, n) = (BlockShape::new(config), tree.ids.len);
        let stream = n * shape.hidden;
        let normed = workspace.scratch.normed.sized(&device.driver, stream)?;
        let norm_of = |layer: usize| {
            let spans = self.blocks.get(layer)?;
            Some((weights.vector(&spans.input_norm), shape.eps, normed))
        };
        if let Some((w, eps, y)) = norm_of(0) {
            device.rms_norm(workspace.residual[0].get(stream), w, eps, y)?;
        }
        for (layer, spans) in self.blocks.iter().enumerate() {
            let x = workspace.residual[layer].get(stream);
            let block = Block {
                device,
                shape,
                weights,
                spans,
                positions: tree.positions,
                table: self.table.all(),
                tiles: &workspace.tree.tiles,
            };
            let kept = &mut workspace.blocks[layer];
            block.forward(x, kept, &mut workspace.scratch)?;
            let above = workspace.residual[layer + 1].sized(&device.driver, stream)?;
            let (middle, added) = (kept.middle.get(stream), workspace.scratch.added.get(stream));
            device.add_rms_norm(middle, added, above, norm_of(layer + 1))?;
        }
        Ok(())
    }

    /// Final norm, output projection and loss of the rows that have a target; with `gradients`, the gradient of the last stream.
    fn head(&mut self, tree: &DeviceTree, mut gradients: Option<&mut DeviceGradients>) -> Result<()> {
        let Self {
            device,
            config,
            weights,
            workspace,
            ..
        } = self;
        let (hidden, eps, vocabulary) = (config.hidden_size, config.rms_norm_eps as f32, config.vocab_size);
        let driver = &device.driver;
        let (n, rows) = (tree.ids.len, tree.target_rows.len);
        let head = &mut workspace.head;
        let stream = workspace.residual[config.num_hidden_layers].get(n * hidden);
        let (x, y) = (
            head.x.sized(driver, rows * hidden)?,
            head.y.sized(driver, rows * hidden)?,
        );
        device.gather_rows(stream, tree.target_rows, x, hidden)?;
        let norm = weights.vector(&self.norm);
        device.rms_norm(x, norm, eps, y)?;
        let dy = head.dy.sized(driver, rows * hidden)?;
        let stride = vocabulary.next_multiple_of(8); // so that rows are read and written in wide pieces
        let at_a_time = (LOGITS_AT_A_TIME / stride).max(FEWEST_ROWS).min(rows);
        let projection = weights.matrix(&self.projection);
        for first in (0..rows).step_by(at_a_time.max(1)) {
            let here = at_a_time.min(rows - first);
            let part = |x: View| x.slice(first * hidden..(first + here) * hidden);
            let logits = head.logits.sized(driver, here * stride)?;
            let y = part(y).matrix(hidden);
            device.gemm(
                y,
                projection.t(),
                logits.matrix(stride),
                [here, vocabulary, hidden],
                false,
            )?;
            let dlogits = match gradients {
                Some(_) => head.dlogits.sized(driver, here * stride)?,
                None => View::EMPTY,
            };
            let sums = head.sums.sized(driver, 2 * here)?;
            let targets = tree.targets.from(first, here);
            device.cross_entropy(
                logits,
                dlogits,
                [stride, vocabulary],
                targets,
                sums,
                self.total.all(),
            )?;
            let Some(gradients) = gradients.as_deref_mut() else {
                continue;
            };
            let dprojection = gradients
                .bucket(device, self.projection.bucket)?
                .slice(self.projection.elements.clone());
            let dlogits = dlogits.matrix(stride);
            device.gemm(
                dlogits,
                projection,
                part(dy).matrix(hidden),
                [here, hidden, vocabulary],
                false,
            )?;
            device.gemm(
                dlogits.t(),
                y,
                dprojection.matrix(hidden),
                [vocabulary, hidden, here],
                true,
            )?;
        }
        let Some(gradients) = gradients else { return Ok(()) };
        let dx = head.dx.sized(driver, rows * hidden)?;
        dx.zero(&**driver)?;
        let dnorm = gradients
            .bucket(device, self.norm.bucket)?
            .slice(self.norm.elements.clone());
        device.rms_norm_backward(x, norm, eps, dy, dx, View::EMPTY, dnorm)?;
        gradients.complete(device, self.norm.bucket)?;
        let dstream = workspace.dresidual.sized(driver, n * hidden)?;
        dstream.zero(&**driver)?;
        device.add_rows(dx, &tree.target_places, dstream, hidden)
    }

    fn backward(&mut self, tree: &DeviceTree, gradients: &mut DeviceGradients) -> Result<()> {
        let Self {
            device,
            config,
            weights,
            workspace,
            ..
        } = self;
        let shape = BlockShape::new(config);
        let stream = tree.ids.len * shape.hidden;
        let exact = workspace.dresidual.get(stream);
        let rounded = match device.element {
            Element::Bf16 => {
                let rounded = workspace.rounded.sized(&device.driver, stream)?;
                device.round(exact, rounded)?;
                rounded
            }
            _ => exact,
        };
        for (layer, spans) in self.blocks.iter().enumerate().rev() {
            let x = workspace.residual[layer].get(stream);
            let block = Block {
                device,
                shape,
                weights,
                spans,
                positions: tree.positions,
                table: self.table.all(),
                tiles: &workspace.tree.tiles,
            };
            let bucket = spans.input_norm.bucket;
            let sums = gradients.bucket(device, bucket)?;
            let kept = &workspace.blocks[layer];
            block.backward(x, kept, &mut workspace.scratch, Stream { exact, rounded }, sums)?;
            gradients.complete(device, bucket)?;
        }
        let dtable = gradients
            .bucket(device, self.embedding.bucket)?
            .slice(self.embedding.elements.clone());
        device.add_rows(exact, &tree.embedded, dtable, shape.hidden)?;
        gradients.complete(device, self.embedding.bucket)
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

/// `data` on the device.
fn upload<T: Pod>(device: &Device, room: &mut Scratch, data: &[T]) -> Result<View> {
    let view = room.sized(&device.driver, data.len())?;
    view.upload(&*device.driver, data)?;
    Ok(view)
}

impl DeviceTree {
    fn new(device: &Device, room: &mut TreeScratch, batch: &TreeBatch) -> Result<Self> {
        room.tiles.set_tree(&device.driver, &batch.segments)?;
        let (rows, targets) = target_rows(batch);
        let begin = |row: usize| targets.partition_point(|target| target.row < row) as u32;
        let begins: Vec<u32> = (0..=rows.len()).map(begin).collect();
        let rows: Vec<u32> = rows.into_iter().map(|row| row as u32).collect();
        let ids: Vec<u32> = targets.iter().map(|target| target.id).collect();
        let weights: Vec<f32> = targets.iter().map(|target| target.weight).collect();
        let places = [Places::new(&batch.ids), Places::new(&rows)];
        let mut place = |i: usize| -> Result<Places<View>> {
            Ok(Places {
                order: upload(device, &mut room.orders[i], &places[i].order)?,
                begins: upload(device, &mut room.begins[i], &places[i].begins)?,
                ids: upload(device, &mut room.places[i], &places[i].ids)?,
            })
        };
        Ok(Self {
            embedded: place(0)?,
            target_places: place(1)?,
            ids: upload(device, &mut room.ids, &batch.ids)?,
            positions: upload(device, &mut room.positions, &batch.positions)?,
            target_rows: upload(device, &mut room.target_rows, &rows)?,
            targets: RowTargets {
                begins: upload(device, &mut room.target_begins, &begins)?,
                ids: upload(device, &mut room.target_ids, &ids)?,
                weights: upload(device, &mut room.target_weights, &weights)?,
            },
        })
    }
}
