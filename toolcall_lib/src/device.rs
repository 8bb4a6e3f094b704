//! The device of a run or a reply: CPU or GPU.

use crate::error::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The device that computes a run or a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// A GPU if this build can use one, there is one, and it can compute this; otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first GPU that CUDA shows; in a run, each rank's own GPU. An error if it cannot be used.
    Cuda,
}

impl Device {
    /// Returns the result of `on_gpu`. An inner error means that the CPU is to be used; it holds
    /// the reason if this build could have used a GPU.
    ///
    /// # Errors
    /// The error of `on_gpu`, if the GPU was asked for.
    pub(crate) fn try_gpu<T>(
        self,
        on_gpu: impl FnOnce() -> Result<T>,
    ) -> Result<std::result::Result<T, Option<Error>>> {
        if self == Self::Cpu {
            return Ok(Err(None));
        }
        match on_gpu() {
            Ok(made) => Ok(Ok(made)),
            Err(error) if self == Self::Cuda => Err(error),
            Err(error) => Ok(Err(cfg!(feature = "cuda").then_some(error))),
        }
    }
}

/// Makes the error that explains why a build without CUDA uses no GPU.
#[cfg(not(feature = "cuda"))]
pub(crate) fn no_cuda() -> Error {
    let problem = "this build has no CUDA; build with `--features cuda`, or set `device` to cpu";
    Error::invalid("device", problem)
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Auto, Self::Cpu, Self::Cuda];
        let found = all.into_iter().find(|device| device.to_string() == name);
        let problem = format!("`{name}` is not known; expected auto, cpu or cuda");
        found.ok_or_else(|| Error::invalid("device", problem))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asks_for_a_gpu_is_told_that_there_is_none() {
        let gone = || Err::<(), _>(Error::invalid("CUDA", "it is gone"));
        assert_eq!(
            Device::Cuda.try_gpu(gone).unwrap_err().to_string(),
            "CUDA: it is gone"
        );
        let refusal = Device::Auto.try_gpu(gone).unwrap().unwrap_err();
        assert_eq!(refusal.is_some(), cfg!(feature = "cuda"));
        assert!(Device::Cpu.try_gpu(|| Ok(())).unwrap().is_err());
        for device in [Device::Auto, Device::Cuda] {
            assert!(device.try_gpu(|| Ok(())).unwrap().is_ok());
        }
    }

    #[test]
    fn devices_are_called_in_words_as_in_json() {
        for device in [Device::Auto, Device::Cpu, Device::Cuda] {
            assert_eq!(device.to_string().parse::<Device>().unwrap(), device);
            assert_eq!(serde_json::json!(device), device.to_string());
        }
        let error = "gpu".parse::<Device>().unwrap_err().to_string();
        assert_eq!(error, "device: `gpu` is not known; expected auto, cpu or cuda");
    }
}
