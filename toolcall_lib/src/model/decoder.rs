//! The decoder of the Llama family: loss and gradients over a packed tree, and logits with a KV cache.

use super::block::{Block, BlockRanges, BlockShape, Rows};
use super::cache::{KvCache, KvTree, LayerCache};
use super::workspace::{Recompute, Workspace};
use crate::batch::TreeBatch;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::ops::attention::{tiles, tiles_after};
use crate::ops::cross_entropy::{LossSum, RowTarget, cross_entropy};
use crate::ops::embedding::{embedding, embedding_backward};
use crate::ops::matmul::{Output, Precision, linear};
use crate::ops::rms_norm::{rms_norm, rms_norm_backward};
use crate::ops::rope::RopeTable;
use crate::weights::{Parameters, Slot};
use std::ops::Range;

/// Weights and shape of a decoder.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// The shape.
    pub config: ModelConfig,
    /// The weights.
    pub parameters: Parameters,
    blocks: Vec<BlockRanges>,
    /// Bucket and range of the final norm and of the output projection (the embedding where they are tied).
    norm: (usize, Range<usize>),
    projection: (usize, Range<usize>),
    rope: RopeTable,
}

impl Decoder {
    /// A decoder from weights whose layout is that of `config`.
    pub fn new(config: ModelConfig, parameters: Parameters) -> Result<Self> {
        let layout = &parameters.layout;
        let missing = || Error::invalid("weights", "their layout is not that of the config");
        let place = |name: &str| {
            layout
                .slot(name)
                .map(|s: &Slot| (s.bucket, s.range()))
                .ok_or_else(missing)
        };
        let head = if config.tie_word_embeddings {
            "model.embed_tokens.weight"
        } else {
            "lm_head.weight"
        };
        let blocks = (0..config.num_hidden_layers).map(|layer| BlockRanges::new(layout, layer));
        Ok(Self {
            blocks: blocks.collect::<Option<_>>().ok_or_else(missing)?,
            norm: place("model.norm.weight")?,
            projection: place(head)?,
            rope: RopeTable::new(&config.inverse_frequencies(), config.max_position_embeddings),
            config,
            parameters,
        })
    }

