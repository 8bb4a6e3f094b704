//! What computes logits, and what it has computed of sequences.

use crate::device::Device;
use crate::error::Result;
use crate::model::{Decoder, KvSequence, KvStore, Model, Workspace};

/// Replies that are written at once.
pub(crate) const AT_ONCE: usize = 32;
/// The same on a GPU, which a few do not fill.
#[cfg(feature = "cuda")]
const AT_ONCE_ON_GPU: usize = 128;

/// Keys and values of what one model has read and written, and what it runs on.
#[derive(Debug)]
pub(crate) struct Engine {
    /// Which tokens are stored, and where.
    pub store: KvStore,
    /// Sequences that are written at once.
    pub at_once: usize,
    runs_on: RunsOn,
    /// That of the model.
    stamp: u64,
}

#[derive(Debug)]
enum RunsOn {
    /// With the logits of the last pass.
    Cpu(Box<Workspace>, Vec<f32>),
    #[cfg(feature = "cuda")]
    Gpu(Box<crate::cuda::DeviceGenerator>),
}

impl Engine {
    /// Of a model, with keys and values of `bytes` at most.
    ///
    /// # Errors
    /// The GPU was asked for and cannot run the model.
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

    /// On a GPU, with a copy of the model's weights.
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

    /// It is of this model, whose weights have not changed, and may run on this device.
    pub fn serves(&self, model: &Model, device: Device) -> bool {
        let allowed = match self.runs_on {
            RunsOn::Cpu(..) => device != Device::Cuda,
            #[cfg(feature = "cuda")]
            RunsOn::Gpu(_) => device != Device::Cpu,
        };
        allowed && self.stamp == model.decoder.stamp()
    }

    /// [`Decoder::next_logits`].
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
