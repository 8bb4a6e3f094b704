//! `toolcall eval`.

use super::dataset::{self, ToolsArgument};
use super::model::{ModelArgument, show_notes};
use super::output::{print, print_json};
use super::progress::{Counter, score_with_bar};
use super::values::one_or_more;
use serde::Serialize;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use toolcall_lib::bfcl::{self, BfclScores, Category};
use toolcall_lib::device::Device;
use toolcall_lib::evaluate::{EvaluateConfig, Evaluation};
use toolcall_lib::generate::ToolChoice;
use toolcall_lib::show::BfclTable;
use toolcall_lib::{Dataset, GenerateConfig, Model, Result};

/// Most tokens of a reply to a row of BFCL. Some rows want eight calls.
const BFCL_TOKENS: usize = 512;

/// A reply that is cut off at --max-new-tokens counts as wrong in every score.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgument,
    /// Conversations to score on: files, or hub:owner/name, hub:owner/name:split or
    /// hub:owner/name:config:split; each has scores of its own. The model answers every assistant
    /// turn up to its first mistake; a turn without a call expects none
    #[arg(long, num_args = 1.., required_unless_present = "bfcl", conflicts_with = "bfcl")]
    data: Vec<PathBuf>,
    #[command(flatten)]
    tools: ToolsArgument,
    /// Categories of the Berkeley Function Calling Leaderboard instead, scored as its AST checker
    /// does: simple_python, multiple, parallel, parallel_multiple, irrelevance, live_simple,
    /// live_multiple, live_parallel, live_parallel_multiple, live_irrelevance, live_relevance; or
    /// non_live, live, all
    #[arg(long, num_args = 1.., value_name = "CATEGORY", conflicts_with = "tools")]
    bfcl: Vec<String>,
    /// The wheel of the Python package bfcl-eval, or a folder with its files; `scripts/setup.sh
    /// bfcl` fetches it
    #[arg(
        long,
        value_name = "FOLDER_OR_WHEEL",
        default_value = ".toolcall/bfcl/bfcl_eval-2026.3.23-py3-none-any.whl"
    )]
    bfcl_data: PathBuf,
    /// Score only this many rows, the first of each file or of each category
    #[arg(long, value_parser = one_or_more)]
    rows: Option<usize>,
    /// Most tokens of a reply; a longer reply is cut off. Default: 256, with --bfcl 512
    #[arg(long, value_parser = one_or_more)]
    max_new_tokens: Option<usize>,
    /// Constrain every call to the offered tools: shows the scores of a model that cannot make an
    /// invalid call
    #[arg(long)]
    constrained: bool,
    /// Withhold a reply with a call whose confidence is below this, from 0 to 1; it counts as a
    /// reply without a call
    #[arg(long, default_value_t = 0.0)]
    min_confidence: f32,
    /// Rule for calls in each turn: auto, required, none, or the name of a tool. All but auto are
    /// enforced
    #[arg(long, default_value_t)]
    tool_choice: ToolChoice,
    /// Device that the model runs on: auto (a GPU if one can be used), cpu, or cuda
    #[arg(long, default_value_t)]
    device: Device,
    /// Print JSON: an object, or for several files and with --bfcl a list of them. Those of --bfcl
    /// have a verdict, the calls and the reply of every row
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    arguments.generate(BFCL_TOKENS).check()?;
    match arguments.bfcl.is_empty() {
        true => on_conversations(arguments),
        false => on_bfcl(arguments),
    }
}

impl Arguments {
    fn generate(&self, max_new_tokens: usize) -> GenerateConfig {
        GenerateConfig {
            max_new_tokens: self.max_new_tokens.unwrap_or(max_new_tokens),
            constrained: self.constrained,
            min_confidence: self.min_confidence,
            tool_choice: self.tool_choice.clone(),
            device: self.device,
            ..GenerateConfig::default()
        }
    }

    fn first<T>(&self, mut rows: Vec<T>) -> Vec<T> {
        rows.truncate(self.rows.unwrap_or(usize::MAX));
        rows
    }
}

/// The scores on one file.
#[derive(Serialize)]
struct OnFile<'a> {
    data: &'a Path,
    #[serde(flatten)]
    evaluation: Evaluation,
}

fn on_conversations(arguments: &Arguments) -> Result<ExitCode> {
    let tools = arguments.tools.load()?;
    let files = arguments.data.iter().map(|file| dataset::load(file, &tools));
    let files: Vec<Dataset> = files.collect::<Result<_>>()?;
    let model = arguments.model.load_to_answer()?;
    let config = EvaluateConfig {
        generate: arguments.generate(GenerateConfig::default().max_new_tokens),
        ..EvaluateConfig::default()
    };
    let several = files.len() > 1;
    let mut scores = Vec::new();
    for (file, data) in arguments.data.iter().zip(files) {
        show_notes(&data, &model);
        let rows = arguments.first(data.rows);
        let evaluation = score_with_bar(&model, &rows, &config)?;
        let stopped = evaluation.rows < rows.len();
        match (arguments.json, several) {
            (true, _) => {}
            (false, true) => print(format!("{}\n{evaluation}\n", file.display()))?,
            (false, false) => print(&evaluation)?,
        }
        scores.push(OnFile {
            data: file,
            evaluation,
        });
        if stopped {
            break; // by the user
        }
    }
    match arguments.json {
        true if several => print_json(&scores)?,
        true => print_json(&scores.first())?,
        false => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn on_bfcl(arguments: &Arguments) -> Result<ExitCode> {
    let mut categories = Vec::new();
    for word in &arguments.bfcl {
        categories.extend(Category::named(word)?);
    }
    categories.sort();
    categories.dedup();
    let loaded = categories.iter().map(|&category| {
        Ok((
            category,
            arguments.first(bfcl::load(&arguments.bfcl_data, category)?),
        ))
    });
    let loaded: Vec<(Category, Vec<bfcl::Row>)> = loaded.collect::<Result<_>>()?;
    let model = arguments.model.load_to_answer()?;
    let mut scores = Vec::new();
    for (category, rows) in &loaded {
        scores.push(on_category(arguments, &model, *category, rows)?);
        if scores
            .last()
            .is_some_and(|scores| scores.verdicts.len() < rows.len())
        {
            break; // the user has stopped it
        }
    }
    match arguments.json {
        true => print_json(&scores)?,
        false => print(BfclTable(&scores))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn on_category(
    arguments: &Arguments,
    model: &Model,
    category: Category,
    rows: &[bfcl::Row],
) -> Result<BfclScores> {
    let counter = RefCell::new(Counter::new(rows.len()));
    let (mut done, mut right) = (0, 0);
    let scores = bfcl::run(
        model,
        category,
        rows,
        &arguments.generate(BFCL_TOKENS),
        |verdict| {
            (done, right) = (done + 1, right + usize::from(verdict.right));
            let message = format!("{category}: {right} right");
            counter.borrow_mut().row(done, message);
        },
        || counter.borrow_mut().reply(),
    );
    counter.borrow().finish();
    scores
}
