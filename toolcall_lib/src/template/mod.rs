//! Chat templates: turn a conversation and its tools into exactly the text that the model was
//! trained on.
//!
//! [`ChatTemplate`] runs the model's own Jinja template, for training and for inference, and prints
//! byte for byte what transformers' `apply_chat_template` prints. It adapts the form of messages to
//! the template (`needs`, `offered`), finds out how the template writes calls (`calls`), and limits
//! what the template may use, because a template is a program by a stranger (`limits`). A template
//! that cannot show tools is replaced by ChatML with Hermes calls (`support`).

mod calls;
mod environment;
mod json;
mod limits;
mod needs;
mod offered;
mod support;

use crate::conversation::{Conversation, Message, says_something};
use crate::error::{Error, Result};
use crate::guard::bounded;
use crate::syntax::{CallSyntax, tags};
use crate::tool::ToolSchema;
use environment::{environment, invalid};
use minijinja::Environment;
use minijinja::value::Serde;
use offered::Needs;
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Place of a thought before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thought {
    /// The template knows no thoughts.
    Nowhere,
    /// The reply may begin with a thought.
    First,
    /// The prompt ends inside of a thought.
    Begun,
}

/// A model's chat template: the only renderer, for training and for inference.
///
/// It prints byte for byte what transformers' `apply_chat_template` prints.
#[derive(Clone)]
pub struct ChatTemplate {
    /// Asks a thinking model to think before it answers: `enable_thinking` of Qwen3's template. Off
    /// by default: a prompt then holds an empty think block. Templates that do not know the
    /// variable are not affected.
    pub thinking: bool,
    /// Variables for the template besides messages and tools, like `chat_template_kwargs` of vLLM
    /// and TRL. They override `thinking`.
    pub kwargs: Map<String, Value>,
    source: Arc<str>,
    /// Other templates of the model, by name. If tools are offered, the one called `tool_use`
    /// replaces `source`.
    additional: Arc<[(String, String)]>,
    special_tokens: Map<String, Value>,
    environment: Arc<Environment<'static>>,
    needs: Arc<OnceLock<Needs>>,
    call_syntax: Arc<OnceLock<Option<CallSyntax>>>,
}

/// Name of a template in messages, and of the default one in the environment.
const NAME: &str = "chat template";
/// Name of the template that is used if tools are offered.
const TOOL_USE: &str = "tool_use";
/// Content of a reply without calls; the text that a template writes after it ends the turn.
const REPLY: &str = "some_reply";

impl ChatTemplate {
    /// Makes a template from its Jinja source. Takes the special tokens that it may print, such as
    /// `bos_token` and `eos_token`, from `tokenizer_config`, the content of
    /// `tokenizer_config.json`.
    ///
    /// # Errors
    /// The source is not Jinja (the message names the line), or it is longer than any template
    /// needs to be.
    pub fn new(source: &str, tokenizer_config: &Map<String, Value>) -> Result<Self> {
        Self::named(source, Vec::new(), tokenizer_config)
    }

    /// Makes a template with other templates of the model, by name. If tools are offered, the one
    /// called `tool_use` is used, as in transformers.
    ///
    /// # Errors
    /// A source is not Jinja, or longer than any template needs to be.
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

    /// Returns a copy with more variables, which override those that it has.
    pub fn with_kwargs(&self, kwargs: &Map<String, Value>) -> Self {
        let mut template = self.clone();
        template.kwargs.extend(kwargs.clone());
        template
    }

    /// Returns a note on each of these variables that no template of the model names: the name may
    /// be misspelled.
    pub fn unused(&self, kwargs: &Map<String, Value>) -> Vec<String> {
        kwargs.keys().filter_map(|name| self.unused_name(name)).collect()
    }

