//! A reply in the making.

use super::confidence::confidences;
use super::constraint::Constraint;
use super::sampler::{Sampler, log_sum_exp};
use super::{GenerateConfig, Generation};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::tokens::TextStream;

pub(crate) struct Writer<'a> {
    config: GenerateConfig,
    end: &'a [u32],
    sampler: Sampler,
    constraint: Option<Constraint>,
    stream: TextStream,
    /// The tokens of the prompt and of the reply.
    seen: Vec<u32>,
    generation: Generation,
    /// Where in the text each token of the reply ends.
    ends: Vec<usize>,
    /// Bytes of its text that were handed over.
    handed_over: usize,
    /// Most tokens that the reply may have.
    room: usize,
    /// No token may follow.
    over: bool,
}

/// A token of a reply.
#[cfg(feature = "serve")]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    /// Its number.
    pub id: u32,
    /// The text that it completes.
    pub text: String,
    /// The logarithm of the probability that the model itself gave it; nothing for one that had to
    /// come.
    pub logprob: Option<f32>,
    /// The tokens that the model itself held likeliest here.
    pub likeliest: Vec<(u32, f32)>,
}

impl<'a> Writer<'a> {
    /// A reply to a prompt of these tokens, number `index` of those that are made together. Tokens that must come first are
    /// written.
    pub fn new(
        model: &'a Model,
        prompt: Vec<u32>,
        config: GenerateConfig,
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
            sampler: Sampler::new(&config, index)?,
            config,
            constraint,
            stream: TextStream::new(&model.tokenizer),
            seen: prompt,
            generation: Generation::default(),
            ends: Vec::new(),
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

    /// The text since the last call; none before the end where a call may have to be withheld.
    pub fn new_text(&mut self) -> &str {
        if self.config.min_confidence > 0.0 {
            return "";
        }
        let new = &self.generation.text[self.handed_over..];
        self.handed_over = self.generation.text.len();
        new
    }

    /// The tokens from number `from` on, each with the text that it completes.
    #[cfg(feature = "serve")]
    pub fn tokens(&self, from: usize) -> impl Iterator<Item = Token> {
        let written = &self.generation;
        let start = |i: usize| i.checked_sub(1).map_or(0, |before| self.ends[before]);
        (from..written.ids.len()).map(move |i| Token {
            id: written.ids[i],
            text: written.text[start(i)..self.ends[i]].to_string(),
            logprob: written.model_logprobs[i],
            likeliest: written.top_logprobs[i].clone(),
        })
    }

    /// Chooses the next token, for which the logits are changed. Returns it with those that must follow it, which need no choice; none if the reply ends here.
    pub fn next(&mut self, logits: &mut [f32]) -> Result<Vec<u32>> {
        if self.over {
            return Ok(Vec::new());
        }
        let total = log_sum_exp(logits);
        let likeliest = likeliest(logits, self.config.top_logprobs, total);
        let own = (self.config.repetition_penalty != 1.0).then(|| logits.to_vec());
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
        // The constraint leaves the logits of what it allows as they are.
        let own = own.as_deref().unwrap_or(logits)[id as usize] - total;
        self.write(id, logprob, Some(own), likeliest)?;
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
            self.write(id, 0.0, None, Vec::new())?;
            written.push(id);
        }
        Ok(written)
    }

    fn write(&mut self, id: u32, logprob: f32, own: Option<f32>, likeliest: Vec<(u32, f32)>) -> Result<()> {
        let piece = self.stream.push(id)?;
        self.seen.push(id);
        self.generation.ids.push(id);
        self.generation.logprobs.push(logprob);
        self.generation.model_logprobs.push(own);
        self.generation.top_logprobs.push(likeliest);
        self.generation.text.push_str(&piece);
        self.ends.push(self.generation.text.len());
        if let Some(constraint) = &mut self.constraint {
            constraint.push(id)?;
            self.generation.finished = constraint.is_over();
        }
        self.over = self.generation.finished || self.generation.ids.len() >= self.room;
        Ok(())
    }

    /// Ends the reply: true if it ended by itself, and the text behind its last token, where an
    /// incomplete character is shown as `�`.
    #[cfg(feature = "serve")]
    pub fn end(self) -> Result<(bool, String)> {
        Ok((self.generation.finished, self.stream.finish()?))
    }

    /// What was written, and the text that was not handed over; an incomplete character at the end is shown as `�`.
    pub fn finish(mut self) -> Result<(Generation, String)> {
        let reply = &mut self.generation;
        reply.text.push_str(&self.stream.finish()?);
        reply.confidences = confidences(&reply.text, &self.ends, &reply.model_logprobs);
        if reply
            .confidences
            .iter()
            .any(|&sure| sure < self.config.min_confidence)
        {
            let said = self.config.unsure_reply.clone();
            reply.withheld = Some(std::mem::replace(&mut reply.text, said));
        }
        let rest = self.generation.text[self.handed_over..].to_string();
        Ok((self.generation, rest))
    }
}

/// The `most` likeliest tokens with the logarithms of their probabilities, the first of equals
/// first.
fn likeliest(logits: &[f32], most: usize, total: f32) -> Vec<(u32, f32)> {
    let most = most.min(logits.len());
    if most == 0 {
        return Vec::new();
    }
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut all: Vec<(u32, f32)> = (0..).zip(logits.iter().map(|logit| logit - total)).collect();
    all.select_nth_unstable_by(most - 1, order);
    all.truncate(most);
    all.sort_unstable_by(order);
    all
}
