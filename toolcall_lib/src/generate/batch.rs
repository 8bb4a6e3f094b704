//! Replies that are written together: each step of the batch is one pass over the weights that
//! serves all of them. They join and leave between two steps, and no reply depends on the others.

use super::engine::Engine;
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::model::{KvSequence, Model};
use rayon::prelude::*;

/// Tokens of prompts that are read in one step, unless a single prompt has more; bounds the memory
/// of a pass.
const READ_AT_ONCE: usize = 4096;

/// The replies that are being written, and what they run on.
pub(crate) struct Batch<'a> {
    model: &'a Model,
    engine: Engine,
    speaking: Vec<Speaker<'a>>,
    /// Replies that were over before their first step.
    silent: Vec<(usize, Writer<'a>)>,
    /// Tokens of prompts that the next step reads.
    to_read: usize,
}

/// The key of a reply that has left the batch, and the reply, or why it could not go on.
pub(crate) type Finished<'a> = (usize, Result<Writer<'a>>);

/// A reply that is being written.
struct Speaker<'a> {
    /// Name that the caller of [`Batch::admit`] gave it.
    key: usize,
    reply: Writer<'a>,
    sequence: KvSequence,
    /// Its tokens that the model has not seen.
    new: Vec<u32>,
    /// The error that ended it.
    failed: Option<Error>,
}

impl Speaker<'_> {
    fn is_over(&self) -> bool {
        self.failed.is_some() || self.reply.is_over()
    }
}

impl<'a> Batch<'a> {
    /// An empty batch of replies by `model`, which `engine` runs.
    pub fn new(model: &'a Model, engine: Engine) -> Self {
        Self {
            model,
            engine,
            speaking: Vec::new(),
            silent: Vec::new(),
            to_read: 0,
        }
    }

    /// No reply is being written, and none has finished.
    pub fn is_empty(&self) -> bool {
        self.speaking.is_empty() && self.silent.is_empty()
    }

    /// Replies that are being written.
    #[cfg(feature = "serve")]
    pub fn len(&self) -> usize {
        self.speaking.len()
    }

    /// Counts the tokens of a reply's prompt that are in the KV cache.
    #[cfg(feature = "serve")]
    pub fn known(&self, reply: &Writer<'a>) -> usize {
        self.engine.store.stored(reply.seen())
    }

    /// Adds a reply to the batch, or hands it back if the KV cache has no room for all tokens that it
    /// and the others may write. An empty batch takes any reply.
    pub fn admit(&mut self, key: usize, reply: Writer<'a>) -> Option<Writer<'a>> {
        if reply.is_over() {
            self.silent.push((key, reply));
            return None;
        }
        let store = &mut self.engine.store;
        let new = reply.seen().len() - store.stored(reply.seen());
        if !self.speaking.is_empty() {
            let room: usize = self.speaking.iter().map(|other| other.reply.room_left()).sum();
            let needed = store.tokens_in_use() + room + new + reply.room_left();
            let fits = needed <= store.most_tokens() && self.to_read + new <= READ_AT_ONCE;
            if !fits || self.speaking.len() >= self.engine.at_once {
                return Some(reply);
            }
        }
        self.to_read += new;
        self.speaking.push(Speaker {
            key,
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
    /// The pass over the model failed. No reply can go on, and the batch cannot be used any more.
    pub fn step(&mut self) -> Result<()> {
        self.to_read = 0;
        if self.speaking.is_empty() {
            return Ok(());
        }
        let new: Vec<(&KvSequence, &[u32])> =
            self.speaking.iter().map(|s| (&s.sequence, &s.new[..])).collect();
        let logits = self.engine.next_logits(&self.model.decoder, &new)?;
        // Finding the tokens that the constraint allows takes time, so all replies choose in parallel.
        let turns = self
            .speaking
            .par_iter_mut()
            .zip(logits.par_chunks_exact_mut(self.model.decoder.config.vocab_size));
        turns.for_each(|(speaker, logits)| match speaker.reply.next(logits) {
            Ok(new) => speaker.new = new,
            Err(error) => speaker.failed = Some(error),
        });
        Ok(())
    }

    /// The replies that are being written, to read what is new.
    pub fn speaking(&mut self) -> impl Iterator<Item = (usize, &mut Writer<'a>)> {
        self.speaking.iter_mut().map(|s| (s.key, &mut s.reply))
    }

    /// Takes out the replies that are over, each with why it could not go on, if it could not.
    pub fn finished(&mut self) -> Vec<Finished<'a>> {
        let silent = std::mem::take(&mut self.silent).into_iter();
        let over = self.take_out(Speaker::is_over);
        silent.map(|(key, reply)| (key, Ok(reply))).chain(over).collect()
    }

    /// Takes out the replies whose keys are `unwanted`; their prompts stay in the KV cache.
    #[cfg(feature = "serve")]
    pub fn cancel(&mut self, unwanted: impl Fn(usize) -> bool) -> Vec<Finished<'a>> {
        self.take_out(|speaker| unwanted(speaker.key))
    }

    fn take_out(&mut self, leaves: impl Fn(&Speaker<'a>) -> bool) -> Vec<Finished<'a>> {
        let mut left = Vec::new();
        for speaker in self.speaking.extract_if(.., |speaker| leaves(speaker)) {
            self.engine.store.end(speaker.sequence);
            let outcome = speaker.failed.map_or(Ok(speaker.reply), Err);
            left.push((speaker.key, outcome));
        }
        left
    }

    /// Ends all replies where they are; returns them, and what they ran on.
    pub fn end(mut self) -> (Engine, Vec<Finished<'a>>) {
        let mut left = self.finished();
        left.extend(self.take_out(|_| true));
        (self.engine, left)
    }
}
