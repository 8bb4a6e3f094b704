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
mod generation;
mod generation_config;
mod generator;
mod prefix_cache;
mod prompt_template;
mod replies;
mod sampler;
mod tool_choice;
mod without_tools;
mod writer;

pub use config::GenerateConfig;
pub use generation::Generation;
pub use generator::Generator;
pub use prefix_cache::PrefixCache;
pub(crate) use prompt_template::prompt_template;
pub use replies::Prompt;
pub(crate) use replies::{RowPrompt, generate_rows};
pub use tool_choice::ToolChoice;
pub use without_tools::answer_without_tools;

// The server drives the steps of a batch itself.
#[cfg(feature = "serve")]
pub(crate) use {
    batch::Batch, confidence::confidences, constraint::Constraint, constraint::Constraints, writer::Token,
    writer::Writer,
};

use crate::conversation::Message;
use crate::error::Result;
use crate::model::Model;
use crate::tool::ToolSchema;

/// Writes the model's next turn in a conversation. For more than one reply, a [`Generator`] keeps
/// what the prompts share.
///
/// # Examples
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::{GenerateConfig, Message, generate, load};
///
/// let model = load("out/tuned")?;
/// let asked = [Message::user("Set a timer for 5 minutes.")];
/// let reply = generate(&model, &asked, &model.tools, &GenerateConfig::default())?;
/// println!("{}", reply.text); // <tool_call>…</tool_call>
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Invalid settings, a prompt that the template or the tokenizer refuses or that fills the context,
/// and tools that calls cannot be constrained to.
pub fn generate(
    model: &Model,
    messages: &[Message],
    tools: &[ToolSchema],
    config: &GenerateConfig,
) -> Result<Generation> {
    Generator::new(model, config.clone()).reply(messages, tools)
}
