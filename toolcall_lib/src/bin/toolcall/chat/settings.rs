//! Generation settings from the command line.

use crate::values::one_or_more;
use toolcall_lib::device::Device;
use toolcall_lib::generate::{GenerateConfig, ToolChoice};
use toolcall_lib::{Model, Result};

/// Generation settings. Those that are not given come from the model's generation_config.json;
/// without one, decoding is greedy
#[derive(clap::Args)]
pub struct Settings {
    /// Most tokens of a reply; a longer reply is cut off
    #[arg(long, value_parser = one_or_more)]
    max_new_tokens: Option<usize>,
    /// Temperature: 0 takes the most likely token, 1 samples with the model's probabilities
    #[arg(long)]
    temperature: Option<f64>,
    /// Sample from this many of the most likely tokens; 0 and -1 stand for all
    #[arg(long, value_parser = top_k)]
    top_k: Option<usize>,
    /// Sample from the most likely tokens whose probabilities sum to this
    #[arg(long)]
    top_p: Option<f64>,
    /// Sample from the tokens whose probability is at least this fraction of the most likely
    /// token's
    #[arg(long)]
    min_p: Option<f64>,
    /// Above 1, tokens that occurred before become less likely
    #[arg(long)]
    repetition_penalty: Option<f64>,
    /// Seed of the sampling
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Rule for calls in an answer: auto, required, none, or the name of a tool
    #[arg(long, default_value_t)]
    tool_choice: ToolChoice,
    /// Allow at most one call in a reply
    #[arg(long)]
    single_call: bool,
    /// Do not constrain calls to the tools: shows what the model writes by itself
    #[arg(long)]
    unconstrained: bool,
    /// Withhold a reply with a call whose confidence is below this, from 0 to 1, and answer with
    /// --unsure-reply instead. `toolcall eval` shows the confidence of right and wrong calls
    #[arg(long, default_value_t = 0.0)]
    min_confidence: f32,
    /// Text that replaces a withheld reply: a question, or the announcement that a person takes
    /// over
    #[arg(long, default_value_t = GenerateConfig::default().unsure_reply)]
    unsure_reply: String,
    /// Device that the model runs on: auto (a GPU if one can be used), cpu, or cuda
    #[arg(long, default_value_t)]
    device: Device,
}

/// Reads a number of tokens; 0 stands for all.
fn top_k(text: &str) -> std::result::Result<usize, String> {
    match text {
        "-1" => Ok(0),
        _ => text
            .parse()
            .map_err(|_| "expected a number of tokens, or 0 or -1 for all".to_string()),
    }
}

impl Settings {
    /// Returns these settings for a model.
    pub fn of(&self, model: &Model) -> Result<GenerateConfig> {
        GenerateConfig::of(model).map(|own| self.over(own))
    }

    /// Refuses invalid settings, before a model is loaded.
    pub fn check(&self) -> Result<()> {
        self.over(GenerateConfig::default()).check()
    }

    fn over(&self, own: GenerateConfig) -> GenerateConfig {
        GenerateConfig {
            max_new_tokens: self.max_new_tokens.unwrap_or(own.max_new_tokens),
            temperature: self.temperature.unwrap_or(own.temperature),
            top_k: self.top_k.or(own.top_k).filter(|&k| k > 0),
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
        }
    }
}
