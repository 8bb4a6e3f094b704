//! `toolcall chat`.

use super::ModelArgument;
use super::output::{note, print};
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use toolcall_lib::device::Device;
use toolcall_lib::generate::{GenerateConfig, PrefixCache, ToolChoice, generate_cached};
use toolcall_lib::{Error, Message, Model, Result, Tool, ToolCall, ToolSchema, reply, tool};

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
    #[command(flatten)]
    settings: Settings,
}

/// How replies are generated. What is not given is as the model's generation_config.json has it, and else greedy
#[derive(clap::Args)]
struct Settings {
    /// Longest reply, in tokens
    #[arg(long)]
    max_new_tokens: Option<usize>,
    /// 0 takes the most likely token, 1 samples from the model
    #[arg(long)]
    temperature: Option<f64>,
    /// Sample from so many of the most likely tokens
    #[arg(long)]
    top_k: Option<usize>,
    /// Sample from the most likely tokens whose probabilities sum to this
    #[arg(long)]
    top_p: Option<f64>,
    /// Sample from the tokens that are at least so many times as likely as the most likely one
    #[arg(long)]
    min_p: Option<f64>,
    /// Above 1, tokens that were there already become less likely
    #[arg(long)]
    repetition_penalty: Option<f64>,
    /// Seed of the sampling
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Whether the answer to a message calls tools: auto, required, none, or the name of a tool
    #[arg(long, default_value_t)]
    tool_choice: ToolChoice,
    /// One call in a reply at most
    #[arg(long)]
    single_call: bool,
    /// Do not hold calls to the tools: see what the model writes by itself
    #[arg(long)]
    unconstrained: bool,
    /// Withhold a reply with a call that the model is less sure of, from 0 to 1, and say
    /// --unsure-reply instead. `toolcall eval` shows how sure a model is of right and wrong calls
    #[arg(long, default_value_t = 0.0)]
    min_confidence: f32,
    /// What is said instead of a call that the model is not sure of: a question, or that a person
    /// takes over
    #[arg(long, default_value_t = GenerateConfig::default().unsure_reply)]
    unsure_reply: String,
    /// On what the model runs: auto (a GPU, if there is one that can), cpu, or cuda
    #[arg(long, default_value_t)]
    device: Device,
}

impl Settings {
    fn of(&self, model: &Model) -> Result<GenerateConfig> {
        let own = GenerateConfig::of(model)?;
        Ok(GenerateConfig {
            max_new_tokens: self.max_new_tokens.unwrap_or(own.max_new_tokens),
            temperature: self.temperature.unwrap_or(own.temperature),
            top_k: self.top_k.or(own.top_k),
            top_p: self.top_p.or(own.top_p),
            min_p: self.min_p.or(own.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(own.repetition_penalty),
            seed: self.seed,
            tool_choice: self.tool_choice.clone(),
            parallel_tool_calls: !self.single_call,
            constrained: !self.unconstrained,
            min_confidence: self.min_confidence,
            unsure_reply: self.unsure_reply.clone(),
            device: self.device,
            ..own
        })
    }
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
        print(format!("user      > {prompt}"))?;
        chat.messages.clear();
        chat.turn(prompt)?;
        print("")?;
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
        let model = arguments.model.load()?;
        for setting in GenerateConfig::not_read(&model) {
            note(format!(
                "note: generation_config.json: {setting} is not supported, and left out"
            ));
        }
        Ok(Self {
            config: arguments.settings.of(&model)?,
            model,
            schemas: tools.iter().map(|tool| tool.schema.clone()).collect(),
            tools,
            cache: PrefixCache::default(),
            messages: Vec::new(),
        })
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
            match line.trim() {
                "" => return Ok(ExitCode::SUCCESS),
                said => self.turn(said)?,
            }
        }
    }

    /// One message of the user, and everything that follows until the model answers without a call.
    fn turn(&mut self, said: &str) -> Result<()> {
        self.messages.push(Message::user(said));
        let mut config = self.config.clone();
        for _ in 0..MOST_ROUNDS {
            let (messages, cache) = (&self.messages, &mut self.cache);
            let generation = generate_cached(&self.model, messages, &self.schemas, &config, cache, |_| true)?;
            config.tool_choice = ToolChoice::Auto; // the choice was about the answer to the message
            if let Some(withheld) = &generation.withheld {
                for (call, sure) in reply::parse_with(withheld, &self.model.template, &self.schemas)
                    .tool_calls
                    .iter()
                    .zip(&generation.confidences)
                {
                    print(format!("withheld  > {}", asked(call, *sure)))?;
                }
            }
            let reply = reply::parse_with(&generation.text, &self.model.template, &self.schemas);
            let calls = reply.tool_calls.clone();
            if !reply.content.is_empty() {
                print(format!("assistant > {}", reply.content))?;
            }
            self.messages.push(reply.into_message());
            for (call, sure) in calls.iter().zip(&generation.confidences) {
                print(format!("call      > {}", asked(call, *sure)))?;
                let answer = tool::answer(&self.tools, call);
                print(format!("tool      > {answer}"))?;
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
}

/// A call with how sure the model is of it.
fn asked(call: &ToolCall, confidence: f32) -> String {
    let arguments = serde_json::Value::Object(call.arguments.clone());
    format!("{} {arguments}  (confidence {confidence:.3})", call.name)
}
