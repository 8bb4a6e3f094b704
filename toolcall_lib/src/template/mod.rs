//! Conversation and tools to the exact text, by the model's own Jinja chat template.

mod calls;
mod environment;
mod json;
mod limits;
mod needs;
mod support;

use crate::conversation::Message;
use crate::error::Result;
use crate::guard::bounded;
use crate::syntax::CallSyntax;
use crate::tool::ToolSchema;
use environment::{NAME, environment, invalid};
use minijinja::Environment;
use minijinja::value::Serde;
use needs::Needs;
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A model's chat template: the only renderer, for training and for inference.
///
/// It prints byte for byte what transformers' `apply_chat_template` prints.
#[derive(Clone)]
pub struct ChatTemplate {
    /// Ask a thinking model to think before it answers: `enable_thinking` of Qwen3's template. Off by
    /// default: a prompt then holds an empty think block. Templates that do not know it are not affected.
    pub thinking: bool,
    /// What the template is given beside messages and tools, as `chat_template_kwargs` of vLLM and TRL. It wins over `thinking`.
    pub kwargs: Map<String, Value>,
    source: Arc<str>,
    /// Other templates of the model, by name. With tools, the one called `tool_use` takes the place of `source`.
    additional: Arc<[(String, String)]>,
    special_tokens: Map<String, Value>,
    environment: Arc<Environment<'static>>,
    needs: Arc<OnceLock<Needs>>,
    call_syntax: Arc<OnceLock<Option<CallSyntax>>>,
}

/// The name of the template that is used where tools are offered.
const TOOL_USE: &str = "tool_use";

impl ChatTemplate {
    /// A template from its Jinja source. Of `tokenizer_config` (the content of `tokenizer_config.json`) it
    /// takes the special tokens that it may print, such as `bos_token` and `eos_token`.
    ///
    /// # Errors
    /// The source is not Jinja; the message names the line. Or it is longer than any template needs
    /// to be.
    pub fn new(source: &str, tokenizer_config: &Map<String, Value>) -> Result<Self> {
        Self::named(source, Vec::new(), tokenizer_config)
    }

    /// The same with other templates of the model, by name: where tools are offered, the one called `tool_use` is used, as in
    /// transformers.
    ///
    /// # Errors
    /// One of them is not Jinja, or longer than any template needs to be.
    pub fn named(
        source: &str,
        additional: Vec<(String, String)>,
        tokenizer_config: &Map<String, Value>,
    ) -> Result<Self> {
        let mut sources = vec![(NAME.to_string(), source.to_string())];
        sources.extend(additional.iter().cloned());
        let environment = bounded(NAME, move || environment(&sources))??;
        Ok(Self {
            thinking: false,
            kwargs: Map::new(),
            source: source.into(),
            additional: additional.into(),
            special_tokens: special_tokens(tokenizer_config),
            environment: Arc::new(environment),
            needs: Arc::default(),
            call_syntax: Arc::default(),
        })
    }

    /// The same with more for the template, which wins over what it is given already.
    pub fn with_kwargs(&self, kwargs: &Map<String, Value>) -> Self {
        let mut template = self.clone();
        template.kwargs.extend(kwargs.clone());
        template
    }

    /// Other templates of the model, by name; they are saved in `additional_chat_templates`.
    pub fn additional(&self) -> &[(String, String)] {
        &self.additional
    }

    /// Whether a model is asked to think before it answers.
    pub(crate) fn thinks(&self) -> bool {
        let asked = ["enable_thinking", "thinking"]
            .iter()
            .find_map(|name| self.kwargs.get(*name)?.as_bool());
        asked.unwrap_or(self.thinking)
    }

    /// The Jinja source, to be saved as `chat_template.jinja`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Text of `messages` as they stand (no prompt for a reply at the end).
    ///
    /// # Errors
    /// The template refuses the messages (say, two user turns in a row), asks for something they
    /// lack, or does more than a template needs to do.
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
        let shows_calls = messages.iter().any(|message| !message.tool_calls.is_empty());
        let needs = if shows_calls {
            self.needs()
        } else {
            Needs::default()
        };
        self.render_as(needs, messages, tools, prompt)
    }

    fn render_as(
        &self,
        needs: Needs,
        messages: &[Message],
        tools: &[ToolSchema],
        prompt: bool,
    ) -> Result<String> {
        let mut context = self.special_tokens.clone();
        context.insert("messages".to_string(), self.offered(messages, needs));
        context.insert("tools".to_string(), json!((!tools.is_empty()).then_some(tools)));
        context.insert("documents".to_string(), Value::Null);
        context.insert("add_generation_prompt".to_string(), json!(prompt));
        context.insert("enable_thinking".to_string(), json!(self.thinking));
        context.extend(self.kwargs.clone());
        let for_tools = !tools.is_empty() && self.additional.iter().any(|(name, _)| name == TOOL_USE);
        self.environment
            .get_template(if for_tools { TOOL_USE } else { NAME })
            .and_then(|template| template.render(Serde(context)))
            .map_err(invalid)
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("thinking", &self.thinking)
            .field("kwargs", &self.kwargs)
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
/// `content`, and those that `extra_special_tokens` names.
fn special_tokens(tokenizer_config: &Map<String, Value>) -> Map<String, Value> {
    let text = |value: &Value| {
        value
            .as_str()
            .or_else(|| value.get("content")?.as_str())
            .map(Value::from)
    };
    let tokens = tokenizer_config.iter().filter(|(key, _)| key.ends_with("_token"));
    let extra = tokenizer_config
        .get("extra_special_tokens")
        .and_then(Value::as_object);
    tokens
        .chain(extra.into_iter().flatten())
        .filter_map(|(key, value)| Some((key.clone(), text(value)?)))
        .collect()
}
