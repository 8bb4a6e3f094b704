//! The decoder of the Llama family: loss and gradients over a packed tree. `logits` runs it with a
//! KV cache.
//!
//! Loss, gradients and counts are sums over the targets, never means: the caller divides once,
//! after trees, accumulation steps and ranks are added up.

use super::block::{Block, Rows};
use super::gradients::Gradients;
use super::lora::{Adapter, BlockAdapter, PassId};
use super::spans::{BlockShape, BlockSpans};
use super::workspace::{Recompute, Workspace};
use crate::batch::TreeBatch;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::ops::attention::tiles;
use crate::ops::cross_entropy::{LossSum, RowTarget, cross_entropy};
use crate::ops::element::Element;
use crate::ops::embedding::{embedding, embedding_backward};
use crate::ops::matmul::Precision;
use crate::ops::rms_norm::{rms_norm, rms_norm_backward};
use crate::ops::rope::RopeTable;
use crate::weights::{Span, Weights};
use half::bf16;

/// Weights and shape of a decoder.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// The model's shape.
    pub config: ModelConfig,
    /// The weights.
    pub weights: Weights,
    /// The LoRA adapter that acts in addition to the weights, if any.
    pub adapter: Option<Adapter>,
    pub(crate) blocks: Vec<BlockSpans>,
    /// Table of the tokens' embeddings, `[vocabulary, hidden]`.
    pub(crate) embedding: Span,
    /// Weight of the final norm, `[hidden]`.
    pub(crate) norm: Span,
    /// Output projection, `[vocabulary, hidden]`. It is the embedding if the two are tied.
    pub(crate) projection: Span,
    /// Angles of the rotary embedding, by position.
    pub(crate) rope: RopeTable,
}

impl Decoder {
    /// Creates a decoder from a config and weights with the layout of that config.
    ///
    /// # Errors
    /// A tensor that the config needs is missing in the layout of the weights.
    pub fn new(config: ModelConfig, weights: impl Into<Weights>) -> Result<Self> {
        let weights = weights.into();
        let layout = weights.layout();
        let missing = || {
            Error::invalid(
                "weights",
                "their layout differs from the config's; take both from the same model",
            )
        };
        let span = |name: &str| layout.span(name, name).ok_or_else(missing);
        let embedding = "model.embed_tokens.weight";
        let head = if config.tie_word_embeddings {
            embedding
        } else {
            "lm_head.weight"
        };
        let blocks = (0..config.num_hidden_layers).map(|layer| BlockSpans::new(layout, layer));
        Ok(Self {
            blocks: blocks.collect::<Option<_>>().ok_or_else(missing)?,
            embedding: span(embedding)?,
            norm: span("model.norm.weight")?,
            projection: span(head)?,
            rope: RopeTable::new(&config.inverse_frequencies(), config.max_position_embeddings),
            config,
            weights,
            adapter: None,
        })
    }

