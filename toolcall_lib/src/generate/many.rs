//! Replies to many prompts at once: a pass over the weights serves all of them.

use super::constraint::Constraint;
use super::engine::Engine;
use super::writer::Writer;
use super::{GenerateConfig, Generation, PrefixCache};
use crate::conversation::Message;
use crate::error::Result;
use crate::interrupt;
use crate::model::{KvSequence, Model};
use crate::tool::ToolSchema;
use rayon::prelude::*;
use serde_json::{Map, Value};

/// Tokens of prompts that are read in one pass, unless a single prompt has more; bounds the memory of a pass.
const READ_AT_ONCE: usize = 4096;

/// A conversation so far, and the tools that are offered.
pub type Prompt<'a> = (&'a [Message], &'a [ToolSchema]);

/// The model's next turn in each of these conversations, as [`generate`](super::generate) writes it. What prompts share, such as
/// system text and tools, is computed once; tokens come for up to 32 conversations at once, on a GPU 128, which is several times faster
/// than one after the other, and when one is over the next begins. No reply depends on the others: number `i` is the one that
/// [`generate`](super::generate) writes with `seed + i`. Ctrl-C ends all replies where they are.
///
/// # Errors
/// Settings without a meaning, tools that calls cannot be held to, and whatever a template or the tokenizer refuses; before
/// anything is written.
pub fn generate_many(
    model: &Model,
    prompts: &[Prompt<'_>],
    config: &GenerateConfig,
) -> Result<Vec<Generation>> {
    generate_many_cached(model, prompts, config, &mut PrefixCache::default())
}

/// [`generate_many`] with a cache that is shared over calls.
///
/// # Errors
/// Those of [`generate_many`].
pub fn generate_many_cached(
    model: &Model,
    prompts: &[Prompt<'_>],
    config: &GenerateConfig,
    cache: &mut PrefixCache,
) -> Result<Vec<Generation>> {
    let nothing = Map::new();
    let prompts: Vec<RowPrompt<'_>> = prompts.iter().map(|prompt| (*prompt, &nothing)).collect();
    generate_rows(model, &prompts, config, cache)
}

/// A prompt, and what the row that it comes from gives to the template.
pub(crate) type RowPrompt<'a> = (Prompt<'a>, &'a Map<String, Value>);

/// [`generate_many_cached`] with prompts of rows.
pub(crate) fn generate_rows(
    model: &Model,
    prompts: &[RowPrompt<'_>],
    config: &GenerateConfig,
    cache: &mut PrefixCache,
) -> Result<Vec<Generation>> {
    let mut texts = Vec::with_capacity(prompts.len());
    for ((messages, tools), kwargs) in prompts {
        let template = model
            .template
            .with_kwargs(&config.chat_template_kwargs)
            .with_kwargs(kwargs);
        let prompt = template.render_prompt(messages, tools)?;
        let constraint = cache.constraints.get(model, &template, &prompt, tools, config)?;
        texts.push((prompt, constraint));
    }
    write(model, texts, config, cache, |_| true)
}

/// Continues each of these texts; `on_text` is handed each piece as it comes (of all of them, so it is of use for one) and
/// returns false to stop.
pub(super) fn write(
    model: &Model,
    prompts: Vec<(String, Option<Constraint>)>,
    config: &GenerateConfig,
    cache: &mut PrefixCache,
    mut on_text: impl FnMut(&str) -> bool,
) -> Result<Vec<Generation>> {
    let _run = interrupt::Run::start()?;
    let mut replies = Vec::with_capacity(prompts.len());
    for (index, (prompt, constraint)) in prompts.into_iter().enumerate() {
        let ids = model.tokenizer.encode(&prompt)?;
        replies.push(Writer::new(model, ids, config, constraint, index)?);
    }
    let mut engine = cache.take_engine(model, config.device)?;
    let mut speaking: Vec<Speaker> = Vec::new();
    let mut waiting = 0;
    let mut stopped = false;
    while !stopped && !interrupt::requested() {
        admit(&replies, &mut waiting, &mut speaking, &mut engine);
        if speaking.is_empty() {
            break;
        }
        let new: Vec<(&KvSequence, &[u32])> = speaking.iter().map(|s| (&s.sequence, &s.new[..])).collect();
        let logits = engine.next_logits(&model.decoder, &new)?;
        let vocabulary = model.decoder.config.vocab_size;
        choose(&mut replies, &mut speaking, logits, vocabulary)?;
        for speaker in &speaking {
            let text = replies[speaker.reply].new_text();
            stopped |= !text.is_empty() && !on_text(text);
        }
        for over in speaking.extract_if(.., |speaker| replies[speaker.reply].is_over()) {
            engine.store.end(over.sequence);
        }
    }
    speaking
        .into_iter()
        .for_each(|speaker| engine.store.end(speaker.sequence));
    cache.engine = Some(engine);
    let finish = |reply: Writer<'_>| {
        let (generation, rest) = reply.finish()?;
        if !rest.is_empty() {
            on_text(&rest);
        }
        Ok(generation)
    };
    replies.into_iter().map(finish).collect()
}

/// A reply that is being written.
struct Speaker {
    reply: usize,
    sequence: KvSequence,
    /// Its tokens that the model has not seen.
    new: Vec<u32>,
}

/// Has each of those who speak choose its next tokens, all at once: what may come next takes time to find out.
fn choose(
    replies: &mut [Writer<'_>],
    speaking: &mut [Speaker],
    logits: &mut [f32],
    vocabulary: usize,
) -> Result<()> {
    let mut replies = (0..).zip(replies); // in the order of the speakers
    let turns = speaking.iter_mut().zip(logits.chunks_exact_mut(vocabulary));
    let turns = turns.filter_map(|(speaker, logits)| {
        let (_, reply) = replies.find(|(index, _)| *index == speaker.reply)?;
        Some((speaker, reply, logits))
    });
    let turns: Vec<_> = turns.collect();
    turns.into_par_iter().try_for_each(|(speaker, reply, logits)| {
        speaker.new = reply.next(logits)?;
        Ok(())
    })
}

/// Lets those speak whose turn it is, as long as there is room for all that they may say.
fn admit(replies: &[Writer<'_>], waiting: &mut usize, speaking: &mut Vec<Speaker>, engine: &mut Engine) {
    let (mut read, at_once, store) = (0, engine.at_once, &mut engine.store);
    while let Some(reply) = replies.get(*waiting).filter(|_| speaking.len() < at_once) {
        if !reply.is_over() {
            let new = reply.seen().len() - store.stored(reply.seen());
            let room: usize = speaking
                .iter()
                .map(|speaker| replies[speaker.reply].room_left())
                .sum();
            let needed = store.tokens_in_use() + room + new + reply.room_left();
            let fits = needed <= store.most_tokens() && read + new <= READ_AT_ONCE;
            if !speaking.is_empty() && !fits {
                return;
            }
            read += new;
            speaking.push(Speaker {
                reply: *waiting,
                sequence: store.begin(reply.seen()),
                new: Vec::new(),
            });
        }
        *waiting += 1;
    }
}
