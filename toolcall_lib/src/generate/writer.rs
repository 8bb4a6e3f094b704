//! A reply in the making.

use super::constraint::Constraint;
use super::sampler::Sampler;
use super::{GenerateConfig, Generation};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::tokens::TextStream;

pub(super) struct Writer<'a> {
    end: &'a [u32],
    sampler: Sampler,
    constraint: Option<Constraint>,
    stream: TextStream,
    /// The tokens of the prompt and of the reply.
    seen: Vec<u32>,
    generation: Generation,
    /// Bytes of its text that were handed over.
    handed_over: usize,
    /// Most tokens that the reply may have.
    room: usize,
    /// No token may follow.
    over: bool,
}

impl<'a> Writer<'a> {
    /// A reply to a prompt of these tokens, number `index` of those that are made together. Tokens that must come first are
    /// written.
    pub fn new(
        model: &'a Model,
        prompt: Vec<u32>,
        config: &GenerateConfig,
        constraint: Option<Constraint>,
        index: usize,
    ) -> Result<Self> {
        if prompt.is_empty() {
            let problem = "it is empty; give the model something to continue";
            return Err(Error::invalid("prompt", problem));
        }
        let longest = model.decoder.config.max_position_embeddings;
        if prompt.len() >= longest {
            let tokens = prompt.len();
            let problem =
                format!("has {tokens} tokens, and the model takes {longest} with the reply; shorten it");
            return Err(Error::invalid("prompt", problem));
        }
        let room = config.max_new_tokens.min(longest - prompt.len());
        let mut reply = Self {
            end: &model.tokenizer.eos_token_ids,
            sampler: Sampler::new(config, index)?,
            constraint,
            stream: TextStream::new(&model.tokenizer),
            seen: prompt,
            generation: Generation::default(),
            handed_over: 0,
            room,
            over: room == 0,
        };
        reply.forced()?;
        Ok(reply)
    }

    /// No token may follow.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The tokens of the prompt and of what was written.
    pub fn seen(&self) -> &[u32] {
        &self.seen
    }

    /// Tokens that may follow.
    pub fn room_left(&self) -> usize {
        self.room - self.generation.ids.len()
    }

    /// The text since the last call.
    pub fn new_text(&mut self) -> &str {
        let new = &self.generation.text[self.handed_over..];
        self.handed_over = self.generation.text.len();
        new
    }

    /// Chooses the next token, for which the logits are changed. Returns it with those that must follow it, which need no choice; none if the reply ends here.
    pub fn next(&mut self, logits: &mut [f32]) -> Result<Vec<u32>> {
        if self.over {
            return Ok(Vec::new());
        }
        self.sampler.penalize(&self.seen, logits);
        if let Some(constraint) = &mut self.constraint {
            constraint.mask(logits, self.end)?;
        }
        let (id, logprob) = self.sampler.choose(logits);
        if self.end.contains(&id) {
            self.generation.finished = true;
            self.over = true;
            return Ok(Vec::new());
        }
        self.write(id, logprob)?;
        let mut new = vec![id];
        new.extend(self.forced()?);
        Ok(new)
    }

    /// Writes the tokens that must come next.
    fn forced(&mut self) -> Result<Vec<u32>> {
        let mut written = Vec::new();
        let forced = match &mut self.constraint {
            Some(constraint) if !self.over => constraint.forced(),
            _ => Vec::new(),
        };
        for id in forced {
            if self.over {
                break;
            }
            self.write(id, 0.0)?;
            written.push(id);
        }
        Ok(written)
    }

    fn write(&mut self, id: u32, logprob: f32) -> Result<()> {
        let piece = self.stream.push(id)?;
        self.seen.push(id);
        self.generation.ids.push(id);
        self.generation.logprobs.push(logprob);
        self.generation.text.push_str(&piece);
        if let Some(constraint) = &mut self.constraint {
            constraint.push(id)?;
            self.generation.finished = constraint.is_over();
        }
        self.over = self.generation.finished || self.generation.ids.len() >= self.room;
        Ok(())
    }

    /// What was written, and the text that was not handed over; an incomplete character at the end is shown as `�`.
    pub fn finish(mut self) -> Result<(Generation, String)> {
        self.generation.text.push_str(&self.stream.finish()?);
        let rest = self.generation.text[self.handed_over..].to_string();
        Ok((self.generation, rest))
    }
}
