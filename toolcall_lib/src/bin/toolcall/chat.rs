//! `toolcall chat`.

use super::ModelArgument;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use toolcall_lib::generate::{GenerateConfig, PrefixCache, generate_cached};
use toolcall_lib::{Error, Message, Model, Result, Tool, ToolSchema, reply, tool};

/// Rounds of calls and answers before a turn is given up.
const MOST_ROUNDS: usize = 5;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelArgument,
    /// What to say, in a conversation of its own; may be given several times. Without it, four sample requests
    #[arg(long)]
    prompt: Vec<String>,
    /// Keep talking in one conversation; an empty line or Ctrl-D ends it
    #[arg(long)]
    interactive: bool,
    /// Longest reply, in tokens
    #[arg(long, default_value_t = 256)]
    max_new_tokens: usize,
    /// 0 takes the most likely token, 1 samples from the model
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    /// Seed of the sampling
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

/// Start a timer for the given number of seconds.
///
/// # Arguments
/// - duration: Length of the timer in seconds.
#[tool]
fn start_timer(duration: i64) -> std::result::Result<String, String> {
    match duration {
        1.. => Ok(duration.to_string()),
        _ => Err(format!("{duration} is not positive")),
    }
}

/// Create a reminder for the given time.
///
/// # Arguments
/// - time: When to remind, as the user said it.
/// - note: What to remind the user of.
#[tool]
fn create_reminder(time: String, note: String) -> String {
    format!("I'll remind you to {note} at {time}.")
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let samples = [
        "Set a timer for 5 minutes.",
        "Remind me to take medicine at 9 PM.",
        "Set a 30 second timer.",
        "Create a reminder for tomorrow's meeting at 2 PM.",
    ];
    let mut chat = Chat::new(arguments)?;
    if arguments.interactive {
        return chat.interactive();
    }
    let given: Vec<&str> = arguments.prompt.iter().map(String::as_str).collect();
    for prompt in if given.is_empty() { &samples[..] } else { &given } {
        println!("user      > {prompt}");
        chat.messages.clear();
        chat.turn(prompt)?;
        println!();
    }
    Ok(ExitCode::SUCCESS)
}

struct Chat {
    model: Model,
    tools: Vec<Tool>,
    schemas: Vec<ToolSchema>,
    config: GenerateConfig,
    cache: PrefixCache,
    messages: Vec<Message>,
}

impl Chat {
    fn new(arguments: &Arguments) -> Result<Self> {
        let tools = vec![create_reminder_tool(), start_timer_tool()];
        let config = GenerateConfig {
            max_new_tokens: arguments.max_new_tokens,
            temperature: arguments.temperature,
            seed: arguments.seed,
            ..GenerateConfig::default()
        };
        Ok(Self {
            model: arguments.model.load()?,
            schemas: tools.iter().map(|tool| tool.schema.clone()).collect(),
            tools,
            config,
            cache: PrefixCache::default(),
            messages: Vec::new(),
        })
    }

    fn interactive(&mut self) -> Result<ExitCode> {
        let (stdin, mut line) = (std::io::stdin(), String::new());
        loop {
            if stdin.is_terminal() {
                print!("user      > ");
                std::io::stdout().flush().map_err(Error::io("standard output"))?;
            }
            line.clear();
            stdin
                .lock()
                .read_line(&mut line)
                .map_err(Error::io("standard input"))?;
            match line.trim() {
                "" => return Ok(ExitCode::SUCCESS),
                said => self.turn(said)?,
            }
        }
    }

    /// One message of the user, and everything that follows until the model answers without a call.
    fn turn(&mut self, said: &str) -> Result<()> {
        self.messages.push(Message::user(said));
        for _ in 0..MOST_ROUNDS {
            let (messages, cache) = (&self.messages, &mut self.cache);
            let generation =
                generate_cached(&self.model, messages, &self.schemas, &self.config, cache, |_| {
                    true
                })?;
            let reply = reply::parse(&generation.text);
            let calls = reply.tool_calls.clone();
            if !reply.content.is_empty() {
                println!("assistant > {}", reply.content);
            }
            self.messages.push(reply.into_message());
            for call in &calls {
                println!(
                    "call      > {} {}",
                    call.name,
                    serde_json::Value::Object(call.arguments.clone())
                );
                let answer = tool::answer(&self.tools, call);
                println!("tool      > {answer}");
                self.messages.push(Message::tool(&call.name, answer));
            }
            if calls.is_empty() {
                return Ok(());
            }
        }
        println!("(stopped after {MOST_ROUNDS} rounds of calls)");
        Ok(())
    }
}
