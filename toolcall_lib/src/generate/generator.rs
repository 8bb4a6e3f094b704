//! A model that writes one reply after the other and keeps what their prompts share.

use super::prompt_template;
use super::replies::{self, Prompt, RowPrompt, rendered};
use super::{GenerateConfig, Generation, PrefixCache};
use crate::conversation::Message;
use crate::error::Result;
use crate::model::Model;
use crate::tool::ToolSchema;
use serde_json::Map;
use std::borrow::Borrow;

/// Writes replies of a model with the same settings. System text and tools that prompts share are
/// computed once and stay in the KV cache from call to call.
///
/// `M` is a [`Model`], a reference to one, or an `Arc` of one.
///
/// # Examples
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/in_docs.rs"));
/// # fn main() -> toolcall_lib::Result<()> {
/// # let _folder = example_folder();
/// use toolcall_lib::{GenerateConfig, Generator, Message, load};
///
/// let model = load("out/tuned")?;
/// let config = GenerateConfig::of(&model)?;
/// let mut generator = Generator::new(&model, config);
/// for said in ["Set a timer for 5 minutes.", "And one for 10 minutes."] {
///     println!("{}", generator.reply(&[Message::user(said)], &model.tools)?.text);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Generator<M> {
    /// Model that writes. If its weights change, the cache is computed anew; if its tokenizer or
    /// the call syntax of its template changes, so are the constraints.
    pub model: M,
    /// Settings of the next reply.
    pub config: GenerateConfig,
    /// Keys and values of prompts that were read.
    pub cache: PrefixCache,
}

impl<M: Borrow<Model>> Generator<M> {
    /// Makes a generator with an empty cache of [`PrefixCache::BYTES`].
    pub fn new(model: M, config: GenerateConfig) -> Self {
        Self {
            model,
            config,
            cache: PrefixCache::default(),
        }
    }

    /// Writes the model's next turn in a conversation.
    ///
    /// # Errors
    /// Invalid settings, a prompt that the template or the tokenizer refuses or that fills the
    /// context, and tools that calls cannot be constrained to.
    pub fn reply(&mut self, messages: &[Message], tools: &[ToolSchema]) -> Result<Generation> {
        self.stream(messages, tools, |_| true)
    }

    /// Writes the model's next turn, and hands each piece of text to `on_text` as it comes.
    /// `on_text` returns false to stop the reply.
    ///
    /// # Errors
    /// The same as [`Generator::reply`].
    pub fn stream(
        &mut self,
        messages: &[Message],
        tools: &[ToolSchema],
        on_text: impl FnMut(&str) -> bool,
    ) -> Result<Generation> {
        let model = self.model.borrow();
        let template = prompt_template(model, &self.config, &Map::new());
        let prompt = (messages, tools);
        let prompt = rendered(model, &template, prompt, &self.config, &self.cache.constraints)?;
        let prompts = vec![prompt];
        let written = replies::write(model, prompts, &self.config, &mut self.cache, on_text, || {})?;
        Ok(only(written))
    }

    /// Writes the model's next turn in each conversation.
    ///
    /// Reply `i` is the one that [`Generator::reply`] writes with `seed + i`; no reply depends on
    /// the others. A batch holds up to 32 conversations, on a GPU 128, which is several times
    /// faster than one after the other; when one is over, the next joins. Ctrl-C ends all replies
    /// where they are.
    ///
    /// # Errors
    /// The same as [`Generator::reply`], for any prompt and before anything is written; and a pass
    /// over the model that fails.
    pub fn replies(&mut self, prompts: &[Prompt<'_>]) -> Result<Vec<Generation>> {
        let nothing = Map::new();
        let prompts: Vec<RowPrompt<'_>> = prompts.iter().map(|prompt| (*prompt, &nothing)).collect();
        let (model, cache) = (self.model.borrow(), &mut self.cache);
        replies::generate_rows(model, &prompts, &self.config, cache, || {})
    }

    /// Continues `text`, which may contain special tokens, and hands each piece to `on_text` as
    /// [`Generator::stream`] does. Applies no template and no constraint.
    ///
    /// # Errors
    /// Invalid settings, and a text that is empty or fills the context.
    pub fn complete(&mut self, text: &str, on_text: impl FnMut(&str) -> bool) -> Result<Generation> {
        let prompt = vec![(text.to_string(), None)];
        let written = replies::write(
            self.model.borrow(),
            prompt,
            &self.config,
            &mut self.cache,
            on_text,
            || {},
        )?;
        Ok(only(written))
    }
}

/// Returns the one reply to one prompt.
fn only(written: Vec<Generation>) -> Generation {
    written.into_iter().next().unwrap_or_default()
}
