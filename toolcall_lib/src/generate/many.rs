//! Replies to many prompts at once: a pass over the weights serves all of them.

use super::{Constraint, GenerateConfig, Generation, Writer};
use crate::batch::TreeBatch;
use crate::conversation::Message;
use crate::error::Result;
use crate::interrupt;
use crate::model::{KvTree, Model, Workspace};
use crate::tokens::Sequence;
use crate::tool::ToolSchema;
use std::collections::VecDeque;

/// Prompts that are answered together; bounds the memory of their keys and values.
pub(crate) const AT_ONCE: usize = 32;

/// A conversation so far, and the tools that are offered.
pub type Prompt<'a> = (&'a [Message], &'a [ToolSchema]);

/// The model's next turn in each of these conversations, as [`generate`](super::generate) writes it. What prompts share, such as
/// system text and tools, is computed once; tokens come for all conversations at once, which is several times faster than one
/// conversation after the other. Ctrl-C ends all replies where they are.
///
/// # Errors
/// Settings without a meaning, and whatever a template or the tokenizer refuses.
pub fn generate_many(
    model: &Model,
    prompts: &[Prompt<'_>],
    config: &GenerateConfig,
) -> Result<Vec<Generation>> {
    let _run = interrupt::Run::start()?;
    let mut workspace = Workspace::default();
    let mut generations = Vec::with_capacity(prompts.len());
    for (group, prompts) in prompts.chunks(AT_ONCE).enumerate() {
        let first = group * AT_ONCE;
        generations.extend(generate_tree(model, prompts, config, first, &mut workspace)?);
    }
    Ok(generations)
}

fn generate_tree(
    model: &Model,
    prompts: &[Prompt<'_>],
    config: &GenerateConfig,
    first: usize,
    workspace: &mut Workspace,
) -> Result<Vec<Generation>> {
    if interrupt::requested() {
        return Ok(vec![Generation::default(); prompts.len()]);
    }
    let mut sequences = Vec::with_capacity(prompts.len());
    let mut writers = Vec::with_capacity(prompts.len());
    for (i, (messages, tools)) in prompts.iter().enumerate() {
        let prompt = model.template.render_prompt(messages, tools)?;
        let mut ids = model.tokenizer.encode(&prompt)?;
        let constraint = Constraint::new(model, &prompt, tools, config)?;
        let mut writer = Writer::new(model, &ids, config, constraint, first + i)?;
        ids.extend(writer.forced()?);
        writers.push(writer);
        sequences.push(Sequence {
            trained: vec![false; ids.len()],
            ids,
        });
    }

    let tree = TreeBatch::pack(&sequences.iter().collect::<Vec<_>>());
    let mut cache = KvTree::new(&tree);
    let mut speaking: Vec<usize> = (0..prompts.len()).collect();
    let mut waiting: Vec<VecDeque<u32>> = vec![VecDeque::new(); prompts.len()];
    let mut logits = model.decoder.prompt_logits(&tree, &mut cache, workspace)?;
    loop {
        let vocabulary = model.decoder.config.vocab_size;
        for (&i, logits) in speaking.iter().zip(logits.chunks_exact(vocabulary)) {
            if waiting[i].is_empty() {
                waiting[i].extend(writers[i].next(logits.to_vec())?);
            }
        }
        speaking.retain(|&i| !writers[i].is_over());
        if speaking.is_empty() || interrupt::requested() {
            break;
        }
        let next: Vec<u32> = speaking.iter().filter_map(|&i| waiting[i].pop_front()).collect();
        logits = model
            .decoder
            .next_logits_of(&speaking, &next, &mut cache, workspace)?;
    }
    writers.into_iter().map(Writer::finish).collect()
}
