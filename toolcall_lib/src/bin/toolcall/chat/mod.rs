//! `toolcall chat`.

mod answers;
mod beginning;
mod program;
mod samples;
mod settings;

use super::model::ModelArgument;
use super::output::{note, print, tell};
use answers::{Answers, ToolsArguments};
use beginning::Beginning;
use settings::Settings;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use toolcall_lib::generate::{Generation, Generator, ToolChoice};
use toolcall_lib::interrupt;
use toolcall_lib::reply::{self, Reply};
use toolcall_lib::serde_json::Value;
use toolcall_lib::{Conversation, Error, Message, Model, Result, Role, ToolCall};

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
    #[command(flatten)]
    beginning: Beginning,
    /// Keep talking in one conversation; an empty line or Ctrl-D ends it
    #[arg(long)]
    interactive: bool,
    #[command(flatten)]
    settings: Settings,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let begun = arguments.beginning.read()?;
    arguments.settings.check()?;
    let last = begun.conversation.messages.last();
    let waits = !begun.open_calls.is_empty()
        || last.is_some_and(|message| matches!(message.role, Role::User | Role::Tool));
    let mut chat = Chat::new(arguments, begun.conversation)?;
    let given: Vec<&str> = arguments.prompt.iter().map(String::as_str).collect();
    if waits && !given.is_empty() {
        let problem =
            "the last message has no answer yet, so --prompt cannot follow it; leave one of the two out";
        return Err(Error::invalid("--messages", problem));
    }
    if waits && chat.answer_calls(&begun.open_calls, &[])? {
        chat.answer(begun.open_calls.is_empty())?;
    }
    match (given.is_empty(), arguments.beginning.is_given()) {
        _ if arguments.interactive => chat.interactive(),
        (false, _) => chat.all(&given),
        (true, true) if waits => Ok(ExitCode::SUCCESS),
        (true, false) if chat.answers.are_samples => chat.all(&samples::REQUESTS),
        (true, _) => chat.interactive(),
    }
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

    /// Answers each prompt in its own conversation.
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
                // If a conversation gets too long for the model, only the turn ends.
                tell(format!("error: {error}"));
                self.messages.truncate(before);
            }
        }
    }

    /// One message of the user, and everything that follows until the model answers without a call.
    fn turn(&mut self, said: &str) -> Result<()> {
        self.messages.push(Message::user(said));
        self.answer(true)
    }

    /// Everything that follows the last message. The tool choice applies to the first reply if
    /// `chosen`; what follows a call that was answered here is the model's own choice.
    fn answer(&mut self, chosen: bool) -> Result<()> {
        for round in 0..MOST_ROUNDS {
            let generation = self.generate(chosen && round == 0)?;
            self.show_withheld(&generation)?;
            let reply = self.parse(&generation.text);
            let calls = reply.tool_calls.clone();
            if !reply.content.is_empty() {
                print(format!("assistant > {}", reply.content))?;
            }
            if !generation.finished {
                let (tokens, most) = (generation.ids.len(), self.generator.config.max_new_tokens);
                print(match () {
                    () if interrupt::requested() => format!("(stopped after {tokens} tokens)"),
                    () if tokens < most => {
                        format!("(cut off after {tokens} tokens, at the end of the model's context)")
                    }
                    () => format!("(cut off after {tokens} tokens; --max-new-tokens allows {most})"),
                })?;
            }
            self.messages.push(reply.into_message());
            if calls.is_empty() || !self.answer_calls(&calls, &generation.confidences)? {
                return Ok(());
            }
        }
        self.drop_turn();
        print(format!(
            "(stopped after {MOST_ROUNDS} rounds of calls; the turn is dropped)"
        ))
    }

    /// Generates the next reply, with the tool choice of the settings if `chosen`.
    fn generate(&mut self, chosen: bool) -> Result<Generation> {
        let choice = self.generator.config.tool_choice.clone();
        if !chosen {
            self.generator.config.tool_choice = ToolChoice::Auto;
        }
        let generation = self.generator.reply(&self.messages, &self.answers.schemas);
        self.generator.config.tool_choice = choice;
        generation
    }

    /// Answers calls. Returns false, and drops the turn, if nobody answers one of them.
    fn answer_calls(&mut self, calls: &[ToolCall], confidences: &[f32]) -> Result<bool> {
        for (i, call) in calls.iter().enumerate() {
            print(format!("call      > {}", asked(call, confidences.get(i))))?;
            let Some(answer) = self.answers.answer(call)? else {
                self.drop_turn();
                return Ok(false);
            };
            self.messages.push(Message {
                tool_call_id: call.id.clone(),
                ..Message::tool(&call.name, answer)
            });
        }
        Ok(true)
    }

    /// Removes the last message of the user and what follows it. A turn that does not end with a
    /// message of the model cannot stay: the next message of the user would follow a call or its
    /// answer, which templates refuse.
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

/// A call with the model's confidence in it, where that is known.
fn asked(call: &ToolCall, confidence: Option<&f32>) -> String {
    let arguments = Value::Object(call.arguments.clone());
    let sure = confidence.map_or(String::new(), |sure| format!("  (confidence {sure:.3})"));
    format!("{} {arguments}{sure}", call.name)
}