    /// Returns a block for the rows of a pass. Only the last block is restricted to the wanted
    /// rows: after any other, the next block attends to all of them.
    pub(super) fn block<'a>(
        &'a self,
        layer: usize,
        rows: Rows<'a>,
        pass: Option<PassId>,
        precision: Precision,
    ) -> Block<'a> {
        let adapter = |adapter| BlockAdapter {
            adapter,
            layer,
            pass,
            precision,
        };
        Block {
            shape: BlockShape::new(&self.config),
            weights: &self.weights,
            spans: &self.blocks[layer],
            rope: &self.rope,
            precision,
            adapter: self.adapter.as_ref().map(adapter),
            rows: Rows {
                wanted: rows.wanted.filter(|_| layer + 1 == self.blocks.len()),
                ..rows
            },
        }
    }

    /// Returns the loss and the number of correct first guesses, both summed over the targets of
    /// `batch`.
    ///
    /// # Errors
    /// Token ids outside the vocabulary, no tokens, or a sequence longer than the model allows.
    pub fn loss(&self, batch: &TreeBatch, workspace: &mut Workspace) -> Result<LossSum> {
        self.tree_pass(batch, None, workspace)
    }

    /// Computes [`Decoder::loss`] with dropout, and adds the gradient of the sum (not of a mean) to
    /// `gradients`, which must have the layout of [`Decoder::trainable`]. Buckets are completed
    /// from the last to the first.
    ///
    /// # Errors
    /// See [`Decoder::loss`] and [`Decoder::trainable`]; also gradients of another layout, and a
    /// failed exchange of a bucket.
    pub fn loss_and_gradients(
        &self,
        batch: &TreeBatch,
        gradients: &mut dyn Gradients,
        workspace: &mut Workspace,
    ) -> Result<LossSum> {
        if self.trainable()?.layout != *gradients.layout() {
            let problem = "their layout differs from the trained weights'; make new gradients for this model";
            return Err(Error::invalid("gradients", problem));
        }
        self.tree_pass(batch, Some(gradients), workspace)
    }

    /// Runs forward pass and loss over a packed tree, and the backward pass if there are gradients
    /// to add to.
    fn tree_pass(
        &self,
        batch: &TreeBatch,
        gradients: Option<&mut dyn Gradients>,
        workspace: &mut Workspace,
    ) -> Result<LossSum> {
        check_rows(&self.config, &batch.ids, &batch.positions)?;
        // One task for the whole pass: handing over hundreds of short tasks to the pool takes
        // longer.
        rayon::scope(|_| match workspace.stores_bf16() {
            true => self.tree_pass_of::<bf16>(batch, gradients, workspace),
            false => self.tree_pass_of::<f32>(batch, gradients, workspace),
        })
    }

    /// Runs [`Decoder::tree_pass`] with activations stored as `E`.
    fn tree_pass_of<E: Element>(
        &self,
        batch: &TreeBatch,
        gradients: Option<&mut dyn Gradients>,
        workspace: &mut Workspace,
    ) -> Result<LossSum> {
        let (wanted, targets) = target_rows(batch);
        let rows = Rows {
            positions: &batch.positions,
            tiles: &tiles(&batch.segments),
            wanted: Some(&wanted),
        };
        let Some(gradients) = gradients else {
            self.forward::<E>(&batch.ids, rows, None, workspace);
            return self.head(rows, &targets, workspace, None);
        };
        // Only training drops out, and its pass selects the masks.
        self.forward::<E>(&batch.ids, rows, Some(workspace.pass), workspace);
        let sum = self.head(rows, &targets, workspace, Some(gradients))?;
        self.backward::<E>(&batch.ids, rows, gradients, workspace)?;
        Ok(sum)
    }

    /// Runs the embedding and the blocks. Fills `workspace.residual`, whose last entry has the
    /// wanted rows only, and the activations.
    fn forward<E: Element>(
        &self,
        ids: &[u32],
        rows: Rows<'_>,
        pass: Option<PassId>,
        workspace: &mut Workspace,
    ) {
        let (layers, hidden) = (self.config.num_hidden_layers, self.config.hidden_size);
        let n = ids.len();
        workspace.prepare(layers);
        // 1. Embedding: residual[0] [n, hidden].
        let table = self.weights.matrix(&self.embedding);
        embedding(ids, table, workspace.residual[0].sized(n * hidden));
        // 2. Blocks: each reads residual[layer] and writes residual[layer + 1]. With
        // `Recompute::Block` all share one set of activations.
        for layer in 0..layers {
            let (below, above) = workspace.residual.split_at_mut(layer + 1);
            let x = below[layer].get(n * hidden);
            let slot = if workspace.recompute == Recompute::Block {
                0
            } else {
                layer
            };
            let kept = &mut workspace.blocks[slot];
            let block = self.block(layer, rows, pass, workspace.precision);
            block.forward_to_gate_up::<E>(x, kept, &mut workspace.scratch, None);
            let y = above[0].sized(block.rows.outputs() * hidden);
            block.forward_from_gate_up::<E>(kept, &mut workspace.scratch, y);
        }
    }

    /// Computes the final norm, the output projection and the loss of the rows that have a target:
    /// the `outputs` of the last block. With `gradients`, `workspace.dresidual` then begins with
    /// the gradient of these rows, `[outputs, hidden]`, which the last block spreads.
    fn head(
        &self,
        rows: Rows<'_>,
        targets: &[RowTarget],
        workspace: &mut Workspace,
        mut gradients: Option<&mut dyn Gradients>,
    ) -> Result<LossSum> {
        let (hidden, eps) = (self.config.hidden_size, self.config.rms_norm_eps as f32);
        // 1. Final norm: y [outputs, hidden].
        let len = rows.outputs() * hidden;
        let x = workspace.residual[self.config.num_hidden_layers].get(len);
        let [y, dy] = &mut workspace.target_rows;
        let y = y.sized(len);
        let norm = self.weights.vector(&self.norm);
        rms_norm(x, norm, eps, y);
        let projection = self.weights.matrix(&self.projection);
        // 2. Output projection and cross-entropy in one: the logits never exist as a whole.
        let places = match &mut gradients {
            Some(gradients) => Some((dy.sized(len), self.gradient(&self.projection, &mut **gradients)?)),
            None => None,
        };
        let (logits, precision) = (&mut workspace.logits, workspace.precision);
        let sum = cross_entropy(y, projection, targets, places, logits, precision);
        let Some(gradients) = gradients else {
            return Ok(sum);
        };
        // 3. Gradient through the norm, which is added to zeros: dx [outputs, hidden].
        let dx = &mut workspace.dresidual.sized(rows.len() * hidden)[..len];
        dx.fill(0.0);
        let dnorm = self.gradient(&self.norm, gradients)?;
        rms_norm_backward(x, norm, eps, dy.get(len), dx, dnorm);
        Ok(sum)
    }

    /// Returns the place of a weight's gradient, or `None` if an adapter is trained instead.
    fn gradient<'g>(&self, span: &Span, gradients: &'g mut dyn Gradients) -> Result<Option<&'g mut [f32]>> {
        Ok(match self.adapter {
            None => Some(&mut gradients.bucket(span.bucket)?[span.elements.clone()]),
            Some(_) => None,
        })
    }

    /// Runs the backward pass of the blocks, last to first, and of the embedding. Completes each
    /// bucket when nothing more will be added to it, so that its exchange overlaps with the rest.
    fn backward<E: Element>(
        &self,
        ids: &[u32],
        rows: Rows<'_>,
        gradients: &mut dyn Gradients,
        workspace: &mut Workspace,
    ) -> Result<()> {
        // `head` has added the gradients of the norm and of an untied output projection.
        if self.adapter.is_none() {
            gradients.complete(self.norm.bucket)?;
        }
        let hidden = self.config.hidden_size;
        let n = ids.len();
        let dresidual = workspace.dresidual.sized(n * hidden);
        for layer in (0..self.config.num_hidden_layers).rev() {
            let (pass, precision) = (Some(workspace.pass), workspace.precision);
            let block = self.block(layer, rows, pass, precision);
            let x = workspace.residual[layer].get(n * hidden);
            let scratch = &mut workspace.scratch;
            // activations of the forward pass, kept or computed again
            let kept = match workspace.recompute {
                Recompute::Norms => &workspace.blocks[layer],
                Recompute::Block => {
                    block.forward_to_gate_up::<E>(x, &mut workspace.blocks[0], scratch, None);
                    &workspace.blocks[0]
                }
            };
            // bucket 0 of a whole model is the embedding; an adapter has none
            let bucket = layer + usize::from(self.adapter.is_none());
            block.backward::<E>(x, kept, scratch, dresidual, gradients.bucket(bucket)?);
            gradients.complete(bucket)?;
        }
        // a tied output projection has added to the same bucket, so it is complete only now
        if let Some(dtable) = self.gradient(&self.embedding, gradients)? {
            embedding_backward(ids, dresidual, dtable, hidden);
            gradients.complete(self.embedding.bucket)?;
        }
        Ok(())
    }
}

