//! On what a run computes.

use super::TrainConfig;
use super::engine::{Engine, OnCpu};
use crate::collective::Collective;
use crate::error::{Error, Result};
use crate::model::Decoder;
use crate::optimizer::AdamW;
use serde::{Deserialize, Serialize};

/// On what a run computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// A GPU if this build can use one, there is one, and it can train this; else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first GPU that CUDA shows; it is an error if it cannot be used.
    Cuda,
}

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
        let mut refusal = None;
        if self != Self::Cpu {
            match on_gpu(ranks, decoder, optimizer, config) {
                Ok(engine) => return Ok((engine, None)),
                Err(error) if self == Self::Cuda => return Err(error),
                Err(error) => refusal = cfg!(feature = "cuda").then_some(error),
            }
        }
        Ok((Box::new(OnCpu::new(ranks, decoder, config)?), refusal))
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
    let driver = std::sync::Arc::new(crate::cuda::Nvidia::open(0)?);
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
    let problem = "this build has no CUDA; build with `--features cuda`, or set `device` to cpu";
    Err(Error::invalid("device", problem))
}
