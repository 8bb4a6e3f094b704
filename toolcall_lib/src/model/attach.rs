//! A decoder with and without an adapter: the trainable parameters, and merging.

use super::lora::{Adapter, LoraConfig};
use super::{Decoder, Model};
use crate::error::{Error, Result};
use crate::weights::{Parameters, Weights};
use std::collections::HashMap;

impl Decoder {
    /// Returns the parameters that training changes: the adapter if there is one, else all weights.
    ///
    /// # Errors
    /// The weights are packed and there is no adapter.
    pub fn trainable(&self) -> Result<&Parameters> {
        match (&self.adapter, &self.weights) {
            (Some(adapter), _) => Ok(&adapter.parameters),
            (None, Weights::Full(parameters)) => Ok(parameters),
            (None, Weights::Frozen(_)) => Err(frozen()),
        }
    }

    /// Returns the parameters that training changes, to write.
    ///
    /// # Errors
    /// See [`Decoder::trainable`].
    pub fn trainable_mut(&mut self) -> Result<&mut Parameters> {
        match (&mut self.adapter, &mut self.weights) {
            (Some(adapter), _) => Ok(&mut adapter.parameters),
            (None, Weights::Full(parameters)) => Ok(parameters),
            (None, Weights::Frozen(_)) => Err(frozen()),
        }
    }

    /// Adds the adapter to the weights and drops it. Packed weights become f32. Does nothing
    /// without an adapter.
    pub fn merge(&mut self) {
        let Some(adapter) = self.adapter.take() else {
            return;
        };
        let mut weights = std::mem::take(&mut self.weights).into_f32();
        adapter.merge_into(&mut weights);
        self.weights = Weights::Full(weights);
    }

    /// Returns the weights as tensors of candle 0.11 by the names of the Hugging Face checkpoint,
    /// for `candle_nn::VarBuilder::from_tensors`: f32 on the CPU, a matrix is `[out, in]`. A head
    /// that is tied to the embedding has no separate tensor.
    ///
    /// f32 weights are not copied: the tensors of a block are views of the memory that the decoder
    /// had. candle cannot borrow, so the decoder is gone; clone it before, which copies once, to
    /// keep it. Packed weights are unpacked into new memory, because candle's quantized models read
    /// only GGUF files ([`save_as`](crate::save_as) writes them). An adapter is merged.
    ///
    /// # Errors
    /// candle refuses a tensor, which does not happen with a layout of [`Layout::new`].
    ///
    /// [`Layout::new`]: crate::weights::Layout::new
    pub fn into_candle(mut self) -> Result<HashMap<String, candle_core::Tensor>> {
        self.merge();
        let tensors = self.weights.into_f32().into_candle();
        tensors.map_err(Error::library("making tensors of candle"))
    }
}

impl Model {
    /// Adds a new adapter to the weights, which training leaves alone from then on. It changes
    /// nothing until it is trained; `seed` draws its matrices `A`. Replaces an existing adapter.
    ///
    /// # Errors
    /// See [`LoraConfig::check`] and [`Adapter::layout`].
    pub fn add_adapter(&mut self, config: LoraConfig, seed: u64) -> Result<()> {
        let adapter = Adapter::new(config, self.decoder.weights.layout(), &self.origin, seed)?;
        self.decoder.adapter = Some(adapter);
        Ok(())
    }

    /// Makes the adapter part of the weights, as PEFT's `merge_and_unload` does. The model then
    /// computes the same (up to rounding), faster, and is saved as a whole model. Packed weights
    /// become f32. Does nothing without an adapter.
    pub fn merge(&mut self) {
        self.decoder.merge();
    }
}

/// Returns the error for packed weights without an adapter.
fn frozen() -> Error {
    let problem =
        "are packed and cannot be trained; set `lora` to train an adapter, or load the model as f32";
    Error::invalid("weights", problem)
}
