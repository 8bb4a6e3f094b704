//! `toolcall train`.

mod rows;

use super::INTERRUPTED;
use super::model::{ModelArgument, show_notes};
use super::output::{note, print_in_run, tell};
use super::progress::Progress;
use rows::{RowArguments, hold_out, without_repeated};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;
use toolcall_lib::checkpoint::{PushConfig, can_push, reserve_folder, save_somewhere};
use toolcall_lib::collective::{Collective, Launch, connect};
use toolcall_lib::train::settings::{Given, Input, Inputs};
use toolcall_lib::train::{OnAnswer, Settings, StepReport, TrainConfig, TrainData, train};
use toolcall_lib::{Error, Result, interrupt, push_to_hub};

/// Time that the other ranks give the first rank to report an error.
const FIRST_WORD: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgument,
    #[command(flatten)]
    rows: RowArguments,
    /// Folder for the tuned model; checkpoints are folders in it. The setting `output_dir` may name
    /// it too
    #[arg(long)]
    out: Option<PathBuf>,
    /// Settings to start from: the recommended ones, those for a LoRA adapter, or those of TRL's
    /// SFTTrainer
    #[arg(long, value_enum, default_value = "default")]
    recipe: Recipe,
    /// Files in YAML or JSON with settings that differ from the recipe, such as {"learning_rate":
    /// 1e-4, "max_steps": 50}; those of TRL, Axolotl, LLaMA-Factory, mlx-lm and DeepSpeed work too.
    /// Later files override earlier ones, and flags override all
    #[arg(long, num_args = 1..)]
    config: Vec<PathBuf>,
    /// Checkpoint of an interrupted run to go on from, or the folder of that run: its latest
    /// checkpoint. The data and settings are those of this command; differences are reported
    #[arg(long)]
    resume: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Recipe {
    /// Loss on the assistant's tokens, learning rate 2e-4, warmup
    Default,
    /// The default on more rows, for tools of all kinds: the mixture `general`. It runs for more
    /// than an hour, so it saves a checkpoint every 200 steps and keeps the latest
    General,
    /// The default for a LoRA adapter: rank 16, alpha 32, dropout 0.05, learning rate 2e-3
    Lora,
    /// TRL's defaults: loss on all tokens (after the prompt, for rows with prompt and completion),
    /// learning rate 2e-5; needs --data
    Seed,
}

impl Recipe {
    fn settings(self) -> TrainConfig {
        match self {
            Self::Default => TrainConfig::default(),
            Self::General => TrainConfig {
                save_steps: Some(200),
                save_total_limit: Some(1),
                ..TrainConfig::default()
            },
            Self::Lora => TrainConfig::lora(),
            Self::Seed => TrainConfig::trl(),
        }
    }

    /// Returns the settings for this many rows.
    fn for_rows(self, rows: usize) -> TrainConfig {
        match self {
            Self::Seed => self.settings(),
            _ => self.settings().for_rows(rows),
        }
    }

    /// Returns the mixture of the rows that are made where no data is given.
    fn mixture(self) -> Result<&'static str> {
        match self {
            Self::Default | Self::Lora => Ok("default"),
            Self::General => Ok("general"),
            Self::Seed => Err(Error::invalid(
                "--data",
                "is missing: the recipe `seed` has no rows",
            )),
        }
    }
}

impl Arguments {
    /// Returns the inputs that the command line names, so that files of settings do not.
    fn named(&self) -> Vec<Input> {
        let by_name = self.rows.dataset.is_named();
        let named = [
            (Input::Data, by_name || !self.rows.data.is_empty()),
            (Input::Part, !self.rows.data.is_empty()),
            (Input::Validation, self.rows.validation.is_some()),
        ];
        let named = named.into_iter().filter(|(_, named)| *named);
        named.map(|(input, _)| input).collect()
    }
}

pub fn run(arguments: &Arguments, flags: &Given) -> Result<ExitCode> {
    let layers = Layers::read(arguments, flags)?;
    let Settings {
        config,
        inputs,
        notes,
        ..
    } = layers.over(arguments, arguments.recipe.settings())?;
    if layers.rank == 0 {
        notes.into_iter().for_each(note);
    }
    let out = config.output_dir.as_deref();
    let out = out.ok_or_else(|| Error::invalid("--out", "is missing; name a folder for the tuned model"))?;
    config.check()?;
    let ranks = connect(Duration::from_secs(config.ddp_timeout))?;
    let outcome = train_and_save(&*ranks, arguments, &layers, &inputs, out);
    match outcome {
        Err(error) if ranks.size() > 1 => {
            if ranks.rank() > 0 {
                sleep(FIRST_WORD); // most errors occur on all ranks; the first reports it and ends the others
            }
            tell(format!("error: rank {}: {error}", ranks.rank()));
            ranks.abort()
        }
        outcome => outcome,
    }
}

