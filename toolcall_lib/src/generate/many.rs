//! Replies to many prompts at once: a pass over the weights serves all of them.

use super::{GenerateConfig, Generation, Writer};
use crate::batch::TreeBatch;
use crate::conversation::Message;
use crate::error::Result;
use crate::interrupt;
use crate::model::{KvTree, Model, Workspace};
use crate::tokens::Sequence;
use crate::tool::ToolSchema;

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
    for prompts in prompts.chunks(AT_ONCE) {
        generations.extend(generate_tree(model, prompts, config, &mut workspace)?);
    }
    Ok(generations)
}

fn generate_tree(
    model: &Model,
    prompts: &[Prompt<'_>],
    config: &GenerateConfig,
    workspace: &mut Workspace,
) -> Result<Vec<Generation>> {
    if interrupt::requested() {
        return Ok(vec![Generation::default(); prompts.len()]);
    }
    let prompt = |(messages, tools): &Prompt<'_>| {
        let ids = model
            .tokenizer
            .encode(&model.template.render_prompt(messages, tools)?)?;
        Ok(Sequence {
            trained: vec![false; ids.len()],
            ids,
        })
    };
    let sequences: Vec<Sequence> = prompts.iter().map(prompt).collect::<Result<_>>()?;
    let writer = |sequence: &Sequence| Writer::new(model, &sequence.ids, config);
    let mut writers: Vec<Writer<'_>> = sequences.iter().map(writer).collect::<Result<_>>()?;

    let tree = TreeBatch::pack(&sequences.iter().collect::<Vec<_>>());
    let mut cache = KvTree::new(&tree);
    let mut speaking: Vec<usize> = (0..prompts.len()).collect();
    let mut logits = model.decoder.prompt_logits(&tree, &mut cache, workspace)?;
    while !speaking.is_empty() {
        let mut next = (Vec::new(), Vec::new());
        for (&sequence, logits) in speaking
            .iter()
            .zip(logits.chunks_exact(model.decoder.config.vocab_size))
        {
            let writer = &mut writers[sequence];
            if let Some((id, _)) = writer.next(logits.to_vec())?
                && !writer.is_full()
            {
                next.0.push(sequence);
                next.1.push(id);
            }
        }
        if next.0.is_empty() || interrupt::requested() {
            break;
        }
        logits = model
            .decoder
            .next_logits_of(&next.0, &next.1, &mut cache, workspace)?;
        speaking = next.0;
    }
    let finish = |writer: Writer<'_>| Ok(writer.finish()?.0);
    writers.into_iter().map(finish).collect()
}
