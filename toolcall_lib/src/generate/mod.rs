//! Prompt to tokens: prefix cache, sampling, and calls that fit the tools.

mod config;
mod constraint;
mod many;
mod sampler;
mod writer;

pub use config::{GenerateConfig, ToolChoice};
pub(crate) use many::AT_ONCE;
pub use many::{Prompt, generate_many};

use crate::conversation::Message;
use crate::error::Result;
use crate::interrupt;
use crate::model::{KvCache, Model, Workspace};
use crate::tool::ToolSchema;
use constraint::Constraint;
use writer::Writer;

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
    /// It ended by itself: `max_new_tokens`, the end of the context or the user did not cut it off. A call that was cut off is
    /// malformed, even if it was held to the tools.
    pub finished: bool,
}

/// Keys and values of recent prompts, so that what a new prompt shares with one of them (system text and tools) is not
/// computed again. Belongs to one model; forget it when the weights change.
#[derive(Clone, Debug, Default)]
pub struct PrefixCache {
    recent: Vec<KvCache>,
    workspace: Workspace,
}

impl PrefixCache {
    /// Prompts that are remembered.
    const ENTRIES: usize = 8;

    /// The remembered tokens that `ids` begins with, at most all but the last: its logits are needed. A prompt that shares less
    /// than half keeps its own entry.
    fn take(&mut self, ids: &[u32]) -> KvCache {
        let shared = |cache: &KvCache| {
            cache
                .ids()
                .iter()
                .zip(&ids[..ids.len() - 1])
                .take_while(|(a, b)| a == b)
                .count()
        };
        let best = (0..self.recent.len()).max_by_key(|&i| shared(&self.recent[i]));
        let Some(best) =
            best.filter(|&i| 2 * shared(&self.recent[i]) >= self.recent[i].ids().len().min(ids.len()))
        else {
            return KvCache::default();
        };
        let mut cache = self.recent.remove(best);
        cache.truncate(shared(&cache));
        cache
    }

    fn put(&mut self, cache: KvCache) {
        if self.recent.len() == Self::ENTRIES {
            self.recent.remove(0);
        }
        self.recent.push(cache);
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
    let prompt = model.template.render_prompt(messages, tools)?;
    let constraint = Constraint::new(model, &prompt, tools, config)?;
    write(model, &prompt, config, constraint, cache, on_text)
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
    write(model, prompt, config, None, cache, on_text)
}

fn write(
    model: &Model,
    prompt: &str,
    config: &GenerateConfig,
    constraint: Option<Constraint>,
    cache: &mut PrefixCache,
    mut on_text: impl FnMut(&str) -> bool,
) -> Result<Generation> {
    let _run = interrupt::Run::start()?;
    let ids = model.tokenizer.encode(prompt)?;
    let mut writer = Writer::new(model, &ids, config, constraint, 0)?;
    let mut kv = cache.take(&ids);
    let mut new = ids[kv.ids().len()..].to_vec();
    new.extend(writer.forced()?);
    let mut said = 0;
    loop {
        let text = &writer.text()[said..];
        if (!text.is_empty() && !on_text(text)) || writer.is_over() || interrupt::requested() {
            break;
        }
        said += text.len();
        let logits = model.decoder.next_logits(&new, &mut kv, &mut cache.workspace)?;
        new = writer.next(logits)?;
    }
    said = writer.text().len();
    let generation = writer.finish()?;
    let rest = &generation.text[said..];
    if !rest.is_empty() {
        on_text(rest);
    }
    cache.put(kv);
    Ok(generation)
}
