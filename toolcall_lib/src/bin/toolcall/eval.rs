//! `toolcall eval`.

use super::ModelArgument;
use std::path::PathBuf;
use std::process::ExitCode;
use toolcall_lib::dataset::Dataset;
use toolcall_lib::evaluate::{EvaluateConfig, evaluate};
use toolcall_lib::{Error, Result};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgument,
    /// Conversations; a row's first assistant turn is the truth, a row without a call expects none
    #[arg(long)]
    data: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let data = Dataset::load(&arguments.data)?;
    let model = arguments.model.load()?;
    let evaluation = evaluate(&model, &data.rows, &EvaluateConfig::default())?;
    if arguments.json {
        println!(
            "{}",
            serde_json::to_string(&evaluation).map_err(Error::library("writing the evaluation"))?
        );
    } else {
        println!("{evaluation}");
    }
    Ok(ExitCode::SUCCESS)
}
