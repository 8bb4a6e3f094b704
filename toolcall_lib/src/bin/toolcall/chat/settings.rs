//! Generation settings from the command line.

use toolcall_lib::device::Device;
use toolcall_lib::generate::{GenerateConfig, ToolChoice};
use toolcall_lib::{Model, Result};

/// Generation settings. Those that are not given come from the model's generation_config.json; without
/// one, decoding is greedy
#[derive(clap::Args)]
pub struct Settings {
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
    /// Text that replaces a call that the model is not sure of: a question, or the announcement that a
    /// person takes over
    #[arg(long, default_value_t = GenerateConfig::default().unsure_reply)]
    unsure_reply: String,
    /// On what the model runs: auto (a GPU, if there is one that can), cpu, or cuda
    #[arg(long, default_value_t)]
    device: Device,
}

impl Settings {
    /// These settings for a model.
    pub fn of(&self, model: &Model) -> Result<GenerateConfig> {
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
