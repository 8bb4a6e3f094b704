//! The engines of a run: a GPU's where there is one, else the CPU's.

use super::config::TrainConfig;
use super::engine::{Engine, EngineFactory, OnCpu};
use crate::collective::Collective;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Decoder;
use crate::optimizer::AdamW;

impl EngineFactory for Device {
    fn make<'a>(
        &self,
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

/// Returns the number of ranks that this process runs as threads, one for each GPU: 1 on a CPU, and
/// 1 where other processes take part.
pub(super) fn threads_of_process(ranks: &dyn Collective, config: &TrainConfig) -> Result<usize> {
    if ranks.size() > 1 || config.devices == 1 || config.device == Device::Cpu {
        return Ok(1);
    }
    match (gpus(), config.devices) {
        (Ok(found), 0) => Ok(found.max(1)),
        (Ok(found), wanted) if wanted > found => {
            let problem = format!("found {found} GPUs, expected {wanted}; set 0 to take all GPUs");
            Err(Error::invalid("devices", problem))
        }
        (Ok(_), wanted) => Ok(wanted),
        (Err(_), _) if config.device == Device::Auto => Ok(1), // the report says why it is not a GPU
        (Err(error), _) => Err(error),
    }
}

#[cfg(feature = "cuda")]
fn gpus() -> Result<usize> {
    crate::cuda::gpus().map(|gpus| gpus.len())
}

#[cfg(not(feature = "cuda"))]
fn gpus() -> Result<usize> {
    Err(crate::device::no_cuda())
}

#[cfg(feature = "cuda")]
fn on_gpu<'a>(
    ranks: &'a dyn Collective,
    decoder: &Decoder,
    optimizer: &AdamW,
    config: &'a TrainConfig,
) -> Result<Box<dyn Engine + 'a>> {
    use super::ranks::agree;
    use crate::cuda::{Alone, DeviceRanks, Nccl, gpu_of_rank};
    use std::sync::Arc;

    let timeout = std::time::Duration::from_secs(config.ddp_timeout);
    let driver = agree(ranks, gpu_of_rank(ranks.on_host()))?;
    let devices: Arc<dyn DeviceRanks> = match ranks.size() {
        1 => Arc::new(Alone),
        _ => Arc::new(agree(ranks, Nccl::join(&driver, ranks, timeout))?),
    };
    let engine = super::gpu::OnGpu::new(driver, devices, ranks, decoder, optimizer, config);
    Ok(Box::new(agree(ranks, engine)?))
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
