//! `toolcall eval`.

use super::{ModelArgument, progress_bar, say};
use std::path::PathBuf;
use std::process::ExitCode;
use toolcall_lib::dataset::Dataset;
use toolcall_lib::device::Device;
use toolcall_lib::evaluate::{EvaluateConfig, evaluate_with};
use toolcall_lib::generate::ToolChoice;
use toolcall_lib::terminal::printable_json;
use toolcall_lib::{Error, GenerateConfig, Result};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgument,
    /// Conversations; a row's first assistant turn is the truth, a row without a call expects none
    #[arg(long)]
    data: PathBuf,
    /// Longest reply, in tokens; a model that does not stop by itself is cut off here
    #[arg(long, default_value_t = GenerateConfig::default().max_new_tokens)]
    max_new_tokens: usize,
    /// Hold every call to the tools that are offered: what the model would reach if it could not make an invalid one
    #[arg(long)]
    constrained: bool,
    /// Whether the first and every other turn calls tools: auto, required, none, or the name of a tool. All but auto are held to
    #[arg(long, default_value_t)]
    tool_choice: ToolChoice,
    /// On what the model runs: auto (a GPU, if there is one that can), cpu, or cuda
    #[arg(long, default_value_t)]
    device: Device,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let data = Dataset::load(&arguments.data)?;
    let model = arguments.model.load()?;
    let bar = progress_bar(data.rows.len());
    let config = EvaluateConfig {
        generate: GenerateConfig {
            max_new_tokens: arguments.max_new_tokens,
            constrained: arguments.constrained,
            tool_choice: arguments.tool_choice.clone(),
            device: arguments.device,
            ..GenerateConfig::default()
        },
        ..EvaluateConfig::default()
    };
    let evaluation = evaluate_with(&model, &data.rows, &config, |scores| {
        bar.set_position(scores.rows as u64);
        bar.set_message(format!("{} right", scores.exact.count));
    })?;
    bar.finish_and_clear();
    if arguments.json {
        let json = serde_json::to_string(&evaluation).map_err(Error::library("writing the evaluation"))?;
        println!("{}", printable_json(&json));
    } else {
        say(evaluation);
    }
    Ok(ExitCode::SUCCESS)
}