fn train_and_save(
    ranks: &dyn Collective,
    arguments: &Arguments,
    layers: &Layers,
    inputs: &Inputs,
    out: &Path,
) -> Result<ExitCode> {
    let first = ranks.rank() == 0;
    let target = push_target(inputs, out, first)?;
    let _out = first.then(|| reserve_folder(out)).transpose()?; // before the work
    let (data, validation) = arguments
        .rows
        .load(inputs, || arguments.recipe.mixture(), first)?;
    let (data, validation) = match inputs.dedup {
        Some(true) => (without_repeated(data, first), without_repeated(validation, first)),
        _ => (data, validation),
    };
    let mut model = arguments.model.load_named(inputs, first)?;
    inputs.check_model(&model)?;
    if first {
        show_notes(&data, &model);
        show_notes(&validation, &model);
    }
    let recipe = arguments.recipe.for_rows(data.rows.len());
    let many = recipe != arguments.recipe.settings();
    let config = &layers.over(arguments, recipe)?.config;
    let (data, validation) = hold_out(data, validation, inputs, config.seed)?;
    if first && config.resume_from_checkpoint.is_none() && holds_model(out) {
        note(format!("the new model replaces the one in {}", out.display()));
    }
    if first && many {
        note(for_many(data.rows.len(), config));
    }
    if first && ranks.size() > 1 {
        let (size, stage) = (ranks.size(), config.zero_stage);
        let threads = match rayon::current_num_threads() {
            1 => "1 thread".to_string(),
            many => format!("{many} threads"),
        };
        print_in_run(format!("{size} ranks, {threads} each, ZeRO stage {stage}"));
    }
    let progress = Mutex::new(Progress::new(config));
    let progress = || progress.lock().unwrap_or_else(PoisonError::into_inner);
    let on_step = |step: &StepReport| {
        if first {
            progress().show(step);
        }
    };
    let on_answer = |answered, rows| progress().show_answers(answered, rows);
    let _until_it_is_saved = interrupt::Guard::start()?;
    let shared = TrainData {
        ranks,
        on_answer: Some(OnAnswer(&on_answer)),
        ..TrainData::from((&data, &validation))
    };
    let report = train(&mut model, shared, config, on_step)?;
    progress().finish();
    if first {
        save_somewhere(out, |folder| report.save(&model, folder))?;
        print_in_run(&report);
        print_in_run(format!("saved {}", out.display()));
    }
    if !report.interrupted {
        return match target {
            Some((repo, config)) => push(out, &repo, &config),
            None => Ok(ExitCode::SUCCESS),
        };
    }
    let checkpoint = report.checkpoint(out);
    if first && checkpoint.is_dir() {
        let checkpoint = checkpoint.display();
        print_in_run(format!("stopped by the user; go on with --resume {checkpoint}"));
    }
    Ok(ExitCode::from(INTERRUPTED))
}

/// Returns the repository to which the first rank pushes the saved model, if it does.
fn push_target(inputs: &Inputs, out: &Path, first: bool) -> Result<Option<(String, PushConfig)>> {
    let target = inputs.push.target(out)?.filter(|_| first);
    let Some((named, config)) = target else {
        if let (true, None, Some(repo)) = (first, inputs.push.wanted, &inputs.push.repo) {
            note(format!(
                "hub_model_id is {repo}, but nothing is pushed: push_to_hub is not true"
            ));
        }
        return Ok(None);
    };
    let repo = can_push(&named, &config)?; // before the work
    if inputs.push.repo.as_ref() != Some(&repo) {
        note(format!("the model will be pushed to {repo}"));
    }
    Ok(Some((repo, config)))
}

/// Pushes the saved model.
fn push(out: &Path, repo: &str, config: &PushConfig) -> Result<ExitCode> {
    let pushed = push_to_hub(out, repo, config).map_err(|error| {
        let mut command = format!("toolcall push {} {repo}", out.display());
        if !config.private {
            command += " --public";
        }
        if config.revision != PushConfig::default().revision {
            command += &format!(" --revision {}", config.revision);
        }
        let problem = format!("the model is saved there, but not pushed; `{command}` does it. {error}");
        Error::invalid(out.display(), problem)
    })?;
    print_in_run(format!("pushed to {pushed}"));
    Ok(ExitCode::SUCCESS)
}

/// Returns true if a folder that can be trained into has a model or an adapter already.
fn holds_model(out: &Path) -> bool {
    ["config.json", "adapter_config.json"]
        .iter()
        .any(|file| out.join(file).exists())
}

/// Returns a note on the settings that were chosen because there are many rows.
fn for_many(rows: usize, config: &TrainConfig) -> String {
    let (epochs, batch) = (config.num_train_epochs, config.per_device_train_batch_size);
    let (group, rate) = (config.group_by_prefix, config.learning_rate);
    format!(
        "{rows} rows are many: num_train_epochs is {epochs}, per_device_train_batch_size {batch}, \
         group_by_prefix {group}, learning_rate {rate:e}"
    )
}

/// Files of settings, then flags. Each layer overrides those before it.
struct Layers {
    given: Vec<Given>,
    rank: usize,
    ranks: usize,
}

impl Layers {
    fn read(arguments: &Arguments, flags: &Given) -> Result<Self> {
        let (rank, ranks) = Launch::from_environment()?.map_or((0, 1), |launch| (launch.rank, launch.size));
        let files: Vec<Given> = arguments.config.iter().map(Given::read).collect::<Result<_>>()?;
        Ok(Self {
            given: files.into_iter().chain([flags.clone()]).collect(),
            rank,
            ranks,
        })
    }

    /// Puts what files and flags say over the settings of a recipe.
    fn over(&self, arguments: &Arguments, recipe: TrainConfig) -> Result<Settings> {
        let mut settings = Settings::from(recipe).without(&arguments.named());
        let mut notes = Vec::new();
        for given in &self.given {
            settings = settings.with(given, self.ranks)?;
            let told = settings.notes.drain(..);
            notes.extend(told.map(|text| format!("{}: {text}", given.place)));
        }
        let config = &mut settings.config;
        config.output_dir = arguments.out.clone().or(config.output_dir.take());
        let mut settings = settings.with_latest_checkpoint();
        let config = &mut settings.config;
        config.resume_from_checkpoint = arguments.resume.clone().or(config.resume_from_checkpoint.take());
        settings.notes = [notes, settings.closing_notes()].concat();
        Ok(settings)
    }
}
