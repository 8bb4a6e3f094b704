//! `toolcall train`.

use super::{INTERRUPTED, ModelArgument, progress_bar};
use indicatif::ProgressBar;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;
use toolcall_lib::collective::{Collective, Launch, connect};
use toolcall_lib::dataset::Dataset;
use toolcall_lib::terminal::printable;
use toolcall_lib::train::{StepReport, TrainConfig, train_on};
use toolcall_lib::{Error, Result, save};

/// How long the other ranks let the first speak.
const FIRST_WORD: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgument,
    /// Conversations to train on: JSON (rows or columns) or JSONL; several files are put together
    #[arg(long, required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// Conversations whose loss is measured while training
    #[arg(long)]
    validation: Option<PathBuf>,
    /// Folder for the tuned model; checkpoints are folders in it
    #[arg(long)]
    out: PathBuf,
    /// Settings to start from: the recommended ones, those for a LoRA adapter, or those of TRL's SFTTrainer
    #[arg(long, value_enum, default_value = "default")]
    recipe: Recipe,
    /// JSON files with settings that differ from the recipe, such as {"learning_rate": 1e-4, "max_steps": 50}; a configuration file
    /// of DeepSpeed works too. Of several, the later win
    #[arg(long, num_args = 1..)]
    config: Vec<PathBuf>,
    /// Checkpoint folder of an interrupted run to go on from
    #[arg(long)]
    resume: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Recipe {
    /// Loss on the assistant's tokens, learning rate 2e-4, warmup
    Default,
    /// The same for a LoRA adapter: rank 16, alpha 32, dropout 0.05, learning rate 2e-3
    Lora,
    /// TRL's defaults: loss on all tokens, learning rate 2e-5
    Seed,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let config = TrainConfig {
        output_dir: Some(arguments.out.clone()),
        resume_from_checkpoint: arguments.resume.clone(),
        ..settings(arguments)?
    };
    let ranks = connect(Duration::from_secs(config.ddp_timeout))?;
    let outcome = train_and_save(&*ranks, arguments, &config);
    match outcome {
        Err(error) if ranks.size() > 1 => {
            if ranks.rank() > 0 {
                sleep(FIRST_WORD); // most errors are those of all ranks; the first says it and ends the others
            }
            eprintln!("error: rank {}: {error}", ranks.rank());
            ranks.abort()
        }
        outcome => outcome,
    }
}

fn train_and_save(ranks: &dyn Collective, arguments: &Arguments, config: &TrainConfig) -> Result<ExitCode> {
    let first = ranks.rank() == 0;
    let mut data = Dataset::default();
    for file in &arguments.data {
        data.extend(Dataset::load(file)?);
    }
    let validation = arguments
        .validation
        .as_ref()
        .map_or(Ok(Dataset::default()), Dataset::load)?;
    let mut model = arguments.model.load_with_notes(first)?;
    if first && ranks.size() > 1 {
        let (size, stage) = (ranks.size(), config.zero_stage);
        let threads = match rayon::current_num_threads() {
            1 => "1 thread".to_string(),
            many => format!("{many} threads"),
        };
        println!("{size} ranks, {threads} each, ZeRO stage {stage}");
    }
    let bar = progress_bar(0);
    let on_step = |step: &StepReport| {
        if first {
            show(&bar, step);
        }
    };
    let report = train_on(ranks, &mut model, &data, &validation, config, on_step)?;
    bar.finish();
    if first {
        save(&model, &arguments.out)?;
        report.save(&arguments.out)?;
        println!("{report}");
        println!("saved {}", arguments.out.display());
    }
    if !report.interrupted {
        return Ok(ExitCode::SUCCESS);
    }
    if first {
        let checkpoint = report.checkpoint(&arguments.out);
        println!(
            "stopped by the user; go on with --resume {}",
            checkpoint.display()
        );
    }
    Ok(ExitCode::from(INTERRUPTED))
}

/// The recipe, with what the files say instead.
fn settings(arguments: &Arguments) -> Result<TrainConfig> {
    let mut config = match arguments.recipe {
        Recipe::Default => TrainConfig::default(),
        Recipe::Lora => TrainConfig::lora(),
        Recipe::Seed => TrainConfig::trl(),
    };
    let (rank, size) = Launch::from_environment()?.map_or((0, 1), |launch| (launch.rank, launch.size));
    for file in &arguments.config {
        let text = std::fs::read_to_string(file).map_err(Error::io(file))?;
        let wrong = |e| Error::invalid(file.display(), e);
        let changes: Map<String, Value> =
            serde_json::from_str(&text).map_err(|e| Error::invalid(file.display(), e))?;
        let (changed, notes) = config.with_file(changes, size).map_err(wrong)?;
        if rank == 0 {
            notes
                .iter()
                .for_each(|note| eprintln!("note: {}: {}", file.display(), printable(note)));
        }
        config = changed;
    }
    Ok(config)
}

/// A bar in a terminal, lines elsewhere.
fn show(bar: &ProgressBar, step: &StepReport) {
    bar.set_length(step.total_steps as u64);
    bar.set_position(step.step as u64);
    bar.set_message(format!("loss {:.4}", step.loss));
    let every = step.total_steps.div_ceil(20);
    if bar.is_hidden() && (step.step.is_multiple_of(every) || step.step == step.total_steps) {
        println!("{step}");
    } else if let Some(loss) = step.eval_loss {
        bar.println(format!("step {}: validation loss {loss:.4}", step.step));
    }
}
