//! Settings of a reply: sampling, tool choice, constraint.

use super::ToolChoice;
use crate::device::Device;
use crate::error::{Error, Result, short};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Settings of a reply. Names and meanings are those of transformers' `GenerationConfig` and, for
/// tools, those of OpenAI's API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerateConfig {
    /// Most tokens of a reply. A call that is cut off here is malformed, and the
    /// [`Generation`](super::Generation) is not `finished`.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 is greedy decoding: always the most likely token.
    pub temperature: f64,
    /// Keeps the `k` most likely tokens.
    pub top_k: Option<usize>,
    /// Keeps the most likely tokens whose probabilities sum to `p`.
    pub top_p: Option<f64>,
    /// Keeps the tokens that are at least `p` times as likely as the most likely one.
    pub min_p: Option<f64>,
    /// Divides the positive logits of tokens that occur in the prompt or the reply, and multiplies
    /// the negative ones; from 0.01 to 100, and 1 changes nothing.
    pub repetition_penalty: f64,
    /// Seed of the sampling.
    pub seed: u64,
    /// Lets the model decide about calls, demands one, forbids them, or names the tool.
    pub tool_choice: ToolChoice,
    /// Allows more than one call in a reply that is constrained to the tools.
    pub parallel_tool_calls: bool,
    /// Constrains every call to the tools that are offered: its name is one of their names, and its
    /// arguments fit the schema. Text outside of calls is free. A reply also ends before a call
    /// that it has made already: a model that repeats one is in a loop, and the caller would run it
    /// twice. Set it to false to see what a model writes by itself; a `tool_choice` other than
    /// `auto` or a `json_schema` constrains the reply anyway, calls included.
    pub constrained: bool,
    /// JSON schema of the object that an answer without calls must be, like `response_format` of
    /// OpenAI's API; without it, an answer is any text. Where tools are offered, the model may call
    /// them instead.
    pub json_schema: Option<Value>,
    /// Least confidence of a call (see
    /// [`Generation::confidences`](super::Generation::confidences)). A reply with a less confident
    /// call is withheld, and [`unsure_reply`](Self::unsure_reply) takes its place: a question, or
    /// the announcement that a person takes over. 0 withholds nothing. With another value, text is
    /// handed over only when the reply is complete, and a chat template with another call syntax
    /// than that of Hermes and Qwen is refused, because its calls have no confidence.
    pub min_confidence: f32,
    /// Text that replaces a reply with an unsure call.
    pub unsure_reply: String,
    /// Number of likeliest tokens to report for each token, from the model's own distribution (see
    /// [`Generation::top_logprobs`](super::Generation::top_logprobs)).
    pub top_logprobs: usize,
    /// Variables for the chat template besides messages and tools, such as `{"enable_thinking":
    /// true}`.
    pub chat_template_kwargs: Map<String, Value>,
    /// Device that runs the model. `auto` takes a GPU if there is one that can.
    pub device: Device,
}

impl Default for GenerateConfig {
    fn default() -> Self {
        Self {
            max_new_tokens: 256,
            temperature: 0.0,
            top_k: None,
            top_p: None,
            min_p: None,
            repetition_penalty: 1.0,
            seed: 42,
            tool_choice: ToolChoice::Auto,
            parallel_tool_calls: true,
            constrained: true,
            json_schema: None,
            min_confidence: 0.0,
            unsure_reply: "I am not sure what to do. Can you say it in other words?".to_string(),
            top_logprobs: 0,
            chat_template_kwargs: Map::new(),
            device: Device::Auto,
        }
    }
}

impl GenerateConfig {
    /// Refuses settings with invalid values, which a [`Generator`](super::Generator) does too.
    ///
    /// # Errors
    /// Names the first invalid setting, and what it may be.
    pub fn check(&self) -> Result<()> {
        let refuse = |name: &str, problem: String| Err(Error::invalid(name, problem));
        if self.temperature < 0.0 || self.temperature.is_nan() {
            let meaning = "0 is greedy, 1 samples from the model";
            return refuse(
                "temperature",
                format!("{} is negative; {meaning}", short(self.temperature)),
            );
        }
        if self.top_k == Some(0) {
            return refuse(
                "top_k",
                "0 would keep no token; leave `top_k` out to keep all".to_string(),
            );
        }
        for (name, p) in [("top_p", self.top_p), ("min_p", self.min_p)] {
            if let Some(p) = p.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
                return refuse(name, format!("{} is not in (0, 1]", short(p)));
            }
        }
        if !(0.0..=1.0).contains(&self.min_confidence) {
            let problem = format!("{} is not in [0, 1]; 0 withholds no call", self.min_confidence);
            return refuse("min_confidence", problem);
        }
        if !(0.01..=100.0).contains(&self.repetition_penalty) {
            let problem = format!(
                "{} is not in [0.01, 100]; 1 changes nothing",
                short(self.repetition_penalty)
            );
            return refuse("repetition_penalty", problem);
        }
        Ok(())
    }
}
