//! Logits of growing sequences, with their keys and values in a cache on the device.
//!
//! [`KvStore`] on the host maps tokens to cache slots, the same as on the CPU.

#[cfg(test)]
mod tests;

use super::attention::{Tiles, VisibleRanges};
use super::block::{CacheRows, PassRows};
use super::buffer::DeviceBuffer;
use super::decoder::DeviceDecoder;
use super::driver::Driver;
use super::numbers::Numbers;
use super::workspace::Keep;
use crate::error::Result;
use crate::model::{CachePass, Decoder, KvSequence, KvStore, PassPart, check_rows};
use crate::ops::matmul::Precision;
use std::sync::Arc;

/// Fewest rows of a part that runs in tiles of queries. The rows of shorter parts run as single
/// queries, of which more run at once.
const FEW: usize = 16;
/// Fewest slots by which a cache grows.
const PAGE: usize = 256;

/// A decoder that generates.
#[derive(Debug)]
pub(crate) struct DeviceGenerator {
    decoder: DeviceDecoder,
    /// Keys and values of each layer, `[slots, 2 · keys · dim]`, in the type of activations.
    layers: Vec<DeviceBuffer>,
    rows: usize,
}

impl DeviceGenerator {
    /// Copies a decoder's weights to the device. Computes in bf16 if the weights are no more
    /// precise, otherwise in f32, like the CPU.
    ///
    /// # Errors
    /// The same as [`DeviceDecoder::new`].
    pub fn new(driver: Arc<dyn Driver>, decoder: &Decoder) -> Result<Self> {
        let precision = match decoder.weights.is_rounded() {
            true => Precision::Bf16,
            false => Precision::F32,
        };
        Ok(Self {
            decoder: DeviceDecoder::new(driver, decoder, precision)?,
            layers: Vec::new(),
            rows: 0,
        })
    }

    /// Returns an empty store of at most `bytes`. From now on it alone assigns the slots of the
    /// cache.
    pub fn store(&self, bytes: usize) -> KvStore {
        let decoder = &self.decoder;
        KvStore::of_elements(&decoder.config, bytes, decoder.device.element.size())
    }

    /// Returns the logits after the new tokens of each sequence; see [`Decoder::next_logits`].
    ///
    /// # Errors
    /// The same as [`Decoder::next_logits`], and errors of the GPU.
    pub fn next_logits(&mut self, new: &[(&KvSequence, &[u32])], store: &mut KvStore) -> Result<&mut [f32]> {
        // 1. Assign cache slots, and make room for them.
        let pass = store.pass(new);
        check_rows(&self.decoder.config, &pass.ids, &pass.positions)?;
        let rows = pass.keys.iter().max().map_or(0, |last| last + 1);
        self.reserve(rows, store.most_tokens())?;

        // 2. Gather the integers of the pass: long parts in tiles of queries, the rest as single
        //    queries.
        let mut numbers = Numbers::default();
        let [ids, positions] = [&pass.ids, &pass.positions].map(|all| numbers.push(all.iter().copied()));
        let [places, last] =
            [&pass.keys, &pass.last].map(|all| numbers.push(all.iter().map(|&row| row as u32)));
        // the longest parts come first
        let many = pass.parts.partition_point(|part| part.rows.len() >= FEW);
        let tiles = Tiles::of_cache(&mut numbers, &tiled(&pass, &pass.parts[..many]));
        let single = pass.parts[many..].iter();
        let single = single.flat_map(|part| part.rows.clone().map(|row| pass.seen(part, row)));
        let single = VisibleRanges::new(&mut numbers, &single.collect::<Vec<_>>());

        // 3. Copy them to the device and run the pass.
        let room = &mut self.decoder.workspace.numbers;
        let numbers = numbers.upload(&self.decoder.device.driver, room)?;
        let rows = PassRows {
            ids: numbers.slice(ids),
            positions: numbers.slice(positions),
            tiles: tiles.on_device(numbers),
            wanted: numbers.slice(last),
            cache: Some(CacheRows {
                layers: &self.layers,
                places: numbers.slice(places),
                single: single.on_device(numbers),
            }),
        };
        let [_, normed] = self.decoder.forward(rows, Keep::Nothing, None)?;
        self.decoder.logits(normed)
    }

    /// Makes room for `rows` slots. Grows by half, so that a long generation copies little, but not
    /// beyond `most` without need.
    fn reserve(&mut self, rows: usize, most: usize) -> Result<()> {
        if rows <= self.rows {
            return Ok(());
        }
        let device = &self.decoder.device;
        let config = &self.decoder.config;
        let width = 2 * config.num_key_value_heads * config.head_dim;
        let rows = (self.rows + self.rows / 2)
            .min(most)
            .max(rows)
            .next_multiple_of(PAGE);
        for layer in 0..config.num_hidden_layers {
            let grown = DeviceBuffer::zeros(&device.driver, device.element, rows * width)?;
            match self.layers.get_mut(layer) {
                Some(old) => {
                    device.copy_rows(old.all(), grown.all().slice(0..old.len()), width)?;
                    *old = grown;
                }
                None => self.layers.push(grown),
            }
        }
        self.rows = rows;
        Ok(())
    }
}

/// Returns for each part the cache slots that its last row sees, and the number of its rows.
fn tiled(pass: &CachePass, parts: &[PassPart]) -> Vec<(Vec<usize>, usize)> {
    let seen = |part: &PassPart| pass.seen(part, part.rows.end - 1).into_iter().flatten().collect();
    parts.iter().map(|part| (seen(part), part.rows.len())).collect()
}
