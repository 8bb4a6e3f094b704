//! Settings of a reply: sampling, tool choice, constraint.

use crate::device::Device;
use crate::error::{Error, Result, nearest_within, short, shortened};
use crate::model::Model;
use crate::tool::ToolSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;
use std::str::FromStr;

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

/// Keys of a `generation_config.json` that are read here, or that do not change what is generated.
const OF_GENERATION: [&str; 18] = [
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "max_new_tokens",
    "eos_token_id",
    "bos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "transformers_version",
    "use_cache",
    "cache_implementation",
    "max_length",
    "return_dict_in_generate",
    "trust_remote_code",
    "chat_format",
];

/// Keys of transformers whose names are almost those of [`OF_GENERATION`].
const NEIGHBOURS: [&str; 3] = ["min_length", "min_new_tokens", "top_h"];

/// Keys of transformers for which 1 changes nothing; for others it is 0.
const NEUTRAL_AT_1: [&str; 7] = [
    "num_beams",
    "num_beam_groups",
    "num_return_sequences",
    "length_penalty",
    "encoder_repetition_penalty",
    "typical_p",
    "guidance_scale",
];

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
    /// Returns the settings that a model comes with: its `generation_config.json`, as transformers
    /// reads it. Without the file, or without `do_sample`, decoding is greedy.
    ///
    /// # Errors
    /// A setting has an invalid value.
    pub fn of(model: &Model) -> Result<Self> {
        Self::read(&model.generation_config)
    }

    /// Reads the content of a `generation_config.json`, with transformers' defaults for what it
    /// leaves open.
    pub(super) fn read(file: &Map<String, Value>) -> Result<Self> {
        // 1. Readers that name the key in their error; null counts as absent.
        let given = |name: &str| file.get(name).filter(|value| !value.is_null());
        let wrong = |name: &str, value: &Value, expected: &str| {
            Error::invalid(
                format!("generation_config.json: {name}"),
                format!("found {value}, expected {expected}"),
            )
        };
        let number = |name: &str| match given(name) {
            None => Ok(None),
            Some(value) => value
                .as_f64()
                .map(Some)
                .ok_or_else(|| wrong(name, value, "a number")),
        };
        let count = |name: &str| match given(name) {
            None => Ok(None),
            Some(value) => value
                .as_u64()
                .map(Some)
                .ok_or_else(|| wrong(name, value, "an integer, 0 or more")),
        };
        let share = |name: &str| match number(name)? {
            Some(share) if !(0.0..=1.0).contains(&share) => {
                Err(wrong(name, &file[name], "a number from 0 to 1"))
            }
            share => Ok(share),
        };
        let sampled = match given("do_sample") {
            None => false,
            Some(value) => value
                .as_bool()
                .ok_or_else(|| wrong("do_sample", value, "true or false"))?,
        };
        // 2. Settings that also apply to greedy decoding.
        let mut config = Self {
            repetition_penalty: number("repetition_penalty")?.unwrap_or(1.0),
            ..Self::default()
        };
        if let Some(most) = count("max_new_tokens")? {
            config.max_new_tokens = most as usize;
        }
        count("max_length")?; // of prompt and reply together; a model has a limit of its own
        // 3. Sampling settings, checked even if unused; transformers' defaults are 1.0, 50 and 1.0.
        let (temperature, top_k) = (
            number("temperature")?.unwrap_or(1.0),
            count("top_k")?.unwrap_or(50),
        );
        let (top_p, min_p) = (share("top_p")?.unwrap_or(1.0), share("min_p")?);
        if sampled {
            // As in transformers, a `min_p` of 0 keeps all tokens, and a `top_p` of 0 the likeliest.
            config.temperature = if top_p > 0.0 { temperature } else { 0.0 };
            config.top_k = Some(top_k as usize).filter(|&k| k > 0);
            config.top_p = Some(top_p).filter(|&p| p > 0.0 && p < 1.0);
            config.min_p = min_p.filter(|&p| p > 0.0);
        }
        config.check()?;
        Ok(config)
    }

    /// Lists the settings of a model's `generation_config.json` that change what transformers
    /// generates and that are not read here, each as `name = value`, and those whose name is almost
    /// one that is read.
    pub fn not_read(model: &Model) -> Vec<String> {
        let changes = |(name, value): (&String, &Value)| {
            let known = OF_GENERATION.contains(&name.as_str()) || name.starts_with('_');
            if known || value.is_null() {
                return None;
            }
            let told = format!("{name} = {}", shortened(&value.to_string(), 100));
            // A known key of transformers is nearest to itself.
            let near = nearest_within(name, NEIGHBOURS.into_iter().chain(OF_GENERATION), 2);
            if let Some(near) = near.filter(|near| near != name) {
                return Some(format!("{told} (did you mean `{near}`?)"));
            }
            let neutral = if NEUTRAL_AT_1.contains(&name.as_str()) {
                1.0
            } else {
                0.0
            };
            let off = *value == false
                || value.as_f64() == Some(neutral)
                || value.as_array().is_some_and(Vec::is_empty);
            (!off).then_some(told)
        };
        model.generation_config.iter().filter_map(changes).collect()
    }

    /// Makes these the settings that `model` comes with; they are saved with it. Settings that do
    /// not apply are removed.
    pub fn store_in(&self, model: &mut Model) {
        let sampled = self.temperature > 0.0;
        let when_sampled = |value: Value| Some(value).filter(|_| sampled);
        let penalty = Some(self.repetition_penalty).filter(|&penalty| penalty != 1.0);
        let settings = [
            ("do_sample", Some(json!(sampled))),
            ("temperature", when_sampled(json!(self.temperature))),
            ("top_k", when_sampled(json!(self.top_k.unwrap_or(0)))),
            ("top_p", when_sampled(json!(self.top_p.unwrap_or(1.0)))),
            ("min_p", self.min_p.and_then(|p| when_sampled(json!(p)))),
            ("repetition_penalty", penalty.map(|penalty| json!(penalty))),
            ("max_new_tokens", Some(json!(self.max_new_tokens))),
        ];
        for (name, value) in settings {
            match value {
                Some(value) => model.generation_config.insert(name.to_string(), value),
                None => model.generation_config.shift_remove(name),
            };
        }
    }

    /// Refuses settings with invalid values.
    pub(super) fn check(&self) -> Result<()> {
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

/// The `tool_choice` of OpenAI's API: whether the model may, must or must not call tools. In JSON it
/// is written as below; the command line takes the three words or the name of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum ToolChoice {
    /// `"auto"`: the model writes text, calls one or more tools, or both.
    #[default]
    Auto,
    /// `"required"`: the model calls one or more tools and writes no text.
    Required,
    /// `"none"`: the model calls no tool, although it sees them.
    None,
    /// `{"type": "function", "function": {"name": …}}`: the model calls this tool once and writes
    /// no text.
    Function(String),
}

