//! Continuous batching: each step is one pass over the weights that gives every reply in the batch
//! its next tokens. Replies join and leave between two steps, and no reply depends on the others.

use super::engine::Engine;
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::model::{KvSequence, Model};
use rayon::prelude::*;

/// Most prompt tokens that one step reads, unless a single prompt has more; bounds the memory of
/// one pass.
const READ_AT_ONCE: usize = 4096;

/// The replies that are being written, and the engine that runs them.
pub(crate) struct Batch<'a> {
    model: &'a Model,
    engine: Engine,
    active: Vec<Active<'a>>,
    /// Replies that were over before their first step, with their ids.
    done: Vec<(usize, Writer<'a>)>,
    /// Prompt tokens that the next step will read.
    to_read: usize,
}

/// A reply that has left the batch: its id, and the reply or the error that ended it.
pub(crate) type Finished<'a> = (usize, Result<Writer<'a>>);

/// A reply that is being written.
struct Active<'a> {
    /// Number that the caller of [`Batch::admit`] gave the reply.
    id: usize,
    reply: Writer<'a>,
    sequence: KvSequence,
    /// Tokens of the reply that the model has not read yet.
    new: Vec<u32>,
    /// The error that ended the reply.
    failed: Option<Error>,
}

impl Active<'_> {
    fn is_over(&self) -> bool {
        self.failed.is_some() || self.reply.is_over()
    }
}

impl<'a> Batch<'a> {
    /// Makes an empty batch of replies by `model`, run on `engine`.
    pub fn new(model: &'a Model, engine: Engine) -> Self {
        Self {
            model,
            engine,
            active: Vec::new(),
            done: Vec::new(),
            to_read: 0,
        }
    }

    /// Returns true if no reply is being written and none waits to be taken out.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty() && self.done.is_empty()
    }

    /// Counts the replies that are being written.
    #[cfg(feature = "serve")]
    pub fn len(&self) -> usize {
        self.active.len()
    }

    /// Counts the prompt tokens of a reply that are already in the KV cache.
    #[cfg(feature = "serve")]
    pub fn known(&self, reply: &Writer<'a>) -> usize {
        self.engine.store.stored(reply.seen())
    }

    /// Adds a reply, or hands it back while the batch is full, while the next step reads enough
    /// prompt tokens, or while the KV cache has no room for all tokens that this reply and the
    /// others may still write. An empty batch takes any reply.
    pub fn admit(&mut self, id: usize, reply: Writer<'a>) -> Option<Writer<'a>> {
        if reply.is_over() {
            self.done.push((id, reply));
            return None;
        }
        let store = &mut self.engine.store;
        // 1. Only the tokens that the KV cache does not hold have to be read.
        let new = reply.seen().len() - store.stored(reply.seen());
        if !self.active.is_empty() {
            // 2. Admit only what fits in the worst case, so that no reply is ever evicted half-way.
            let room: usize = self.active.iter().map(|other| other.reply.room_left()).sum();
            let needed = store.tokens_in_use() + room + new + reply.room_left();
            let fits = needed <= store.most_tokens() && self.to_read + new <= READ_AT_ONCE;
            if !fits || self.active.len() >= self.engine.at_once {
                return Some(reply);
            }
        }
        // 3. `begin` shares the stored prefix; the first step reads the rest.
        self.to_read += new;
        self.active.push(Active {
            id,
            sequence: store.begin(reply.seen()),
            reply,
            new: Vec::new(),
            failed: None,
        });
        None
    }

    /// Makes one pass over the model, after which every reply has its next tokens.
    ///
    /// # Errors
    /// The pass over the model failed. No reply can go on, and the batch is unusable.
    pub fn step(&mut self) -> Result<()> {
        self.to_read = 0;
        if self.active.is_empty() {
            return Ok(());
        }
        // 1. logits: [replies, vocabulary], one row after the last token of each reply.
        let new: Vec<(&KvSequence, &[u32])> = self.active.iter().map(|s| (&s.sequence, &s.new[..])).collect();
        let logits = self.engine.next_logits(&self.model.decoder, &new)?;
        // 2. All replies choose in parallel, because masking by the constraint takes time.
        let turns = self
            .active
            .par_iter_mut()
            .zip(logits.par_chunks_exact_mut(self.model.decoder.config.vocab_size));
        turns.for_each(|(active, logits)| match active.reply.next(logits) {
            Ok(new) => active.new = new,
            Err(error) => active.failed = Some(error),
        });
        Ok(())
    }

    /// Iterates over the replies that are being written, so that the caller reads their new text.
    pub fn active(&mut self) -> impl Iterator<Item = (usize, &mut Writer<'a>)> {
        self.active.iter_mut().map(|s| (s.id, &mut s.reply))
    }

    /// Takes out the replies that are over, each with its error if it failed.
    pub fn finished(&mut self) -> Vec<Finished<'a>> {
        let done = std::mem::take(&mut self.done).into_iter();
        let over = self.take_out(Active::is_over);
        done.map(|(id, reply)| (id, Ok(reply))).chain(over).collect()
    }

    /// Takes out the replies whose ids are `unwanted`; their prompts stay in the KV cache.
    #[cfg(feature = "serve")]
    pub fn cancel(&mut self, unwanted: impl Fn(usize) -> bool) -> Vec<Finished<'a>> {
        self.take_out(|active| unwanted(active.id))
    }

    fn take_out(&mut self, leaves: impl Fn(&Active<'a>) -> bool) -> Vec<Finished<'a>> {
        let mut left = Vec::new();
        for active in self.active.extract_if(.., |active| leaves(active)) {
            self.engine.store.end(active.sequence);
            let outcome = active.failed.map_or(Ok(active.reply), Err);
            left.push((active.id, outcome));
        }
        left
    }

    /// Ends all replies where they are; returns the engine and the replies.
    pub fn end(mut self) -> (Engine, Vec<Finished<'a>>) {
        let mut left = self.finished();
        left.extend(self.take_out(|_| true));
        (self.engine, left)
    }
}
