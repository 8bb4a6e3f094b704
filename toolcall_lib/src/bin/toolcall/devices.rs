//! `toolcall devices`.

use std::process::ExitCode;
use toolcall_lib::Result;

pub fn run() -> Result<ExitCode> {
    println!("cpu: {} threads", rayon::current_num_threads());
    show_gpus();
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "cuda")]
fn show_gpus() {
    match toolcall_lib::cuda::gpus() {
        Ok(gpus) => {
            for gpu in gpus {
                match gpu.check() {
                    Ok(()) => println!("cuda {}: {gpu}", gpu.ordinal),
                    Err(error) => println!("cuda {}: {gpu}; not used: {error}", gpu.ordinal),
                }
            }
        }
        Err(error) => println!("cuda: none: {error}"),
    }
    match toolcall_lib::cuda::nccl_version() {
        Ok(version) => println!("nccl: {version}"),
        Err(error) => println!("nccl: none, so one GPU trains at a time: {error}"),
    }
}

#[cfg(not(feature = "cuda"))]
fn show_gpus() {
    println!("cuda: none: this build has no CUDA; build with `--features cuda`");
}
