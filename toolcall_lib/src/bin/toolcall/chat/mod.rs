//! `toolcall chat`.

mod answers;
mod program;
mod samples;
mod settings;

use super::model::ModelArgument;
use super::output::{note, print, tell};
use answers::{Answers, ToolsArguments};
use settings::Settings;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use toolcall_lib::generate::{Generation, Generator, ToolChoice};
use toolcall_lib::reply::{self, Reply};
use toolcall_lib::serde_json::{Value, from_value, json};
use toolcall_lib::{Conversation, Error, Message, Model, Result, Role, ToolCall, json};

/// Rounds of calls and answers before a turn is given up.
const MOST_ROUNDS: usize = 5;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgument,
    #[command(flatten)]
    tools: ToolsArguments,
    /// Message to the model, in a new conversation; may be given several times. Default: sample
    /// requests for the sample tools; with other tools, what you type
    #[arg(long)]
    prompt: Vec<String>,
    /// Instructions to the model, before the first message
    #[arg(long)]
    system: Option<String>,
    /// JSON file with the messages that a conversation begins with: a list, or an object with
    /// `messages` and perhaps `tools`. If the last message is not the model's, the model answers it
    #[arg(long)]
    messages: Option<PathBuf>,
    /// Keep talking in one conversation; an empty line or Ctrl-D ends it
    #[arg(long)]
    interactive: bool,
    #[command(flatten)]
    settings: Settings,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let begun = beginning(arguments)?;
    let waits = begun
        .messages
        .last()
        .is_some_and(|message| matches!(message.role, Role::User | Role::Tool));
    let mut chat = Chat::new(arguments, begun)?;
    let given: Vec<&str> = arguments.prompt.iter().map(String::as_str).collect();
    if waits && !given.is_empty() {
        let problem =
            "the last message has no answer yet, so --prompt cannot follow it; leave one of the two out";
        return Err(Error::invalid("--messages", problem));
    }
    if waits {
        chat.answer()?;
    }
    match (given.is_empty(), arguments.messages.is_some()) {
        _ if arguments.interactive => chat.interactive(),
        (false, _) => chat.all(&given),
        (true, true) if waits => Ok(ExitCode::SUCCESS),
        (true, false) if chat.answers.are_samples => chat.all(&samples::REQUESTS),
        (true, _) => chat.interactive(),
    }
}

/// The beginning of every conversation: the instructions, then the messages of the file, with the
/// tools of the file.
fn beginning(arguments: &Arguments) -> Result<Conversation> {
    let mut begun = match &arguments.messages {
        Some(file) => read(file)?,
        None => Conversation::default(),
    };
    let Some(system) = &arguments.system else {
        return Ok(begun);
    };
    if begun.messages.iter().any(|message| message.role == Role::System) {
        let problem = "the messages of --messages have a system message too; leave one of the two out";
        return Err(Error::invalid("--system", problem));
    }
    begun.messages.insert(0, Message::system(system));
    Ok(begun)
}

fn read(file: &Path) -> Result<Conversation> {
    let text = std::fs::read_to_string(file).map_err(Error::io(file))?;
    let wrong = |problem: String| Error::invalid(file.display(), problem);
    let row = match json::read(&text).map_err(|problem| wrong(problem.to_string()))? {
        list @ Value::Array(_) => json!({ "messages": list }),
        row => row,
    };
    from_value(row).map_err(|problem| wrong(problem.to_string()))
}

struct Chat {
    generator: Generator<Model>,
    answers: Answers,
    messages: Vec<Message>,
}

impl Chat {
    fn new(arguments: &Arguments, begun: Conversation) -> Result<Self> {
        let mut model = arguments.model.load_to_answer()?;
        let unused = model.template.unused(&begun.chat_template_kwargs);
        unused.into_iter().for_each(note);
        model.template = model.template.with_kwargs(&begun.chat_template_kwargs);
        Ok(Self {
            answers: Answers::new(&arguments.tools, begun.tools, &model)?,
            generator: {
                let config = arguments.settings.of(&model)?;
                Generator::new(model, config)
            },
            messages: begun.messages,
        })
    }

