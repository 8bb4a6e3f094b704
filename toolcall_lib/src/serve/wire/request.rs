//! The body of `POST /v1/chat/completions`, read strictly: unknown fields that may carry meaning
//! are refused by name.

use super::fields::{Fields, LEAST, MOST};
use super::tool_choice::{self, Chosen};
use super::{Refusal, messages, response_format};
use crate::generate::{GenerateConfig, ToolChoice};
use crate::tool::{ToolSchema, doubled};
use crate::{Message, json};
use serde_json::{Map, Value, json};

/// A request that has been read.
#[derive(Clone, Debug)]
pub(crate) struct ChatRequest {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// Tools that the model is shown.
    pub tools: Vec<ToolSchema>,
    /// Tools among them that the reply may call.
    pub callable: Vec<ToolSchema>,
    /// Generation settings.
    pub config: GenerateConfig,
    /// Stop sequences: strings that end the reply.
    pub stop: Vec<String>,
    /// True if the client wants the log probabilities of the tokens.
    pub logprobs: bool,
    /// True if the reply is sent chunk by chunk.
    pub stream: bool,
    /// True if the client wants a last chunk with the usage.
    pub include_usage: bool,
    /// True if the client wants a reply without a thought.
    pub no_thought: bool,
}

/// Settings of the server for reading a request.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    /// Generation settings for fields that a request leaves out.
    pub config: GenerateConfig,
    /// Most tokens that a reply may have.
    pub max_tokens: usize,
}

/// Fields that change nothing here, with any value.
const IGNORED: [&str; 9] = [
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
];

/// Fields that are not supported, and advice for each.
const ADVICE: [(&str, &str); 8] = [
    ("functions", "is not supported; write `tools`"),
    ("function_call", "is not supported; write `tool_choice`"),
    ("audio", "is not supported; the model writes only text"),
    ("web_search_options", "is not supported; offer a search as a tool"),
    ("verbosity", "is not supported; put it into the system message"),
    ("max_output_tokens", "is not known; write `max_tokens`"),
    ("repeat_penalty", "is not known; write `repetition_penalty`"),
    (
        "guided_json",
        "is not known; write `response_format` with the type `json_schema`",
    ),
];

/// Most stop sequences, the same as OpenAI's.
const MOST_STOPS: usize = 4;
/// Most alternatives reported for each token, the same as OpenAI's.
const MOST_LOGPROBS: i128 = 20;

impl ChatRequest {
    /// Makes a request for the calls that `text` asks for.
    pub fn of_text(text: String, tools: &[ToolSchema], defaults: &Defaults) -> Self {
        let max_new_tokens = defaults.config.max_new_tokens.min(defaults.max_tokens);
        Self {
            messages: vec![Message::user(text)],
            tools: tools.to_vec(),
            callable: tools.to_vec(),
            config: GenerateConfig {
                max_new_tokens,
                tool_choice: ToolChoice::Auto,
                ..defaults.config.clone()
            },
            stop: Vec::new(),
            logprobs: false,
            stream: false,
            include_usage: false,
            no_thought: false,
        }
    }

    /// Reads a request from the object in a body. The caller has looked at its `model` before.
    ///
    /// # Errors
    /// Names the field, and says what was found and what was expected.
    pub fn read(body: Map<String, Value>, defaults: &Defaults) -> Result<Self, Refusal> {
        let mut fields = Fields::of("", body);
        fields.text("model")?;
        // 1. Form of the reply.
        let stream = fields.flag("stream")?.unwrap_or(false);
        let include_usage = stream_options(&mut fields, stream)?;
        let stop = stop(&mut fields)?;
        // 2. Conversation and tools.
        let tools = tools(&mut fields)?;
        let messages = messages::messages(&mut fields)?;
        // 3. Generation settings.
        let mut config = sampling(&mut fields, defaults)?;
        config.max_new_tokens = max_tokens(&mut fields, defaults)?;
        config.json_schema = response_format::read(&mut fields)?;
        config.parallel_tool_calls = fields.flag("parallel_tool_calls")?.unwrap_or(true);
        let Chosen { choice, callable } = tool_choice::read(&mut fields, &tools)?;
        config.tool_choice = choice;
        config.chat_template_kwargs = template_kwargs(&mut fields)?;
        let logprobs = fields.flag("logprobs")?.unwrap_or(false);
        let top = fields.integer("top_logprobs", 0..=MOST_LOGPROBS)?;
        if top.is_some() && !logprobs {
            return Err(Refusal::of_field("top_logprobs", "needs `logprobs`: true"));
        }
        config.top_logprobs = top.unwrap_or(0) as usize;
        let no_thought = no_thought(&mut fields)?;
        // 4. Everything else is refused.
        unsupported(fields)?;
        Ok(Self {
            messages,
            tools,
            callable,
            config,
            stop,
            logprobs,
            stream,
            include_usage,
            no_thought,
        })
    }
}

/// Parses a body, which must be a JSON object.
pub(crate) fn body_object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Refusal::of_body(format!(
            "the body is not valid UTF-8 after byte {}",
            error.valid_up_to()
        ))
    })?;
    json::read_object(text)
        .map_err(|problem| Refusal::of_body(format!("the body cannot be read as a JSON object: {problem}")))
}