impl ToolChoice {
    /// Returns the tools that may be called.
    ///
    /// # Errors
    /// A call is required, but no tool is offered or none has the name.
    pub(crate) fn among(&self, tools: &[ToolSchema]) -> Result<Vec<ToolSchema>> {
        let names = || tools.iter().map(ToolSchema::name).collect::<Vec<_>>().join(", ");
        let refuse = |problem: String| Err(Error::invalid("tool_choice", problem));
        match self {
            Self::None => Ok(Vec::new()),
            Self::Required if tools.is_empty() => {
                refuse("`required`, but no tool is offered; offer one or choose `auto`".to_string())
            }
            Self::Auto | Self::Required => Ok(tools.to_vec()),
            Self::Function(name) => match tools.iter().find(|tool| tool.name() == name) {
                Some(tool) => Ok(vec![tool.clone()]),
                None if tools.is_empty() => refuse(format!(
                    "`{name}` is required, but no tool is offered; offer \
                    it or choose `auto`"
                )),
                None => refuse(format!(
                    "there is no tool `{name}`; the offered tools are {}",
                    names()
                )),
            },
        }
    }
}

impl FromStr for ToolChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(match text {
            "auto" => Self::Auto,
            "required" => Self::Required,
            "none" => Self::None,
            name => Self::Function(name.to_string()),
        })
    }
}

impl fmt::Display for ToolChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Required => "required",
            Self::None => "none",
            Self::Function(name) => name,
        })
    }
}

impl From<ToolChoice> for Value {
    fn from(choice: ToolChoice) -> Self {
        match choice {
            ToolChoice::Function(name) => json!({"type": "function", "function": {"name": name}}),
            word => word.to_string().into(),
        }
    }
}

impl TryFrom<Value> for ToolChoice {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self> {
        let name = &value["function"]["name"];
        match (value.as_str(), name.as_str()) {
            (Some(word @ ("auto" | "required" | "none")), _) => Ok(word.parse().unwrap_or_default()),
            (None, Some(name)) => Ok(Self::Function(name.to_string())),
            _ => {
                let expected =
                    r#""auto", "required", "none" or {"type": "function", "function": {"name": …}}"#;
                Err(Error::invalid(
                    "tool_choice",
                    format!("expected {expected}, got {value}"),
                ))
            }
        }
    }
}