    /// Returns a note on a variable that no template of the model names.
    pub(crate) fn unused_name(&self, name: &str) -> Option<String> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let additional = self.additional.iter().map(|(_, source)| source.as_str());
        let words = additional
            .chain([self.source()])
            .flat_map(|source| source.split(|c| !is_part(c)));
        let mut same = words.filter(|word| *word == name);
        let note = || format!("the chat template does not use `{name}` of `chat_template_kwargs`");
        same.next().is_none().then(note)
    }

    /// Refuses tools that a row offers only in a variable (`xml_tools` and `python_tools`, as for
    /// SmolLM3) that no template of the model uses: the model would learn to call unknown tools.
    ///
    /// # Errors
    /// Names the variable.
    pub(crate) fn refuse_unseen_tools(&self, row: &Conversation) -> Result<()> {
        let offers = |name: &&str| row.chat_template_kwargs.get(*name).is_some_and(says_something);
        let mut offered = ["xml_tools", "python_tools"].into_iter().filter(offers);
        match offered.find(|name| row.tools.is_empty() && self.unused_name(name).is_some()) {
            Some(name) => Err(Error::invalid(
                format!("chat_template_kwargs.{name}"),
                "offers tools that the chat template of the model does not show; write them as `tools`",
            )),
            None => Ok(()),
        }
    }

    /// Returns the other templates of the model, by name; they are saved in
    /// `additional_chat_templates`.
    pub fn additional(&self) -> &[(String, String)] {
        &self.additional
    }

    /// Returns the place of a thought in the reply to a prompt of this template.
    pub(crate) fn thought(&self, prompt: &str) -> Thought {
        match prompt.trim_end().ends_with(tags::THINK) {
            true => Thought::Begun,
            false if self.thinks() => Thought::First,
            false => Thought::Nowhere,
        }
    }

    /// Returns true if the template asks the model to think before it answers.
    fn thinks(&self) -> bool {
        let asked = ["enable_thinking", "thinking"]
            .iter()
            .find_map(|name| self.kwargs.get(*name)?.as_bool());
        asked.unwrap_or(self.thinking)
    }

    /// Returns the Jinja source, which is saved as `chat_template.jinja`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Renders `messages` without a prompt for a reply at the end.
    ///
    /// # Errors
    /// The template refuses the messages (two user turns in a row, for example), needs something
    /// that they lack, or does more than a template needs to do.
    pub fn render(&self, messages: &[Message], tools: &[ToolSchema]) -> Result<String> {
        self.render_with(messages, tools, false)
    }

    /// Renders the text after which the model writes the next assistant turn.
    ///
    /// # Errors
    /// The same as [`render`](Self::render).
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

    /// Renders messages in the form that `needs` describes, with the variables that transformers
    /// passes.
    fn render_as(
        &self,
        needs: Needs,
        messages: &[Message],
        tools: &[ToolSchema],
        prompt: bool,
    ) -> Result<String> {
        let mut context = self.special_tokens.clone();
        context.insert("messages".to_string(), needs.offered(messages));
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

/// Returns the prompt of a home-made format that no model was trained on, and that shows no tools.
///
/// A model that was tuned with its chat template and is then asked like this answers with garbage.
/// This function exists to show that; ask with [`ChatTemplate::render_prompt`].
///
/// # Examples
/// ```
/// # use toolcall_lib::legacy_prompt;
/// assert_eq!(legacy_prompt("Hi!"), "<|user|>\nHi!\n<|assistant|>\n");
/// ```
pub fn legacy_prompt(user: &str) -> String {
    format!("<|user|>\n{user}\n<|assistant|>\n")
}

/// Returns the text of a token in a `tokenizer_config.json`: a string, or the `content` of an
/// object.
pub(crate) fn token_text(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

/// Returns the special tokens of a `tokenizer_config.json`: every `…_token` that has a text, and
/// those that `extra_special_tokens` names.
pub(crate) fn special_tokens(tokenizer_config: &Map<String, Value>) -> Map<String, Value> {
    let tokens = tokenizer_config.iter().filter(|(key, _)| key.ends_with("_token"));
    let extra = tokenizer_config
        .get("extra_special_tokens")
        .and_then(Value::as_object);
    tokens
        .chain(extra.into_iter().flatten())
        .filter_map(|(key, value)| Some((key.clone(), token_text(value)?.into())))
        .collect()
}
