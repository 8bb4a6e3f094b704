//! Replies to many prompts at once: one pass over the weights serves all of them.

use super::batch::Batch;
use super::constraint::{Constraint, Constraints};
use super::prompt_template::prompt_template;
use super::writer::Writer;
use super::{GenerateConfig, Generation, PrefixCache};
use crate::conversation::Message;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model::Model;
use crate::syntax::CallSyntax;
use crate::template::ChatTemplate;
use crate::tool::ToolSchema;
use serde_json::{Map, Value};
use std::collections::VecDeque;

/// A conversation so far, and the tools that are offered.
pub type Prompt<'a> = (&'a [Message], &'a [ToolSchema]);

/// A prompt, and the template variables of its row in the dataset.
pub(crate) type RowPrompt<'a> = (Prompt<'a>, &'a Map<String, Value>);

/// Writes replies like [`Generator::replies`](super::Generator::replies) to prompts that have their
/// own template variables. Calls `on_end` after each reply.
pub(crate) fn generate_rows(
    model: &Model,
    prompts: &[RowPrompt<'_>],
    config: &GenerateConfig,
    cache: &mut PrefixCache,
    on_end: impl FnMut(),
) -> Result<Vec<Generation>> {
    let mut texts = Vec::with_capacity(prompts.len());
    for (prompt, kwargs) in prompts {
        let template = prompt_template(model, config, kwargs);
        texts.push(rendered(model, &template, *prompt, config, &cache.constraints)?);
    }
    write(model, texts, config, cache, |_| true, on_end)
}

/// Renders the prompt of a conversation and makes the constraint of its reply.
///
/// # Errors
/// A prompt that the template refuses, tools that calls cannot be constrained to, and a least
/// confidence for calls whose confidence is not known.
pub(super) fn rendered(
    model: &Model,
    template: &ChatTemplate,
    (messages, tools): Prompt<'_>,
    config: &GenerateConfig,
    constraints: &Constraints,
) -> Result<(String, Option<Constraint>)> {
    refuse_unsure(template, config)?;
    let prompt = template.render_prompt(messages, tools)?;
    let constraint = constraints.get(model, template, &prompt, tools, config)?;
    Ok((prompt, constraint))
}

/// Refuses `min_confidence` for a template whose calls have no confidence: none would be withheld.
fn refuse_unsure(template: &ChatTemplate, config: &GenerateConfig) -> Result<()> {
    // Calls of an unknown syntax are read as those of Hermes.
    if config.min_confidence == 0.0 || template.call_syntax().is_none_or(CallSyntax::has_spans) {
        return Ok(());
    }
    let problem = format!(
        "found {}, expected 0: confidence is known for calls in the syntax of Hermes and Qwen, and this chat \
        template has another; leave it out, or use another model",
        config.min_confidence
    );
    Err(Error::invalid("min_confidence", problem))
}

/// Continues each prompt. Hands the text of all replies to `on_text` as it comes, interleaved, so a
/// caller that uses it passes one prompt; `on_text` returns false to stop. Calls `on_end` after
/// each reply that ends.
pub(super) fn write(
    model: &Model,
    prompts: Vec<(String, Option<Constraint>)>,
    config: &GenerateConfig,
    cache: &mut PrefixCache,
    mut on_text: impl FnMut(&str) -> bool,
    mut on_end: impl FnMut(),
) -> Result<Vec<Generation>> {
    let _run = interrupt::Guard::start()?;
    // 1. Refuse everything that can be refused before anything is written.
    let mut waiting = VecDeque::with_capacity(prompts.len());
    for (index, (prompt, constraint)) in prompts.into_iter().enumerate() {
        let ids = model.tokenizer.encode(&prompt)?;
        waiting.push_back((index, Writer::new(model, ids, config.clone(), constraint, index)?));
    }
    // 2. Replies join the batch in order, as there is room, and leave it when they are over.
    let mut batch = Batch::new(model, cache.take_engine(model, config.device)?);
    let mut replies = Vec::with_capacity(waiting.len());
    let mut stopped = false;
    while !stopped && !interrupt::requested() {
        while let Some((index, reply)) = waiting.pop_front() {
            if let Some(reply) = batch.admit(index, reply) {
                waiting.push_front((index, reply));
                break;
            }
        }
        if batch.is_empty() {
            break;
        }
        // A step: one pass, hand over the new text, collect the replies that are over.
        batch.step()?;
        for (_, reply) in batch.active() {
            let text = reply.new_text();
            stopped |= !text.is_empty() && !on_text(text);
        }
        for (index, reply) in batch.take_finished() {
            replies.push((index, reply?));
            on_end();
        }
    }
    // 3. Replies that were stopped end where they are; the engine returns to the cache.
    let (engine, unfinished) = batch.end();
    cache.keep_engine(engine);
    for (index, reply) in unfinished {
        replies.push((index, reply?));
    }
    replies.extend(waiting);
    // 4. Restore the order of the prompts and hand over the rest of the text.
    replies.sort_unstable_by_key(|(index, _)| *index);
    let finish = |(_, reply): (usize, Writer)| {
        let (generation, rest) = reply.finish()?;
        if !rest.is_empty() {
            on_text(&rest);
        }
        Ok(generation)
    };
    replies.into_iter().map(finish).collect()
}
