//! Continuous batching: each step is one pass over the weights that gives every reply in the batch
//! its next tokens. Replies join and leave between two steps, and no reply depends on the others.

use super::engine::Engine;
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::model::{KvSequence, Model};
use rayon::prelude::*;

/// Most prompt tokens that one step computes (prefill), unless a single prompt has more; bounds the
/// memory of one pass.
const MOST_PREFILL: usize = 4096;

/// The replies that are being written, and the engine that runs them.
pub(crate) struct Batch<'a> {
    model: &'a Model,
    engine: Engine,
    active: Vec<Active<'a>>,
    /// Replies that were complete when they were admitted, with their ids.
    complete: Vec<(usize, Writer<'a>)>,
    /// Prompt tokens that the next step computes.
    prefill: usize,
}

/// A reply that has left the batch: its id, and the reply or the error that ended it.
pub(crate) type Finished<'a> = (usize, Result<Writer<'a>>);

/// A reply that is being written.
struct Active<'a> {
    /// Number that the caller of [`Batch::admit`] gave the reply.
    id: usize,
    reply: Writer<'a>,
    sequence: KvSequence,
    /// Tokens that the next step computes besides the rest of the prompt: those that the last one
    /// chose. Empty before the first step.
    chosen: Vec<u32>,
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
            complete: Vec::new(),
            prefill: 0,
        }
    }

    /// Returns true if no reply is being written and none waits to be taken out.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty() && self.complete.is_empty()
    }

    /// Counts the replies that are being written.
    #[cfg(feature = "serve")]
    pub fn len(&self) -> usize {
        self.active.len()
    }

    /// Counts the prompt tokens of a reply that are already in the KV cache.
    #[cfg(feature = "serve")]
    pub fn cached_tokens(&self, reply: &Writer<'a>) -> usize {
        self.engine.store.stored(reply.seen())
    }

    /// Adds a reply. Returns it if the batch is full, if the next step has enough prompt tokens to
    /// compute, or if the KV cache might overflow should every reply get as long as it may. An
    /// empty batch takes any reply.
    pub fn admit(&mut self, id: usize, reply: Writer<'a>) -> Option<Writer<'a>> {
        if reply.is_over() {
            self.complete.push((id, reply));
            return None;
        }
        let store = &mut self.engine.store;
        // 1. Only the tokens that the KV cache does not hold have to be computed.
        let prefill = reply.seen().len() - store.stored(reply.seen());
        if !self.active.is_empty() {
            // 2. Admit only what fits in the worst case, so that no reply is ever evicted half-way.
            let room: usize = self.active.iter().map(|other| other.reply.room_left()).sum();
            let needed = store.tokens_in_use() + room + prefill + reply.room_left();
            let fits = needed <= store.most_tokens() && self.prefill + prefill <= MOST_PREFILL;
            if !fits || self.active.len() >= self.engine.at_once {
                return Some(reply);
            }
        }
        // 3. `begin` shares the stored prefix; the first step computes the rest.
        self.prefill += prefill;
        self.active.push(Active {
            id,
            sequence: store.begin(reply.seen()),
            reply,
            chosen: Vec::new(),
            failed: None,
        });
        None
    }

    /// Makes one pass over the model, after which every reply has its next tokens.
    ///
    /// # Errors
    /// The pass over the model failed. No reply can go on, and the batch is unusable.
    pub fn step(&mut self) -> Result<()> {
        self.prefill = 0;
        if self.active.is_empty() {
            return Ok(());
        }
        // 1. logits: [replies, vocabulary], one row after the last token of each reply.
        let active = self.active.iter();
        let inputs: Vec<(&KvSequence, &[u32])> = active.map(|s| (&s.sequence, &s.chosen[..])).collect();
        let logits = self.engine.next_logits(&self.model.decoder, &inputs)?;
        // 2. All replies choose in parallel, because masking by the constraint takes time.
        let turns = self
            .active
            .par_iter_mut()
            .zip(logits.par_chunks_exact_mut(self.model.decoder.config.vocab_size));
        turns.for_each(|(active, logits)| match active.reply.next(logits) {
            Ok(chosen) => active.chosen = chosen,
            Err(error) => active.failed = Some(error),
        });
        Ok(())
    }

    /// Iterates over the replies that are being written, so that the caller reads their new text.
    pub fn active(&mut self) -> impl Iterator<Item = (usize, &mut Writer<'a>)> {
        self.active.iter_mut().map(|s| (s.id, &mut s.reply))
    }

    /// Takes out the replies that are over, each with its error if it failed.
    pub fn take_finished(&mut self) -> Vec<Finished<'a>> {
        let complete = std::mem::take(&mut self.complete).into_iter();
        let over = self.take_out(Active::is_over);
        complete.map(|(id, reply)| (id, Ok(reply))).chain(over).collect()
    }

    /// Takes out the replies whose ids are `unwanted`; their prompts stay in the KV cache.
    #[cfg(feature = "serve")]
    pub fn cancel(&mut self, unwanted: impl Fn(usize) -> bool) -> Vec<Finished<'a>> {
        self.take_out(|active| unwanted(active.id))
    }

    fn take_out(&mut self, leaves: impl Fn(&Active<'a>) -> bool) -> Vec<Finished<'a>> {
        let mut taken = Vec::new();
        for active in self.active.extract_if(.., |active| leaves(active)) {
            self.engine.store.end(active.sequence);
            let outcome = active.failed.map_or(Ok(active.reply), Err);
            taken.push((active.id, outcome));
        }
        taken
    }

    /// Ends all replies where they are; returns the engine and the replies.
    pub fn end(mut self) -> (Engine, Vec<Finished<'a>>) {
        let mut replies = self.take_finished();
        replies.extend(self.take_out(|_| true));
        (self.engine, replies)
    }
}
