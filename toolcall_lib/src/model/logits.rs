//! Logits of the next tokens, with a KV cache: inference.
//!
//! [`Decoder::logits`] takes one sequence and returns the logits of every token;
//! [`Decoder::next_logits`] continues sequences of a [`KvStore`].

use super::block::Rows;
use super::cache::{KvSequence, KvStore, LayerCache};
use super::decoder::{Decoder, check_rows};
use super::workspace::{Recompute, Workspace};
use crate::batch::Segment;
use crate::error::Result;
use crate::ops::attention::tiles;
use crate::ops::embedding::embedding;
use crate::ops::linear::linear_tiles;
use crate::ops::matmul::Precision;
use crate::ops::rms_norm::rms_norm;

impl Decoder {
    /// Returns the logits of every token of one sequence, `[ids, vocabulary]`.
    ///
    /// # Errors
    /// See [`Decoder::loss`].
    pub fn logits(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let (positions, keys): (Vec<u32>, Vec<usize>) = (0..ids.len()).map(|p| (p as u32, p)).unzip();
        check_rows(&self.config, ids, &positions)?;
        let mut cache = vec![LayerCache::default(); self.config.num_hidden_layers];
        let sequence = Segment {
            start: 0,
            len: ids.len(),
            parent: None,
            position: 0,
        };
        let rows = Rows {
            positions: &positions,
            tiles: &tiles(&[sequence]),
            wanted: None,
        };
        Ok(self.logits_of_rows(ids, rows, &keys, &mut cache, &mut Workspace::default()))
    }

    /// Appends tokens to sequences of `cache` and returns the logits after the last token of each,
    /// `[sequences, vocabulary]`.
    ///
    /// Pass no tokens for a sequence that [`KvStore::begin`] has just made: its prompt is pending.
    /// Prefixes that sequences share are computed once, and all tokens go through the model in one
    /// pass.
    ///
    /// # Errors
    /// See [`Decoder::loss`].
    pub fn next_logits(
        &self,
        new: &[(&KvSequence, &[u32])],
        cache: &mut KvStore,
        workspace: &mut Workspace,
    ) -> Result<Vec<f32>> {
        let pass = cache.pass(new);
        check_rows(&self.config, &pass.ids, &pass.positions)?;
        let rows = Rows {
            positions: &pass.positions,
            tiles: &pass.tiles(),
            wanted: Some(&pass.last),
        };
        Ok(self.logits_of_rows(&pass.ids, rows, &pass.keys, &mut cache.layers, workspace))
    }

    /// Runs embedding, blocks, final norm and output projection over new tokens and returns the
    /// logits of the wanted rows, `[outputs, vocabulary]`. Row `i` stores its key and value in the
    /// cache slot `keys[i]`.
    fn logits_of_rows(
        &self,
        ids: &[u32],
        rows: Rows<'_>,
        keys: &[usize],
        cache: &mut [LayerCache],
        workspace: &mut Workspace,
    ) -> Vec<f32> {
        // One task for the whole pass: handing over hundreds of short tasks to the pool takes
        // longer.
        rayon::scope(|_| {
            let hidden = self.config.hidden_size;
            let n = ids.len();
            let precision = match self.weights.is_rounded() {
                true => Precision::Bf16, // packed weights are bf16 or less
                false => workspace.precision,
            };
            workspace.recompute = Recompute::Block; // nothing is kept for a backward pass
            workspace.prepare(cache.len());
            let mut x = workspace.residual[0].sized(n * hidden);
            // 1. Embedding: x [n, hidden].
            embedding(ids, self.weights.matrix(&self.embedding), x);
            // 2. Blocks. The last one leaves the wanted rows only: x [outputs, hidden].
            for (layer, cache) in cache.iter_mut().enumerate() {
                let kept = &mut workspace.blocks[0];
                let block = self.block(layer, rows, None, precision);
                block.forward_to_gate_up(x, kept, &mut workspace.scratch, Some((cache, keys)));
                x = &mut x[..block.rows.outputs() * hidden];
                block.forward_from_gate_up::<f32>(kept, &mut workspace.scratch, x);
            }
            // 3. Final norm and output projection: logits [outputs, vocabulary].
            let mut normed = vec![0.0; x.len()];
            rms_norm(
                x,
                self.weights.vector(&self.norm),
                self.config.rms_norm_eps as f32,
                &mut normed,
            );
            let mut logits = vec![0.0; rows.outputs() * self.config.vocab_size];
            let projection = self.weights.matrix(&self.projection);
            linear_tiles(&normed, projection, &mut logits, precision);
            logits
        })
    }
}