    fn block(&self, layer: usize, precision: Precision) -> Block<'_> {
        Block {
            shape: BlockShape::new(&self.config),
            weights: &self.parameters.buckets[layer + 1],
            ranges: &self.blocks[layer],
            rope: &self.rope,
            precision,
        }
    }

    fn weight(&self, (bucket, range): &(usize, Range<usize>)) -> &[f32] {
        &self.parameters.buckets[*bucket][range.clone()]
    }

    /// Loss and number of right first guesses, summed over the targets of `batch`.
    pub fn loss(&self, batch: &TreeBatch, workspace: &mut Workspace) -> Result<LossSum> {
        self.check_tree(batch)?;
        let tiles = tiles(&batch.segments);
        self.forward(
            &batch.ids,
            Rows {
                positions: &batch.positions,
                tiles: &tiles,
            },
            workspace,
        );
        Ok(self.head(batch, workspace, None))
    }

    /// [`Decoder::loss`], and its gradient (of the sum, not of a mean) added to `gradients`.
    pub fn loss_and_gradients(
        &self,
        batch: &TreeBatch,
        gradients: &mut Parameters,
        workspace: &mut Workspace,
    ) -> Result<LossSum> {
        self.check_tree(batch)?;
        let tiles = tiles(&batch.segments);
        let rows = Rows {
            positions: &batch.positions,
            tiles: &tiles,
        };
        self.forward(&batch.ids, rows, workspace);
        let sum = self.head(batch, workspace, Some(gradients));
        self.backward(&batch.ids, rows, gradients, workspace);
        Ok(sum)
    }

    /// Embedding and blocks; fills `workspace.residual` and the activations.
    fn forward(&self, ids: &[u32], rows: Rows<'_>, workspace: &mut Workspace) {
        let (layers, hidden) = (self.config.num_hidden_layers, self.config.hidden_size);
        let n = ids.len();
        workspace.prepare(layers);
        let table = &self.parameters.buckets[0][..];
        embedding(ids, table, workspace.residual[0].sized(n * hidden), hidden);
        for layer in 0..layers {
            let (below, above) = workspace.residual.split_at_mut(layer + 1);
            let x = below[layer].get(n * hidden);
            let slot = if workspace.recompute == Recompute::Block {
                0
            } else {
                layer
            };
            let (kept, block) = (
                &mut workspace.blocks[slot],
                self.block(layer, workspace.precision),
            );
            block.forward(x, rows, kept, &mut workspace.scratch, None);
            block.output(n, kept, &mut workspace.scratch, above[0].sized(n * hidden));
        }
    }

    /// Final norm, output projection and loss of the rows that have a target; with `gradients`, fills `workspace.dresidual`.
    fn head(
        &self,
        batch: &TreeBatch,
        workspace: &mut Workspace,
        gradients: Option<&mut Parameters>,
    ) -> LossSum {
        let (hidden, eps) = (self.config.hidden_size, self.config.rms_norm_eps as f32);
        let n = batch.ids.len();
        let (rows, targets) = target_rows(batch);
        let [x, y, dy, dx] = &mut workspace.target_rows;
        let stream = workspace.residual[self.config.num_hidden_layers].get(n * hidden);
        let x = x.sized(rows.len() * hidden);
        for (x, &row) in x.chunks_exact_mut(hidden).zip(&rows) {
            x.copy_from_slice(&stream[row * hidden..][..hidden]);
        }
        let y = y.sized(rows.len() * hidden);
        rms_norm(x, self.weight(&self.norm), eps, y);
        let projection = self.weight(&self.projection);
        let Some(gradients) = gradients else {
            return cross_entropy(
                y,
                projection,
                hidden,
                &targets,
                None,
                &mut workspace.logits,
                workspace.precision,
            );
        };
        let dy = dy.sized(rows.len() * hidden);
        let dprojection = &mut gradients.buckets[self.projection.0][self.projection.1.clone()];
        let sum = cross_entropy(
            y,
            projection,
            hidden,
            &targets,
            Some((dy, dprojection)),
            &mut workspace.logits,
            workspace.precision,
        );
        let dx = dx.sized(rows.len() * hidden);
        dx.fill(0.0);
        let dnorm = &mut gradients.buckets[self.norm.0][self.norm.1.clone()];
        rms_norm_backward(x, self.weight(&self.norm), eps, dy, dx, dnorm);
        let dresidual = workspace.dresidual.sized(n * hidden);
        dresidual.fill(0.0);
        for (dx, &row) in dx.chunks_exact(hidden).zip(&rows) {
            dresidual[row * hidden..][..hidden].copy_from_slice(dx);
        }
        sum
    }

    fn backward(&self, ids: &[u32], rows: Rows<'_>, gradients: &mut Parameters, workspace: &mut Workspace) {
        let hidden = self.config.hidden_size;
        let n = ids.len();
        let dresidual = workspace.dresidual.sized(n * hidden);
        for layer in (0..self.config.num_hidden_layers).rev() {
            let (block, x) = (
                self.block(layer, workspace.precision),
                workspace.residual[layer].get(n * hidden),
            );
            let scratch = &mut workspace.scratch;
            let kept = match workspace.recompute {
                Recompute::Norms => &workspace.blocks[layer],
                Recompute::Block => {
                    block.forward(x, rows, &mut workspace.blocks[0], scratch, None);
                    &workspace.blocks[0]
                }
            };
            block.backward(
                x,
                rows,
                kept,
                scratch,
                dresidual,
                &mut gradients.buckets[layer + 1],
            );
        }
        embedding_backward(ids, dresidual, &mut gradients.buckets[0], hidden);
    }

    /// Logits after the last of `ids`, which follow the tokens of `cache` and are added to it. Length: the vocabulary.
    pub fn next_logits(
        &self,
        ids: &[u32],
        cache: &mut KvCache,
        workspace: &mut Workspace,
    ) -> Result<Vec<f32>> {
        self.logits_of_sequence(ids, cache, workspace, ids.len().saturating_sub(1))
    }

    /// Logits of every row of a sequence, `[ids, vocabulary]`.
    pub fn logits(&self, ids: &[u32]) -> Result<Vec<f32>> {
        self.logits_of_sequence(ids, &mut KvCache::default(), &mut Workspace::default(), 0)
    }

    fn logits_of_sequence(
        &self,
        ids: &[u32],
        cache: &mut KvCache,
        workspace: &mut Workspace,
        first_wanted: usize,
    ) -> Result<Vec<f32>> {
        let (past, n) = (cache.ids().len(), ids.len());
        self.check(ids, past + n)?;
        cache.extend(ids, self.config.num_hidden_layers);
        let (positions, keys): (Vec<u32>, Vec<usize>) = (past..past + n).map(|p| (p as u32, p)).unzip();
        let rows = Rows {
            positions: &positions,
            tiles: &tiles_after(past, n),
        };
        let wanted: Vec<usize> = (first_wanted..n).collect();
        Ok(self.cached_logits(ids, rows, &keys, &wanted, &mut cache.layers, workspace))
    }

    /// Computes the prompts of `tree` into a `cache` that was made for it. Returns the logits after each, `[prompts, vocabulary]`.
    pub fn prompt_logits(
        &self,
        tree: &TreeBatch,
        cache: &mut KvTree,
        workspace: &mut Workspace,
    ) -> Result<Vec<f32>> {
        self.check_tree(tree)?;
        cache.layers = vec![LayerCache::default(); self.config.num_hidden_layers];
        let rows = Rows {
            positions: &tree.positions,
            tiles: &tiles(&tree.segments),
        };
        let keys: Vec<usize> = (0..tree.ids.len()).collect();
        Ok(self.cached_logits(&tree.ids, rows, &keys, &tree.ends, &mut cache.layers, workspace))
    }

    /// Adds a token to some of the sequences of `cache`. Returns the logits after each, `[ids, vocabulary]`.
    pub fn next_logits_of(
        &self,
        sequences: &[usize],
        ids: &[u32],
        cache: &mut KvTree,
        workspace: &mut Workspace,
    ) -> Result<Vec<f32>> {
        let (positions, keys, tiles) = cache.grow(sequences);
        self.check(ids, positions.iter().max().map_or(0, |&p| p as usize + 1))?;
        let rows = Rows {
            positions: &positions,
            tiles: &tiles,
        };
        let wanted: Vec<usize> = (0..ids.len()).collect();
        Ok(self.cached_logits(ids, rows, &keys, &wanted, &mut cache.layers, workspace))
    }

    /// Logits of the `wanted` rows of a pass whose keys go to the rows `keys` of the cache.
    fn cached_logits(
        &self,
        ids: &[u32],
        rows: Rows<'_>,
        keys: &[usize],
        wanted: &[usize],
        cache: &mut [LayerCache],
        workspace: &mut Workspace,
    ) -> Vec<f32> {
        let hidden = self.config.hidden_size;
        let n = ids.len();
        workspace.recompute = Recompute::Block; // nothing is kept for a backward pass
        workspace.prepare(cache.len());
        let x = workspace.residual[0].sized(n * hidden);
        embedding(ids, &self.parameters.buckets[0], x, hidden);
        for (layer, cache) in cache.iter_mut().enumerate() {
            let (kept, block) = (&mut workspace.blocks[0], self.block(layer, workspace.precision));
            block.forward(x, rows, kept, &mut workspace.scratch, Some((cache, keys)));
            block.output(n, kept, &mut workspace.scratch, x);
        }
        let last: Vec<f32> = wanted
            .iter()
            .flat_map(|row| &x[row * hidden..][..hidden])
            .copied()
            .collect();
        let mut normed = vec![0.0; last.len()];
        rms_norm(
            &last,
            self.weight(&self.norm),
            self.config.rms_norm_eps as f32,
            &mut normed,
        );
        let mut logits = vec![0.0; wanted.len() * self.config.vocab_size];
        linear(
            &normed,
            self.weight(&self.projection),
            &mut logits,
            wanted.len(),
            hidden,
            Output::Set,
            workspace.precision,
        );
        logits
    }

    fn check_tree(&self, tree: &TreeBatch) -> Result<()> {
        let longest = tree.positions.iter().max().map_or(0, |&p| p as usize + 1);
        self.check(&tree.ids, longest)
    }

    /// Refuses ids outside the vocabulary and sequences that are too long.
    fn check(&self, ids: &[u32], positions: usize) -> Result<()> {
        let (vocabulary, longest) = (self.config.vocab_size, self.config.max_position_embeddings);
        if ids.is_empty() {
            return Err(Error::invalid("tokens", "there are none; give at least one"));
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
            let problem =
                format!("{id} is not in the model's vocabulary of {vocabulary}; is this its tokenizer?");
            return Err(Error::invalid("token id", problem));
        }
        if positions > longest {
            let problem = format!("{positions} tokens; the model was made for at most {longest}");
            return Err(Error::invalid("max_position_embeddings", problem));
        }
        Ok(())
    }
}

/// The rows that have a target, and the targets with their index among them.
fn target_rows(batch: &TreeBatch) -> (Vec<usize>, Vec<RowTarget>) {
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
