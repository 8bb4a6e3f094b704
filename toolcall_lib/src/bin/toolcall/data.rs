//! `toolcall data`.

use super::output::print;
use std::path::PathBuf;
use std::process::ExitCode;
use toolcall_lib::{Result, synthetic};

#[derive(clap::Args)]
pub struct Arguments {
    /// Folder to write to
    #[arg(long, default_value = "data")]
    out: PathBuf,
    /// Replace data files that hold something else: edited ones, and those of another seed
    #[arg(long)]
    overwrite: bool,
    /// Seed; the files of this project were made with the default
    #[arg(long, default_value_t = synthetic::SEED)]
    seed: u64,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    for path in synthetic::write_all(&arguments.out, arguments.seed, arguments.overwrite)? {
        print(path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}
