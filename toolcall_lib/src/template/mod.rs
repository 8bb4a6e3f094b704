//! Conversation and tools to the exact text, by the model's own Jinja chat template.

mod calls;
mod limits;
mod json;
mod environment;
mod support;

pub(crate) use calls::{CallSyntax, tags};

use crate::conversation::Message;
use crate::error::{Error, Result};
use crate::guard::{LONGEST, bounded};
use crate::tool::ToolSchema;
use environment::{NAME, environment, invalid};
use limits::LONGEST_TEXT;
use minijinja::Environment;
use minijinja::value::Serde;
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

/// A model's chat template: the only renderer, for training and for inference.
///
/// It prints byte for byte what transformers' `apply_chat_template` prints.
#[derive(Clone)]
pub struct ChatTemplate {
    /// Ask a thinking model to think before it answers: `enable_thinking` of Qwen3's template. Off by
    /// default: a prompt then holds an empty think block. Templates that do not know it are not affected.
    pub thinking: bool,
    source: Arc<str>,
    special_tokens: Map<String, Value>,
    environment: Arc<Environment<'static>>,
    /// Set when it took too long: it is not tried again.
    given_up: Arc<AtomicBool>,
}

impl ChatTemplate {
    /// A template from its Jinja source. Of `tokenizer_config` (the content of `tokenizer_config.json`) it
    /// takes the special tokens that it may print, such as `bos_token` and `eos_token`.
    ///
    /// # Errors
    /// The source is not Jinja; the message names the line. Or it is longer than any template needs to be.
    pub fn new(source: &str, tokenizer_config: &Map<String, Value>) -> Result<Self> {
        let owned = source.to_string();
        let environment = Arc::new(bounded(NAME, move || environment(&owned))??);
        let special_tokens = special_tokens(tokenizer_config);
        Ok(Self {
            thinking: false,
            source: source.into(),
            special_tokens,
            environment,
            given_up: Arc::default(),
        })
    }

    /// The Jinja source, to be saved as `chat_template.jinja`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Text of `messages` as they stand (no prompt for a reply at the end).
    ///
    /// # Errors
    /// The template refuses the messages (say, two user turns in a row), asks for something they lack, or takes more time or
    /// memory than a template needs.
    pub fn render(&self, messages: &[Message], tools: &[ToolSchema]) -> Result<String> {
        self.render_with(messages, tools, false)
    }

    /// The text that a model is given so that it writes the next assistant turn.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn render_prompt(&self, messages: &[Message], tools: &[ToolSchema]) -> Result<String> {
        self.render_with(messages, tools, true)
    }

    fn render_with(&self, messages: &[Message], tools: &[ToolSchema], prompt: bool) -> Result<String> {
        let mut context = self.special_tokens.clone();
        context.insert("messages".to_string(), json!(messages));
        context.insert("tools".to_string(), json!((!tools.is_empty()).then_some(tools)));
        context.insert("documents".to_string(), Value::Null);
        context.insert("add_generation_prompt".to_string(), json!(prompt));
        context.insert("enable_thinking".to_string(), json!(self.thinking));
        if self.given_up.load(Relaxed) {
            return Err(Error::invalid(NAME, "took too long before"));
        }
        let (environment, started) = (self.environment.clone(), Instant::now());
        let render = move || {
            let template = environment.get_template(NAME)?;
            template.render(Serde(context))
        };
        let text = bounded(NAME, move || render().map_err(invalid)).inspect_err(|_| {
            self.given_up.store(started.elapsed() > LONGEST, Relaxed);
        })??;
        match text.len() {
            0..=LONGEST_TEXT => Ok(text),
            len => Err(Error::invalid(
                NAME,
                format!("it writes {len} bytes, more than {LONGEST_TEXT}"),
            )),
        }
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("thinking", &self.thinking)
            .field("special_tokens", &self.special_tokens)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// The prompt of a home-made format that no model was trained on, and that shows the model no tools.
///
/// A model that was tuned with its chat template and is then asked like this answers with garbage.
/// It is here to show that; ask with [`ChatTemplate::render_prompt`].
pub fn legacy_prompt(user: &str) -> String {
    format!("<|user|>\n{user}\n<|assistant|>\n")
}

/// The special tokens of a `tokenizer_config.json`: every `…_token` that is a string or an object with its
/// `content`.
fn special_tokens(tokenizer_config: &Map<String, Value>) -> Map<String, Value> {
    let text = |value: &Value| {
        value
            .as_str()
            .or_else(|| value.get("content")?.as_str())
            .map(Value::from)
    };
    let tokens = tokenizer_config.iter().filter(|(key, _)| key.ends_with("_token"));
    tokens
        .filter_map(|(key, value)| Some((key.clone(), text(value)?)))
        .collect()
}