    /// Each of these in a conversation of its own.
    fn all(&mut self, prompts: &[&str]) -> Result<ExitCode> {
        let begun = self.messages.len();
        for prompt in prompts {
            print(format!("user      > {prompt}"))?;
            self.messages.truncate(begun);
            self.turn(prompt)?;
            print("")?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn interactive(&mut self) -> Result<ExitCode> {
        let (stdin, mut line) = (std::io::stdin(), String::new());
        loop {
            if stdin.is_terminal() {
                let mut out = std::io::stdout();
                let asked = write!(out, "user      > ").and_then(|()| out.flush());
                asked.map_err(Error::io("standard output"))?;
            }
            line.clear();
            stdin
                .lock()
                .read_line(&mut line)
                .map_err(Error::io("standard input"))?;
            let said = line.trim();
            if said.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            let before = self.messages.len();
            if let Err(error) = self.turn(said) {
                // A conversation that has become too long for the model ends a turn, not the talk.
                tell(format!("error: {error}"));
                self.messages.truncate(before);
            }
        }
    }

    /// One message of the user, and everything that follows until the model answers without a call.
    fn turn(&mut self, said: &str) -> Result<()> {
        self.messages.push(Message::user(said));
        self.answer()
    }

    /// Everything that follows the last message.
    fn answer(&mut self) -> Result<()> {
        let chosen = self.generator.config.tool_choice.clone();
        for round in 0..MOST_ROUNDS {
            // The choice is about the answer to the message, not about what follows a tool's
            // answer.
            self.generator.config.tool_choice = if round == 0 {
                chosen.clone()
            } else {
                ToolChoice::Auto
            };
            let generation = self.generator.reply(&self.messages, &self.answers.schemas);
            self.generator.config.tool_choice = chosen.clone();
            let generation = generation?;
            self.show_withheld(&generation)?;
            let reply = self.parse(&generation.text);
            let calls = reply.tool_calls.clone();
            if !reply.content.is_empty() {
                print(format!("assistant > {}", reply.content))?;
            }
            self.messages.push(reply.into_message());
            for (i, call) in calls.iter().enumerate() {
                print(format!(
                    "call      > {}",
                    asked(call, generation.confidences.get(i))
                ))?;
                let Some(answer) = self.answers.answer(call)? else {
                    self.drop_turn();
                    return Ok(());
                };
                self.messages.push(Message {
                    tool_call_id: call.id.clone(),
                    ..Message::tool(&call.name, answer)
                });
            }
            if calls.is_empty() {
                return Ok(());
            }
        }
        print(format!("(stopped after {MOST_ROUNDS} rounds of calls)"))
    }

    /// Takes out the last message of the user and what follows it. A turn in which nobody has
    /// answered a call is no history: two messages of the user would stand in a row.
    fn drop_turn(&mut self) {
        let asked = self
            .messages
            .iter()
            .rposition(|message| message.role == Role::User);
        self.messages.truncate(asked.unwrap_or(self.messages.len()));
    }

    fn parse(&self, text: &str) -> Reply {
        reply::parse_with(text, &self.generator.model.template, &self.answers.schemas)
    }

    fn show_withheld(&self, generation: &Generation) -> Result<()> {
        let Some(withheld) = &generation.withheld else {
            return Ok(());
        };
        let calls = self.parse(withheld).tool_calls;
        let mut calls = calls.iter().enumerate();
        calls.try_for_each(|(i, call)| {
            print(format!(
                "withheld  > {}",
                asked(call, generation.confidences.get(i))
            ))
        })
    }
}

/// A call with how sure the model is of it, where that is known.
fn asked(call: &ToolCall, confidence: Option<&f32>) -> String {
    let arguments = Value::Object(call.arguments.clone());
    let sure = confidence.map_or(String::new(), |sure| format!("  (confidence {sure:.3})"));
    format!("{} {arguments}{sure}", call.name)
}
