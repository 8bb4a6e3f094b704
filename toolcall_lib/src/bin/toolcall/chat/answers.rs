//! Answers the calls of a model: with a function, a program, or what the user types.

use super::program::Program;
use super::samples;
use crate::output::{note, print};
use std::collections::HashSet;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;
use toolcall_lib::tool::{self, load_tools};
use toolcall_lib::{Error, Model, Result, Tool, ToolCall, ToolSchema, interrupt};

/// The tools of a chat, and the programs that answer their calls.
#[derive(clap::Args)]
pub struct ToolsArguments {
    /// JSON file with the schemas of your tools, in the form of OpenAI, Anthropic or MCP. Default:
    /// the tools that the model was trained with, or else two samples
    #[arg(long)]
    tools: Option<PathBuf>,
    /// Program that answers the calls of a tool: it reads their arguments as JSON on its standard
    /// input and writes the answer; an exit code other than 0 is an error of the tool. May be given
    /// for several tools. The calls of the other tools are answered by what you type
    #[arg(long, value_name = "NAME=COMMAND")]
    run: Vec<Program>,
    /// Seconds that a program of --run may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    run_limit: f64,
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("expected a number of seconds above 0, at most a day".to_string()),
    }
}

/// The tools of a chat.
pub struct Answers {
    /// The schemas that the model is shown.
    pub schemas: Vec<ToolSchema>,
    /// They are the samples, for which there are sample requests.
    pub are_samples: bool,
    functions: Vec<Tool>,
    programs: Vec<Program>,
    limit: Duration,
}

impl Answers {
    /// Takes the tools of the file, else `given`, else those of the model, else the samples.
    ///
    /// # Errors
    /// The file cannot be read, or --run names a tool that does not exist.
    pub fn new(arguments: &ToolsArguments, given: Vec<ToolSchema>, model: &Model) -> Result<Self> {
        let is_own = arguments.tools.is_some() || !given.is_empty();
        let mut schemas = match &arguments.tools {
            Some(file) => load_tools(file)?,
            None if !given.is_empty() => given,
            None => model.tools.clone(),
        };
        let are_samples = schemas.is_empty() && arguments.tools.is_none();
        if are_samples {
            note(why_samples(model));
            schemas = samples::tools().into_iter().map(|tool| tool.schema).collect();
        }
        let mut run = HashSet::new();
        if let Some(program) = arguments.run.iter().find(|program| !run.insert(&program.tool)) {
            let problem = "is given twice; one program answers the calls of a tool";
            return Err(Error::invalid(format!("--run {}", program.tool), problem));
        }
        let names: Vec<&str> = schemas.iter().map(ToolSchema::name).collect();
        if let Some(program) = arguments.run.iter().find(|run| !names.contains(&&*run.tool)) {
            let problem = format!("there is no such tool; the tools are: {}", names.join(", "));
            return Err(Error::invalid(format!("--run {}", program.tool), problem));
        }
        Ok(Self {
            functions: match is_own {
                true => Vec::new(), // one may look like a sample, and do something else
                false => samples::functions_of(&schemas),
            },
            schemas,
            are_samples,
            programs: arguments.run.clone(),
            limit: Duration::from_secs_f64(arguments.run_limit),
        })
    }

    /// The answer to a call, which is printed; `None` if the user ends the input instead.
    ///
    /// # Errors
    /// A program that cannot be started, or no user to type the answer.
    pub fn answer(&self, call: &ToolCall) -> Result<Option<String>> {
        let answer = match self.programs.iter().find(|program| program.tool == call.name) {
            Some(program) => match self.misfit(call) {
                Some(problem) => problem,
                None => {
                    let _run = interrupt::Guard::start()?;
                    program.answer(call, self.limit)?
                }
            },
            None if self.functions.iter().any(|tool| tool.name() == call.name) => {
                tool::answer(&self.functions, call)
            }
            None => return typed(&call.name),
        };
        print(format!("tool      > {answer}"))?;
        Ok(Some(answer))
    }

    /// The error for a call whose arguments do not fit its tool.
    fn misfit(&self, call: &ToolCall) -> Option<String> {
        let schema = self.schemas.iter().find(|schema| schema.name() == call.name)?;
        let misfit = call.check(schema).err()?;
        Some(format!("error: {misfit}"))
    }
}

/// Returns the note that the model gets sample tools, and why.
fn why_samples(model: &Model) -> String {
    let reason = match model.training {
        Some(_) => "its data had more than 32, or none that 1 in 50 rows calls",
        None => "it names none",
    };
    format!(
        "the model's own tools are not known ({reason}), so it gets two samples; give yours \
        with --tools"
    )
}

/// Reads the answer of a tool from the user; `None` if a terminal's input ends.
fn typed(tool: &str) -> Result<Option<String>> {
    let (stdin, mut line) = (std::io::stdin(), String::new());
    let shown = format!("tool      > (the answer of {tool}) ");
    let mut out = std::io::stdout();
    let asked = write!(out, "{shown}").and_then(|()| out.flush());
    asked.map_err(Error::io("standard output"))?;
    let read = stdin
        .lock()
        .read_line(&mut line)
        .map_err(Error::io("standard input"))?;
    if !stdin.is_terminal() {
        print(line.trim_end())?;
        if read == 0 {
            let problem = format!(
                "ended before an answer of `{tool}`; give one line per call, or --run {tool}=COMMAND"
            );
            return Err(Error::invalid("standard input", problem));
        }
    }
    Ok((read > 0).then(|| line.trim_end().to_string()))
}
