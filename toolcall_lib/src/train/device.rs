//! The engine of a run.

use super::TrainConfig;
use super::engine::{Engine, OnCpu};
use crate::collective::Collective;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Decoder;
use crate::optimizer::AdamW;

impl Device {
    /// The engine of a run, with the weights of `decoder` and the state of `optimizer`; and why it is not a GPU's, where this build
    /// could have used one.
    pub(super) fn engine<'a>(
        self,
        ranks: &'a dyn Collective,
        decoder: &Decoder,
        optimizer: &AdamW,
        config: &'a TrainConfig,
    ) -> Result<(Box<dyn Engine + 'a>, Option<Error>)> {
        match self.try_gpu(|| on_gpu(ranks, decoder, optimizer, config))? {
            Ok(engine) => Ok((engine, None)),
            Err(refusal) => Ok((Box::new(OnCpu::new(ranks, decoder, config)?), refusal)),
        }
    }
}

#[cfg(feature = "cuda")]
fn on_gpu<'a>(
    ranks: &dyn Collective,
    decoder: &Decoder,
    optimizer: &AdamW,
    config: &'a TrainConfig,
) -> Result<Box<dyn Engine + 'a>> {
    if ranks.size() > 1 {
        let problem = format!(
            "a GPU trains alone, and there are {} ranks; set `device` to cpu",
            ranks.size()
        );
        return Err(Error::invalid("device", problem));
    }
    let driver = crate::cuda::first_gpu()?;
    Ok(Box::new(super::gpu::OnGpu::new(
        driver, decoder, optimizer, config,
    )?))
}

#[cfg(not(feature = "cuda"))]
fn on_gpu<'a>(
    _: &dyn Collective,
    _: &Decoder,
    _: &AdamW,
    _: &'a TrainConfig,
) -> Result<Box<dyn Engine + 'a>> {
    Err(crate::device::no_cuda())
}
