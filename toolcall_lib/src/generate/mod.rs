//! Generation: turns a prompt into tokens, for one reply or for many at once.
//!
//! The chat template renders the prompt, [`PrefixCache`] keeps the keys and values that prompts
//! share, `Batch` makes one pass over the model for all replies that are being written, and
//! `Writer` takes the logits of its reply through repetition penalty, constraint and sampler to the
//! next token. A `Constraint` is a grammar, made from the tools, that masks every token that cannot
//! continue a valid call. It is on by default, except in [`evaluate`](mod@crate::evaluate), which
//! shows what a model has learned by itself.

mod batch;
mod confidence;
mod config;
mod constraint;
mod engine;
mod freely;
mod generator;
mod many;
mod prefix;
mod sampler;
mod writer;

pub use config::{GenerateConfig, ToolChoice};
pub(crate) use engine::AT_ONCE;
pub use freely::answer_freely;
pub use generator::Generator;
pub use many::Prompt;
pub(crate) use many::{RowPrompt, generate_rows};
pub use prefix::PrefixCache;

// The server drives the steps of a batch itself.
#[cfg(feature = "serve")]
pub(crate) use {
    batch::Batch, confidence::confidences, constraint::Constraint, constraint::Constraints, many::rendered,
    writer::Token, writer::Writer,
};

use crate::conversation::Message;
use crate::error::Result;
use crate::model::Model;
use crate::tool::ToolSchema;

/// A reply, as the model wrote it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generation {
    /// Token ids of the reply, without the one that ended it.
    pub ids: Vec<u32>,
    /// The decoded text of `ids`.
    pub text: String,
    /// Natural logarithm of the probability with which each token was chosen: after the repetition
    /// penalty and the constraint, and for sampled tokens after temperature and cuts. 0 for a token
    /// that the constraint forced.
    pub logprobs: Vec<f32>,
    /// Natural logarithm of the probability that the model itself gave each token, before penalty,
    /// constraint and cuts. `None` for a forced token, for which the model was not asked.
    pub model_logprobs: Vec<Option<f32>>,
    /// The likeliest tokens at each place in the model's own distribution, with the natural
    /// logarithms of their probabilities: [`top_logprobs`](GenerateConfig::top_logprobs) entries a
    /// token, and none for a forced token.
    pub top_logprobs: Vec<Vec<(u32, f32)>>,
    /// Confidence of each call that [`reply::parse`](crate::reply::parse) reads in the reply, from
    /// 0 to 1: the product of the model's own probabilities of the call's tokens, before any
    /// constraint.
    pub confidences: Vec<f32>,
    /// The text that the model wrote, if a call in it had less confidence than
    /// [`min_confidence`](GenerateConfig::min_confidence); `text` is then
    /// [`unsure_reply`](GenerateConfig::unsure_reply).
    pub withheld: Option<String>,
    /// True if the reply ended by itself, and was not cut off by `max_new_tokens`, the end of the
    /// context or the user. A call that was cut off is malformed, even under a constraint.
    pub finished: bool,
}

impl Generation {
    /// Wraps a reply that was written elsewhere and ended by itself; its tokens are unknown.
    pub fn of_text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            finished: true,
            ..Self::default()
        }
    }
}

/// Writes the model's next turn in a conversation. For more than one reply, a [`Generator`] keeps
/// what the prompts share.
///
/// # Errors
/// Invalid settings, a prompt that the template or the tokenizer refuses or that fills the context,
/// and tools that calls cannot be held to.
pub fn generate(
    model: &Model,
    messages: &[Message],
    tools: &[ToolSchema],
    config: &GenerateConfig,
) -> Result<Generation> {
    Generator::new(model, config.clone()).reply(messages, tools)
}
