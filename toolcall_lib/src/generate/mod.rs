//! Prompt to tokens: prefix cache and sampling.

mod many;

pub(crate) use many::AT_ONCE;
pub use many::{Prompt, generate_many};

use crate::conversation::Message;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model::{KvCache, Model, Workspace};
use crate::tokens::TextStream;
use crate::tool::ToolSchema;
use candle_core::{Device, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling};
use serde::{Deserialize, Serialize};

/// How tokens are chosen. Names and meaning are those of transformers' `GenerationConfig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerateConfig {
    /// Longest reply, in tokens.
    pub max_new_tokens: usize,
    /// Divides the logits; 0 is greedy: always the most likely token.
    pub temperature: f64,
    /// Keep the `k` most likely tokens.
    pub top_k: Option<usize>,
    /// Keep the most likely tokens whose probabilities sum to `p`.
    pub top_p: Option<f64>,
    /// Seed of the sampling.
    pub seed: u64,
}

impl Default for GenerateConfig {
    fn default() -> Self {
        Self {
            max_new_tokens: 256,
            temperature: 0.0,
            top_k: None,
            top_p: None,
            seed: 42,
        }
    }
}

impl GenerateConfig {
    fn sampling(&self) -> Result<Sampling> {
        if self.temperature < 0.0 {
            let problem = format!(
                "{} is negative; 0 is greedy, 1 samples from the model",
                self.temperature
            );
            return Err(Error::invalid("temperature", problem));
        }
        if let Some(p) = self.top_p.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
            return Err(Error::invalid("top_p", format!("{p} is not in (0, 1]")));
        }
        if self.top_k == Some(0) {
            return Err(Error::invalid(
                "top_k",
                "0 keeps no token; leave it out to keep all",
            ));
        }
        let temperature = self.temperature;
        Ok(match (self.top_k, self.top_p) {
            _ if temperature == 0.0 => Sampling::ArgMax,
            (None, None) => Sampling::All { temperature },
            (Some(k), None) => Sampling::TopK { k, temperature },
            (None, Some(p)) => Sampling::TopP { p, temperature },
            (Some(k), Some(p)) => Sampling::TopKThenTopP { k, p, temperature },
        })
    }
}

/// What a model wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generation {
    /// Its tokens, without the one that ended it.
    pub ids: Vec<u32>,
    /// The same as text.
    pub text: String,
    /// It ended by itself: `max_new_tokens`, the end of the context or the user did not cut it off.
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
    complete(model, &prompt, config, cache, on_text)
}

/// What the model writes after `prompt`, a text in which special tokens may stand. No template is applied.
pub fn complete(
    model: &Model,
    prompt: &str,
    config: &GenerateConfig,
    cache: &mut PrefixCache,
    mut on_text: impl FnMut(&str) -> bool,
) -> Result<Generation> {
    let _run = interrupt::Run::start()?;
    let ids = model.tokenizer.encode(prompt)?;
    let mut writer = Writer::new(model, &ids, config)?;
    let mut kv = cache.take(&ids);
    let mut new = ids[kv.ids().len()..].to_vec();
    while !writer.is_full() {
        let logits = model.decoder.next_logits(&new, &mut kv, &mut cache.workspace)?;
        let Some((id, piece)) = writer.next(logits)? else {
            break;
        };
        if (!piece.is_empty() && !on_text(&piece)) || interrupt::requested() {
            break;
        }
        new = vec![id];
    }
    let (generation, rest) = writer.finish()?;
    if !rest.is_empty() {
        on_text(&rest);
    }
    cache.put(kv);
    Ok(generation)
}

/// A reply in the making.
struct Writer<'a> {
    end: &'a [u32],
    sampler: LogitsProcessor,
    text: TextStream,
    generation: Generation,
    /// Most tokens that it may have.
    room: usize,
}

impl<'a> Writer<'a> {
    /// A reply to a prompt of these tokens.
    fn new(model: &'a Model, ids: &[u32], config: &GenerateConfig) -> Result<Self> {
        if ids.is_empty() {
            return Err(Error::invalid(
                "prompt",
                "it is empty; give the model something to continue",
            ));
        }
        let longest = model.decoder.config.max_position_embeddings;
        Ok(Self {
            room: config.max_new_tokens.min(longest.saturating_sub(ids.len())),
            end: &model.tokenizer.eos_token_ids,
            sampler: LogitsProcessor::from_sampling(config.seed, config.sampling()?),
            text: TextStream::new(&model.tokenizer),
            generation: Generation::default(),
        })
    }

    fn is_full(&self) -> bool {
        self.generation.ids.len() >= self.room
    }

    /// Chooses the next token; returns it with the text that it completes, or nothing if the reply ends here.
    fn next(&mut self, logits: Vec<f32>) -> Result<Option<(u32, String)>> {
        if self.is_full() {
            return Ok(None);
        }
        let vocabulary = logits.len();
        let id = Tensor::from_vec(logits, vocabulary, &Device::Cpu)
            .and_then(|logits| self.sampler.sample(&logits))
            .map_err(Error::library("choosing the next token"))?;
        if self.end.contains(&id) {
            self.generation.finished = true;
            return Ok(None);
        }
        let piece = self.text.push(id)?;
        self.generation.ids.push(id);
        self.generation.text.push_str(&piece);
        Ok(Some((id, piece)))
    }

    /// What was written, and the end of its text that [`Writer::next`] has not returned yet.
    fn finish(mut self) -> Result<(Generation, String)> {
        let rest = self.text.finish()?;
        self.generation.text.push_str(&rest);
        Ok((self.generation, rest))
    }
}
