//! Prompt to tokens: prefix cache, sampling, and calls that fit the tools.

mod batch;
mod confidence;
mod config;
mod constraint;
mod engine;
mod freely;
mod many;
mod prefix;
mod sampler;
mod writer;

pub use config::{GenerateConfig, ToolChoice};
pub(crate) use engine::AT_ONCE;
pub use freely::answer_freely;
pub use many::{Prompt, generate_many, generate_many_cached};
pub(crate) use many::{RowPrompt, generate_rows};
pub use prefix::PrefixCache;

// A server drives these step by step.
#[cfg(feature = "serve")]
pub(crate) use {
    batch::Batch, confidence::confidences, constraint::Constraints, many::rendered, writer::Token,
    writer::Writer,
};

use crate::conversation::Message;
use crate::error::Result;
use crate::model::Model;
use crate::tool::ToolSchema;
pub(crate) use constraint::Constraint;

/// What a model wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generation {
    /// Its tokens, without the one that ended it.
    pub ids: Vec<u32>,
    /// The same as text.
    pub text: String,
    /// For each token the natural logarithm of the probability with which it was chosen: after the repetition penalty and the
    /// constraint, and where tokens are sampled after temperature and cuts. 0 for a token that had to come.
    pub logprobs: Vec<f32>,
    /// For each token the natural logarithm of the probability that the model itself gave it,
    /// before all that; nothing for a token that had to come, which the model was not asked for.
    pub model_logprobs: Vec<Option<f32>>,
    /// For each token those that the model itself held likeliest in its place, with the natural
    /// logarithms of their probabilities: as many as [`top_logprobs`](GenerateConfig::top_logprobs)
    /// asks for, and none for a token that had to come.
    pub top_logprobs: Vec<Vec<(u32, f32)>>,
    /// For each call that [`reply::parse`](crate::reply::parse) reads in what the model wrote, how
    /// sure it was of it, from 0 to 1: the product of the probabilities that it gave the call's
    /// tokens itself, whatever it was held to.
    pub confidences: Vec<f32>,
    /// The text that the model wrote, where a call in it was less sure than
    /// [`min_confidence`](GenerateConfig::min_confidence): `text` is then
    /// [`unsure_reply`](GenerateConfig::unsure_reply).
    pub withheld: Option<String>,
    /// It ended by itself: `max_new_tokens`, the end of the context or the user did not cut it off. A call that was cut off is
    /// malformed, even if it was held to the tools.
    pub finished: bool,
}

impl Generation {
    /// A reply that was written elsewhere and ended by itself; its tokens are not known.
    pub fn of_text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            finished: true,
            ..Self::default()
        }
    }
}

/// The model's next turn in a conversation.
pub fn generate(
    model: &Model,
    messages: &[Message],
    tools: &[ToolSchema],
    config: &GenerateConfig,
) -> Result<Generation> {
    generate_cached(
        model,
        messages,
        tools,
        config,
        &mut PrefixCache::default(),
        |_| true,
    )
}

/// [`generate`] with a cache that is shared over prompts, and each piece of text handed over as it comes; `on_text` returns
/// false to stop.
pub fn generate_cached(
    model: &Model,
    messages: &[Message],
    tools: &[ToolSchema],
    config: &GenerateConfig,
    cache: &mut PrefixCache,
    on_text: impl FnMut(&str) -> bool,
) -> Result<Generation> {
    let template = model.template.with_kwargs(&config.chat_template_kwargs);
    let (prompt, constraint) =
        many::rendered(model, &template, (messages, tools), config, &cache.constraints)?;
    write_one(model, prompt, constraint, config, cache, on_text)
}

/// What the model writes after `prompt`, a text in which special tokens may stand. No template is applied, and nothing is
/// known of tools.
pub fn complete(
    model: &Model,
    prompt: &str,
    config: &GenerateConfig,
    cache: &mut PrefixCache,
    on_text: impl FnMut(&str) -> bool,
) -> Result<Generation> {
    write_one(model, prompt.to_string(), None, config, cache, on_text)
}

fn write_one(
    model: &Model,
    prompt: String,
    constraint: Option<Constraint>,
    config: &GenerateConfig,
    cache: &mut PrefixCache,
    on_text: impl FnMut(&str) -> bool,
) -> Result<Generation> {
    let written = many::write(model, vec![(prompt, constraint)], config, cache, on_text)?;
    Ok(written.into_iter().next().unwrap_or_default()) // there is one
}