fn stream_options(fields: &mut Fields, stream: bool) -> Result<bool, Refusal> {
    let Some(options) = fields.object("stream_options")? else {
        return Ok(false);
    };
    if !stream {
        return Err(Refusal::of_field("stream_options", "needs `stream`: true"));
    }
    let mut options = Fields::of("stream_options", options);
    let usage = options.flag("include_usage")?.unwrap_or(false);
    options.ignore(&["include_obfuscation"]);
    options.end(&[])?;
    Ok(usage)
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, Refusal> {
    let wrong = || {
        let problem = format!("expected a string that is not empty, or a list of 1 to {MOST_STOPS} of them");
        Refusal::of_field("stop", problem)
    };
    let list = match fields.take("stop") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(text) => vec![text],
    };
    let texts = list.into_iter().map(|text| match text {
        Value::String(text) if !text.is_empty() => Ok(text),
        _ => Err(wrong()),
    });
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    if texts.len() > MOST_STOPS {
        Err(wrong())
    } else {
        Ok(texts)
    }
}

/// Reads the tools.
fn tools(fields: &mut Fields) -> Result<Vec<ToolSchema>, Refusal> {
    let list = fields.list("tools")?.unwrap_or_default().into_iter();
    let tools = list.enumerate().map(|(index, value)| {
        ToolSchema::new(value).map_err(|error| Refusal::of_field(format!("tools[{index}]"), error))
    });
    let tools = tools.collect::<Result<Vec<_>, _>>()?;
    let second = doubled(&tools).next();
    match second {
        None => Ok(tools),
        Some(index) => {
            let problem = format!("a second tool `{}`; names must differ", tools[index].name());
            Err(Refusal::of_field(
                format!("tools[{index}].function.name"),
                problem,
            ))
        }
    }
}

/// Reads the sampling settings.
fn sampling(fields: &mut Fields, defaults: &Defaults) -> Result<GenerateConfig, Refusal> {
    let mut config = defaults.config.clone();
    // OpenAI's bounds; fields that are missing keep the server's settings.
    if let Some(temperature) = fields.number("temperature", 0.0..=2.0)? {
        config.temperature = temperature;
    }
    if let Some(p) = fields.number("top_p", 0.0..=1.0)? {
        config.top_p = Some(p).filter(|&p| p > 0.0);
        if p == 0.0 {
            config.temperature = 0.0; // the smallest set of tokens that has any: the likeliest one
        }
    }
    if let Some(k) = fields.integer("top_k", -1..=MOST)? {
        config.top_k = usize::try_from(k).ok().filter(|&k| k > 0); // -1 and 0 turn it off, as in vLLM
    }
    if let Some(p) = fields.number("min_p", 0.0..=1.0)? {
        config.min_p = Some(p).filter(|&p| p > 0.0);
    }
    if let Some(penalty) = fields.number("repetition_penalty", 0.01..=100.0)? {
        config.repetition_penalty = penalty;
    }
    // Without a seed, every reply is drawn anew; negative seeds count as their bits.
    let seed = fields.integer("seed", LEAST..=MOST)?;
    config.seed = seed.map_or_else(rand::random, |seed| seed as u64);
    Ok(config)
}

/// Reads the most tokens of the reply, under its old or its new name.
fn max_tokens(fields: &mut Fields, defaults: &Defaults) -> Result<usize, Refusal> {
    // Clients use the old name, the new one, or both with one value.
    let old = fields.integer("max_tokens", 1..=MOST)?;
    let new = fields.integer("max_completion_tokens", 1..=MOST)?;
    let (field, asked) = match (new, old) {
        (Some(new), Some(old)) if new != old => {
            return Err(Refusal::of_field(
                "max_tokens",
                "contradicts `max_completion_tokens`",
            ));
        }
        (Some(new), _) => ("max_completion_tokens", new as usize),
        (None, Some(old)) => ("max_tokens", old as usize),
        (None, None) => return Ok(defaults.config.max_new_tokens.min(defaults.max_tokens)),
    };
    if asked > defaults.max_tokens {
        let most = defaults.max_tokens;
        let problem = format!(
            "found {asked}, but this server writes at most {most} tokens in a reply; its --max-tokens sets the limit"
        );
        return Err(Refusal::of_field(field, problem));
    }
    Ok(asked)
}

/// Reads `reasoning_effort`, of which only `none` has a counterpart here.
fn no_thought(fields: &mut Fields) -> Result<bool, Refusal> {
    match fields.text("reasoning_effort")?.as_deref() {
        None => Ok(false),
        Some("none") => Ok(true),
        Some(other) => Err(Refusal::of_field(
            "reasoning_effort",
            format!(
                "found `{other}`, expected `none`; to let a model think, send \
                `chat_template_kwargs`: {{\"enable_thinking\": true}}"
            ),
        )),
    }
}

fn template_kwargs(fields: &mut Fields) -> Result<Map<String, Value>, Refusal> {
    let kwargs = fields.take("chat_template_kwargs").unwrap_or(Value::Null);
    crate::conversation::template_kwargs(&kwargs)
        .map_err(|problem| Refusal::of_field("chat_template_kwargs", problem))
}

/// Accepts fields that ask for nothing, and refuses unknown ones.
fn unsupported(mut fields: Fields) -> Result<(), Refusal> {
    fields.only(
        "n",
        &[json!(1)],
        "only 1 reply per request is supported; send several requests for more",
    )?;
    for penalty in ["frequency_penalty", "presence_penalty"] {
        fields.only(
            penalty,
            &[json!(0)],
            "only 0 is supported; use `repetition_penalty` instead",
        )?;
    }
    fields.only("logit_bias", &[json!({})], "biases are not supported")?;
    fields.only("modalities", &[json!(["text"])], "the model writes only text")?;
    fields.ignore(&IGNORED);
    for (field, nothing) in [
        ("verbosity", json!("medium")), // the default
        ("functions", json!([])),
        ("function_call", json!("none")),
    ] {
        fields.ignore_value(field, &nothing);
    }
    fields.end(&ADVICE)
}
