//! `toolcall augment`.

use super::output::print;
use std::path::PathBuf;
use std::process::ExitCode;
use toolcall_lib::dataset::Dataset;
use toolcall_lib::synthetic::{self, AugmentConfig, Lists, Teacher, augment};
use toolcall_lib::tool::load_tools;
use toolcall_lib::{Error, Result};

#[derive(clap::Args)]
pub struct Arguments {
    /// File with the JSON schemas of your tools: a list, or one schema per line
    #[arg(long)]
    tools: PathBuf,
    /// Your own conversations with these tools; a few dozen make much better rows than none
    #[arg(long)]
    data: Option<PathBuf>,
    /// Number of rows to make, including yours
    #[arg(long, default_value_t = AugmentConfig::default().rows)]
    rows: usize,
    /// File to write: .json, or .jsonl with one row per line; a name without ending is one of JSON
    #[arg(long)]
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
    /// Base URL of the API of a larger model that writes requests, such as
    /// http://localhost:8080/v1; its key is read from TEACHER_API_KEY
    #[arg(long, requires = "teacher_model")]
    teacher: Option<String>,
    /// Name of the larger model
    #[arg(long, requires = "teacher")]
    teacher_model: Option<String>,
    /// Requests that the larger model writes for each tool
    #[arg(long, default_value_t = 40)]
    teacher_requests: usize,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    toolcall_lib::files::check(&arguments.out)?; // before the work
    Dataset::check_name(&arguments.out)?;
    if arguments.out.exists() && !arguments.force {
        let problem = "already exists; choose another --out, or give --force to overwrite it";
        return Err(Error::invalid(arguments.out.display(), problem));
    }
    let tools = load_tools(&arguments.tools)?;
    let rows = match &arguments.data {
        Some(path) => Dataset::load_with_tools(path, &tools)?,
        None => Dataset::default(),
    };
    let teacher = arguments.teacher.clone().zip(arguments.teacher_model.clone());
    let config = AugmentConfig {
        rows: arguments.rows,
        seed: arguments.seed,
        teacher: teacher.map(|(url, model)| Teacher {
            url,
            model,
            api_key: std::env::var("TEACHER_API_KEY").ok(),
            requests: arguments.teacher_requests,
        }),
    };
    let lists = match &arguments.lists {
        Some(folder) => Lists::load(folder)?,
        None => Lists::embedded()?,
    };
    let augmented = augment(&lists, &tools, &rows, &config)?;
    augmented.data.save(&arguments.out)?;
    let (out, rows) = (arguments.out.display(), augmented.data.rows.len());
    print(format!("{augmented}{out}: {rows} rows"))?;
    Ok(ExitCode::SUCCESS)
}
