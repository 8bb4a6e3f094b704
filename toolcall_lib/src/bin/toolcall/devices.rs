//! `toolcall devices`.

use super::output::print;
use std::process::ExitCode;
use toolcall_lib::Result;

pub fn run() -> Result<ExitCode> {
    print(format!("cpu: {} threads", rayon::current_num_threads()))?;
    for line in gpus() {
        print(line)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "cuda")]
fn gpus() -> Vec<String> {
    let mut lines = match toolcall_lib::cuda::gpus() {
        Ok(gpus) => {
            let line = |gpu: &toolcall_lib::cuda::Gpu| match gpu.check() {
                Ok(()) => format!("cuda {}: {gpu}", gpu.ordinal),
                Err(error) => format!("cuda {}: {gpu}; not used: {error}", gpu.ordinal),
            };
            gpus.iter().map(line).collect()
        }
        Err(error) => vec![format!("cuda: none: {error}")],
    };
    lines.push(match toolcall_lib::cuda::nccl_version() {
        Ok(version) => format!("nccl: {version}"),
        Err(error) => format!("nccl: none, so one GPU trains at a time: {error}"),
    });
    lines
}

#[cfg(not(feature = "cuda"))]
fn gpus() -> Vec<String> {
    vec!["cuda: none: this build has no CUDA; build with `--features cuda`".to_string()]
}
