//! The engine computes logits on the CPU or a GPU and owns the KV cache of one model.
//!
//! [`PrefixCache`](super::PrefixCache) keeps an engine from call to call. An engine remembers the
//! stamp of the weights that it has read. A model whose weights have changed gets a new engine.

use crate::device::Device;
use crate::error::Result;
use crate::model::{Decoder, KvSequence, KvStore, Model, Workspace};

/// Most replies that one batch writes at a time on the CPU.
pub(super) const AT_ONCE: usize = 32;
/// Most replies that one batch writes at a time on a GPU, which a few replies do not fill.
#[cfg(feature = "cuda")]
const AT_ONCE_ON_GPU: usize = 128;

/// The KV cache of one model and the device that computes it.
#[derive(Debug)]
pub(crate) struct Engine {
    /// Maps token sequences to the slots of the KV cache that hold their keys and values.
    pub store: KvStore,
    /// Most replies that one batch writes at a time.
    pub at_once: usize,
    runs_on: RunsOn,
    /// Stamp of the decoder's weights; it changes when they change.
    stamp: u64,
}

#[derive(Debug)]
enum RunsOn {
    /// The workspace, and the logits of the last pass: `[sequences, vocabulary]`.
    Cpu(Box<Workspace>, Vec<f32>),
    #[cfg(feature = "cuda")]
    Gpu(Box<crate::cuda::DeviceGenerator>),
}

impl Engine {
    /// Makes an engine for `model` whose keys and values take at most `bytes`.
    ///
    /// # Errors
    /// The config asks for the GPU, and the GPU cannot run the model.
    pub fn new(model: &Model, bytes: usize, device: Device) -> Result<Self> {
        match device.try_gpu(|| Self::on_gpu(model, bytes))? {
            Ok(engine) => Ok(engine),
            Err(_) => Ok(Self {
                store: KvStore::new(&model.decoder.config, bytes),
                at_once: AT_ONCE,
                runs_on: RunsOn::Cpu(Box::default(), Vec::new()),
                stamp: model.decoder.stamp(),
            }),
        }
    }

    #[cfg(feature = "cuda")]
    fn on_gpu(model: &Model, bytes: usize) -> Result<Self> {
        Self::on_driver(crate::cuda::first_gpu()?, model, bytes)
    }

    #[cfg(not(feature = "cuda"))]
    fn on_gpu(_: &Model, _: usize) -> Result<Self> {
        Err(crate::device::no_cuda())
    }

    /// Makes an engine on the GPU of `driver`, with its own copy of the model's weights.
    #[cfg(feature = "cuda")]
    pub fn on_driver(
        driver: std::sync::Arc<dyn crate::cuda::Driver>,
        model: &Model,
        bytes: usize,
    ) -> Result<Self> {
        let generator = crate::cuda::DeviceGenerator::new(driver, &model.decoder)?;
        Ok(Self {
            store: generator.store(bytes),
            at_once: AT_ONCE_ON_GPU,
            runs_on: RunsOn::Gpu(Box::new(generator)),
            stamp: model.decoder.stamp(),
        })
    }

    /// Returns true if this engine has the current weights of `model` and runs on a device that
    /// `device` allows.
    pub fn is_valid_for(&self, model: &Model, device: Device) -> bool {
        let allowed = match self.runs_on {
            RunsOn::Cpu(..) => device != Device::Cuda,
            #[cfg(feature = "cuda")]
            RunsOn::Gpu(_) => device != Device::Cpu,
        };
        allowed && self.stamp == model.decoder.stamp()
    }

    /// Returns the logits after each sequence, `[sequences, vocabulary]`, once the rest of its
    /// prompt and the given tokens are computed; see [`Decoder::next_logits`].
    pub fn next_logits(&mut self, decoder: &Decoder, new: &[(&KvSequence, &[u32])]) -> Result<&mut [f32]> {
        match &mut self.runs_on {
            RunsOn::Cpu(workspace, logits) => {
                *logits = decoder.next_logits(new, &mut self.store, workspace)?;
                Ok(logits)
            }
            #[cfg(feature = "cuda")]
            RunsOn::Gpu(generator) => generator.next_logits(new, &mut self.store),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "cuda")]
mod tests;
