//! The command line: train, chat, serve, evaluate, export, publish, inspect, and make the data.

mod augment;
mod chat;
mod data;
mod dataset;
mod devices;
mod eval;
mod export;
mod inspect;
mod model;
mod output;
mod progress;
mod push;
#[cfg(feature = "serve")]
mod serve;
mod train;
mod values;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;
use toolcall_lib::cpu::{self, Isa};
use toolcall_lib::train::settings::{self, Given};
use toolcall_lib::{Error, Result};

/// Exit code of a run that the user stopped, as shells have it.
const INTERRUPTED: u8 = 130;

/// Fine-tune small open language models for function calling.
///
/// A first session:
///   toolcall data
///   toolcall train --data out/data.json --out out/tuned
///   toolcall eval --model out/tuned --data data/tool_heldout.json
///   toolcall chat --model out/tuned
#[derive(Parser)]
#[command(name = "toolcall", version, verbatim_doc_comment)]
struct Cli {
    /// Use no newer instructions of the processor than portable, avx2, avx512, avx512_bf16 or amx
    /// [env: TOOLCALL_MAX_CPU_ISA]
    #[arg(long, global = true, value_name = "ISA", hide_short_help = true)]
    max_cpu_isa: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fine-tune a model on conversations and save it as a Hugging Face folder
    #[command(allow_negative_numbers = true)]
    Train(train::Arguments),
    /// Ask a model; its tool calls are run and their results go back to it
    #[command(allow_negative_numbers = true)]
    Chat(chat::Arguments),
    /// Answer the requests of clients of OpenAI's API, and show a page to try a model
    #[cfg(feature = "serve")]
    Serve(serve::Arguments),
    /// Score a model on conversations: right tools, exact arguments, over-calling
    #[command(allow_negative_numbers = true)]
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

/// The command, and the settings among its flags: `train` takes every setting as a flag.
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
    let Cli { max_cpu_isa, command } = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match max_cpu_isa {
        Some(name) => cpu::limit(Isa::named(&name)?)?,
        None => cpu::limit_by_environment()?,
    }
    Ok((command, flags))
}

fn main() -> ExitCode {
    match parse() {
        Ok((command, flags)) => run(command, &flags),
        Err(error) => failed(error),
    }
}

fn failed(error: Error) -> ExitCode {
    output::tell(format!("error: {error}"));
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
