//! The command line: train, chat, serve, evaluate, export, publish, inspect, and make the data.

mod augment;
mod chat;
mod data;
mod dataset;
mod devices;
mod eval;
mod export;
mod inspect;
mod output;
mod push;
#[cfg(feature = "serve")]
mod serve;
mod train;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use toolcall_lib::evaluate::{EvaluateConfig, Evaluation, evaluate_with};
use toolcall_lib::tokens::not_shown;
use toolcall_lib::train::settings::{self, Given, Inputs};
use toolcall_lib::{Conversation, Dataset, Dtype, Error, Model, Result, json, load_as};

/// Exit code of a run that the user stopped, as shells have it.
const INTERRUPTED: u8 = 130;

/// The model where none is named.
const DEFAULT_MODEL: &str = ".toolcall/models/SmolLM2-135M-Instruct.gguf";

/// Fine-tune small open language models for function calling.
///
/// A first session:
///   toolcall data
///   toolcall train --data data/tool_augmented_dataset.json --out out/tuned
///   toolcall eval --model out/tuned --data data/tool_heldout.json
///   toolcall chat --model out/tuned
#[derive(Parser)]
#[command(name = "toolcall", version, verbatim_doc_comment)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fine-tune a model on conversations and save it as a Hugging Face folder
    Train(train::Arguments),
    /// Ask a model; its tool calls are run and their results go back to it
    Chat(chat::Arguments),
    /// Answer the requests of clients of OpenAI's API, and show a page to try a model
    #[cfg(feature = "serve")]
    Serve(serve::Arguments),
    /// Score a model on conversations: right tools, exact arguments, over-calling
    Eval(eval::Arguments),
    /// Write a whole model folder or a GGUF file, with a LoRA adapter merged into the weights
    Export(export::Arguments),
    /// Publish a saved model on the Hugging Face hub, private unless you say otherwise
    Push(push::Arguments),
    /// Show how a row is prepared: rendered text, prompts, token ids, trained tokens
    Inspect(inspect::Arguments),
    /// Make conversations with many tools, timers and reminders to train on
    Data(data::Arguments),
    /// Make conversations with your own tools to train on, from their schemas and a few rows of
    /// yours
    Augment(augment::Arguments),
    /// List the devices that can train, and say why others cannot
    Devices,
}

/// The model that a command works with.
#[derive(Args)]
struct ModelArgument {
    /// A Hugging Face model folder, a PEFT folder of a LoRA adapter, a .gguf file, or a hub id such
    /// as Qwen/Qwen3-0.6B [env: TOOLCALL_MODEL=] [default:
    /// .toolcall/models/SmolLM2-135M-Instruct.gguf]
    #[arg(long)]
    model: Option<String>,
    /// Type of the weights in memory: f32, bf16, f16, q8_0, q4_0, q4_k_m, or auto, the type in the
    /// file. Weights of any type but f32 are frozen: training them needs LoRA (--recipe lora)
    /// [default: f32]
    #[arg(long)]
    dtype: Option<Dtype>,
    /// JSON object with variables for the chat template, beside messages and tools, such as
    /// {"enable_thinking": true}
    #[arg(long)]
    chat_template_kwargs: Option<String>,
}

impl ModelArgument {
    fn load(&self) -> Result<Model> {
        self.load_named(&Inputs::default(), true)
    }

    /// Loads the model; a file of settings may name it where the command line does not.
    fn load_named(&self, file: &Inputs, show: bool) -> Result<Model> {
        let said = self.model.clone().or_else(|| file.model.clone());
        let name = said.or_else(|| std::env::var("TOOLCALL_MODEL").ok());
        let dtype = self.dtype.or(file.dtype).unwrap_or_default();
        let mut model = load_as(name.as_deref().unwrap_or(DEFAULT_MODEL), dtype)?;
        if let Some(text) = &self.chat_template_kwargs {
            let kwargs = json::read_object(text).map_err(|e| Error::invalid("--chat-template-kwargs", e))?;
            model.template = model.template.with_kwargs(&kwargs);
        }
        let notes = model.notes.iter().filter(|_| show);
        notes.for_each(|text| output::note(format!("note: {text}")));
        Ok(model)
    }
}

/// Tells what a user should know about data files, and what of them the model's template does not
/// show.
fn show_notes(data: &Dataset, model: &Model) {
    let notes = data
        .notes()
        .into_iter()
        .chain(not_shown(&data.rows, &model.template));
    notes.for_each(|text| output::note(format!("note: {text}")));
}

/// A bar in a terminal, nothing elsewhere.
fn progress_bar(length: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed}<{eta} {msg}");
    ProgressBar::new(length as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Evaluates a model, with a bar.
fn score_with_bar(model: &Model, rows: &[Conversation], config: &EvaluateConfig) -> Result<Evaluation> {
    let bar = progress_bar(rows.len());
    let evaluation = evaluate_with(model, rows, config, |scores| {
        bar.set_position(scores.rows as u64);
        bar.set_message(format!("{} right", scores.exact.count));
    });
    bar.finish_and_clear();
    evaluation
}

/// The command, and what of its flags is settings: `train` takes every setting as a flag.
fn parse() -> Result<(Command, Given)> {
    let mut cli = Cli::command().mut_subcommand("train", |train| train.after_long_help(settings::help()));
    cli.build();
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let mut flags = Given::default();
    let train = cli
        .find_subcommand("train")
        .filter(|_| arguments.get(1).is_some_and(|name| name == "train"));
    if let Some(train) = train {
        let known: Vec<&str> = train.get_arguments().filter_map(clap::Arg::get_long).collect();
        (arguments, flags) = settings::take_flags(arguments, &known)?;
    }
    let matches = cli.get_matches_from(arguments);
    let Cli { command } = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    Ok((command, flags))
}

fn main() -> ExitCode {
    match parse() {
        Ok((command, flags)) => run(command, &flags),
        Err(error) => failed(error),
    }
}

fn failed(error: Error) -> ExitCode {
    output::note(format!("error: {error}"));
    ExitCode::FAILURE
}

fn run(command: Command, flags: &Given) -> ExitCode {
    let outlives_readers = match command {
        Command::Train(_) => true,  // it saves first
        Command::Export(_) => true, // llama.cpp, which it asks, may end before it has read
        #[cfg(feature = "serve")]
        Command::Serve(_) => true, // clients go away all the time
        _ => false,
    };
    if !outlives_readers {
        sigpipe::reset(); // `toolcall … | head` ends as other programs do
    }
    let outcome = match command {
        Command::Train(arguments) => train::run(&arguments, flags),
        Command::Chat(arguments) => chat::run(&arguments),
        #[cfg(feature = "serve")]
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Push(arguments) => push::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Data(arguments) => data::run(&arguments),
        Command::Augment(arguments) => augment::run(&arguments),
        Command::Devices => devices::run(),
    };
    outcome.unwrap_or_else(failed)
}