/// Refuses ids outside the vocabulary, an empty batch and sequences that are too long.
pub(crate) fn check_rows(config: &ModelConfig, ids: &[u32], positions: &[u32]) -> Result<()> {
    let (vocabulary, longest) = (config.vocab_size, config.max_position_embeddings);
    if ids.is_empty() {
        return Err(Error::invalid(
            "tokens",
            "the list is empty; give at least one token",
        ));
    }
    if let Some(id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
        let problem =
            format!("{id} is not in the model's vocabulary of {vocabulary}; use the tokenizer of this model");
        return Err(Error::invalid("token id", problem));
    }
    let length = positions
        .iter()
        .max()
        .map_or(0, |&position| position as usize + 1);
    if length > longest {
        let problem = format!("{length} tokens are too many; the model takes at most {longest}");
        return Err(Error::invalid("max_position_embeddings", problem));
    }
    Ok(())
}

/// Returns the rows that have a target, ascending, and each target with the index of its row among
/// them.
pub(crate) fn target_rows(batch: &TreeBatch) -> (Vec<usize>, Vec<RowTarget>) {
    let mut rows: Vec<usize> = Vec::new();
    let mut targets = Vec::with_capacity(batch.targets.len());
    for target in &batch.targets {
        if rows.last() != Some(&target.row) {
            rows.push(target.row);
        }
        targets.push(RowTarget {
            row: rows.len() - 1,
            id: target.id,
            weight: target.weight,
        });
    }
    (rows, targets)
}
