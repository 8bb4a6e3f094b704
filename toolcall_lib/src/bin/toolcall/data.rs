//! `toolcall data`.

use super::model::ModelArgument;
use super::output::print;
use super::values::one_or_more;
use std::path::PathBuf;
use std::process::ExitCode;
use toolcall_lib::dataset::Dataset;
use toolcall_lib::generate::answer_without_tools;
use toolcall_lib::synthetic::{self, Lists};
use toolcall_lib::{Error, GenerateConfig, Result};

#[derive(clap::Args)]
pub struct Arguments {
    /// Mixture of rows to make, by its name in mixtures.toml
    #[arg(long, default_value = "default")]
    mixture: String,
    /// Number of rows to make; the parts of the mixture keep their shares
    #[arg(long)]
    rows: Option<usize>,
    /// File to write: .json, or .jsonl with one row per line; a name without ending is one of JSON
    #[arg(long, default_value = "out/data.json")]
    out: PathBuf,
    /// Overwrite the file if it exists
    #[arg(long)]
    force: bool,
    /// Seed: the same one makes the same rows
    #[arg(long, default_value_t = synthetic::SEED)]
    seed: u64,
    /// Folder with your own lists, laid out like data/lists
    #[arg(long)]
    lists: Option<PathBuf>,
    /// Let the untuned model (--model) answer the requests that no tool of any list serves, such as
    /// a joke, so that tuning does not teach it to refuse
    #[arg(long)]
    own_replies: bool,
    /// Most tokens of such an answer; a longer one is not taken
    #[arg(long, default_value_t = 96, value_parser = one_or_more)]
    max_new_tokens: usize,
    #[command(flatten)]
    model: ModelArgument,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let lists = match &arguments.lists {
        Some(folder) => Lists::load(folder)?,
        None => Lists::embedded()?,
    };
    toolcall_lib::files::check(&arguments.out)?; // before the work
    Dataset::check_name(&arguments.out)?;
    if arguments.out.exists() && !arguments.force {
        let problem = "already exists; choose another --out, or give --force to overwrite it";
        return Err(Error::invalid(arguments.out.display(), problem));
    }
    let made = synthetic::make(&lists, &arguments.mixture, arguments.rows, arguments.seed)?;
    let mut data = made.data;
    if arguments.own_replies {
        let model = arguments.model.load()?;
        let config = GenerateConfig {
            max_new_tokens: arguments.max_new_tokens,
            ..GenerateConfig::default()
        };
        let answered = answer_without_tools(&model, &mut data, &made.open, &config)?;
        let open = made.open.len();
        print(format!(
            "the model answers {answered} of {open} requests that no tool serves"
        ))?;
    }
    data.save(&arguments.out)?;
    print(format!("{}: {} rows", arguments.out.display(), data.rows.len()))?;
    Ok(ExitCode::SUCCESS)
}
