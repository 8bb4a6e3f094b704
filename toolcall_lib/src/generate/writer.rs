//! The writer of one reply: from the logits after its last token to its next tokens and their text.

use super::confidence::confidences;
use super::constraint::Constraint;
use super::sampler::{Sampler, log_sum_exp};
use super::{GenerateConfig, Generation};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::tokens::TextStream;

/// A reply that is being written: its tokens, its text, its sampler and its constraint.
pub(crate) struct Writer<'a> {
    config: GenerateConfig,
    /// Token ids that end the reply.
    eos: &'a [u32],
    sampler: Sampler,
    constraint: Option<Constraint>,
    stream: TextStream,
    /// Token ids of the prompt and of the reply.
    seen: Vec<u32>,
    generation: Generation,
    /// Byte of the text at which each token of the reply ends.
    token_ends: Vec<usize>,
    /// Bytes of the text that were handed over.
    handed_over: usize,
    /// Most tokens that the reply may have.
    room: usize,
    /// True if no token may follow.
    over: bool,
}

/// A token of a reply.
#[cfg(feature = "serve")]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    /// Token id.
    pub id: u32,
    /// The text that the token completes.
    pub text: String,
    /// Natural logarithm of the model's own probability of the token; `None` if the constraint
    /// forced it.
    pub logprob: Option<f32>,
    /// The likeliest tokens here in the model's own distribution, with the logarithms of their
    /// probabilities.
    pub likeliest: Vec<(u32, f32)>,
}

impl<'a> Writer<'a> {
    /// Begins the reply to a prompt of these token ids, number `index` in its batch, and writes the
    /// tokens that the constraint forces at its start.
    ///
    /// # Errors
    /// Invalid settings, and a prompt that is empty or leaves no room in the context.
    pub fn new(
        model: &'a Model,
        prompt: Vec<u32>,
        config: GenerateConfig,
        constraint: Option<Constraint>,
        index: usize,
    ) -> Result<Self> {
        if prompt.is_empty() {
            let problem = "is empty; give at least one token for the model to continue";
            return Err(Error::invalid("prompt", problem));
        }
        // 1. The prompt must leave room for a reply in the context.
        let longest = model.decoder.config.max_position_embeddings;
        if prompt.len() >= longest {
            let tokens = prompt.len();
            let problem = format!(
                "has {tokens} tokens, but prompt and reply together may have at most {longest}; shorten \
                    the prompt"
            );
            return Err(Error::invalid("prompt", problem));
        }
        let room = config.max_new_tokens.min(longest - prompt.len());
        // 2. An empty reply, with the tokens that the constraint forces.
        let mut reply = Self {
            eos: &model.tokenizer.eos_token_ids,
            sampler: Sampler::new(&config, index)?,
            config,
            constraint,
            stream: TextStream::new(&model.tokenizer),
            seen: prompt,
            generation: Generation::default(),
            token_ends: Vec::new(),
            handed_over: 0,
            room,
            over: room == 0,
        };
        reply.forced()?;
        Ok(reply)
    }

    /// Returns true if no token may follow.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Returns the token ids of the prompt and of the reply so far.
    pub fn seen(&self) -> &[u32] {
        &self.seen
    }

    /// Returns the number of tokens that may still follow.
    pub fn room_left(&self) -> usize {
        self.room - self.generation.ids.len()
    }

    /// Returns the text that was not handed over yet. If `min_confidence` is set, it comes at the
    /// end, because a call may have to be withheld. After a first call, text is held back until the
    /// next call is complete or the reply ends, because a call that repeats an earlier one is cut.
    pub fn new_text(&mut self) -> &str {
        if self.config.min_confidence > 0.0 {
            return "";
        }
        let text = &self.generation.text;
        let calls = self
            .constraint
            .as_ref()
            .map_or(0, |constraint| constraint.end_of_calls(text));
        let certain = if calls > 0 { calls } else { text.len() };
        let start = self.handed_over;
        self.handed_over = certain.max(start);
        &text[start..self.handed_over]
    }

    /// Returns the tokens from number `from` on, each with the text that it completes.
    #[cfg(feature = "serve")]
    pub fn tokens(&self, from: usize) -> impl Iterator<Item = Token> {
        let written = &self.generation;
        let start = |i: usize| i.checked_sub(1).map_or(0, |before| self.token_ends[before]);
        (from..written.ids.len()).map(move |i| Token {
            id: written.ids[i],
            text: written.text[start(i)..self.token_ends[i]].to_string(),
            logprob: written.model_logprobs[i],
            likeliest: written.top_logprobs[i].clone(),
        })
    }

    /// Chooses the next token; changes `logits`, of `[vocabulary]` elements, on the way. Returns it
    /// with the forced tokens that follow it, or nothing if the reply ends here.
    ///
    /// # Errors
    /// The constraint allows no token, the model computes no numbers, or a token cannot be decoded.
    pub fn next(&mut self, logits: &mut [f32]) -> Result<Vec<u32>> {
        if self.over {
            return Ok(Vec::new());
        }
        // 1. The model's own distribution, before penalty and constraint.
        let lse = log_sum_exp(logits);
        let likeliest = likeliest(logits, self.config.top_logprobs, lse);
        let raw = (self.config.repetition_penalty != 1.0).then(|| logits.to_vec());
        // 2. Penalty, constraint, choice.
        self.sampler.penalize(&self.seen, logits);
        if let Some(constraint) = &mut self.constraint {
            constraint.mask(logits, self.eos)?;
        }
        let (id, logprob) = self.sampler.choose(logits)?;
        // 3. An EOS token ends the reply and is not part of it.
        if self.eos.contains(&id) {
            self.generation.finished = true;
            self.over = true;
            return Ok(Vec::new());
        }
        // 4. Without a penalty, `logits` still holds the model's own logit of an allowed token: the
        //    constraint only masks the others.
        let model_logprob = raw.as_deref().unwrap_or(logits)[id as usize] - lse;
        self.append(id, logprob, Some(model_logprob), likeliest)?;
        let mut new = vec![id];
        new.extend(self.forced()?);
        Ok(new)
    }

    /// Writes the tokens that the constraint forces next, and returns them. They need no separate
    /// pass: the next pass reads them together with the chosen token.
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
            self.append(id, 0.0, None, Vec::new())?;
            written.push(id);
        }
        Ok(written)
    }

    /// Appends a token to the reply, and lets the constraint and the text stream follow.
    fn append(
        &mut self,
        id: u32,
        logprob: f32,
        model_logprob: Option<f32>,
        likeliest: Vec<(u32, f32)>,
    ) -> Result<()> {
        let piece = self.stream.push(id)?;
        self.seen.push(id);
        self.generation.ids.push(id);
        self.generation.logprobs.push(logprob);
        self.generation.model_logprobs.push(model_logprob);
        self.generation.top_logprobs.push(likeliest);
        self.generation.text.push_str(&piece);
        self.token_ends.push(self.generation.text.len());
        if let Some(constraint) = &mut self.constraint {
            constraint.push(id)?;
            self.generation.finished = constraint.is_over();
            // A model that repeats a call is in a loop, and the caller would run it twice.
            if let Some(end) = constraint.repeats(&self.generation.text) {
                self.cut(end);
            }
        }
        self.over = self.generation.finished || self.generation.ids.len() >= self.room;
        Ok(())
    }

    /// Ends the reply after byte `end` of its text, with the token that holds the byte before it.
    fn cut(&mut self, end: usize) {
        let tokens = self.token_ends.partition_point(|&token_end| token_end < end) + 1;
        self.token_ends.truncate(tokens);
        let reply = &mut self.generation;
        reply.ids.truncate(tokens);
        reply.logprobs.truncate(tokens);
        reply.model_logprobs.truncate(tokens);
        reply.top_logprobs.truncate(tokens);
        reply.text.truncate(self.token_ends.last().copied().unwrap_or(0));
        reply.finished = true;
    }

    /// Ends the reply. Returns true if it ended by itself, and the text after its last token, in
    /// which an incomplete character is shown as `�`.
    #[cfg(feature = "serve")]
    pub fn end(self) -> Result<(bool, String)> {
        Ok((self.generation.finished, self.stream.finish()?))
    }

    /// Returns the reply, and its text that was not handed over; an incomplete character at the end
    /// is shown as `�`. Puts `unsure_reply` in place of a reply with a call below `min_confidence`.
    pub fn finish(mut self) -> Result<(Generation, String)> {
        let reply = &mut self.generation;
        reply.text.push_str(&self.stream.finish()?);
        reply.confidences = confidences(&reply.text, &self.token_ends, &reply.model_logprobs);
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

/// Returns the `most` likeliest tokens with the logarithms of their probabilities, sorted by logit,
/// then by id. `lse` is the log-sum-exp of `logits`.
fn likeliest(logits: &[f32], most: usize, lse: f32) -> Vec<(u32, f32)> {
    let most = most.min(logits.len());
    if most == 0 {
        return Vec::new();
    }
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut all: Vec<(u32, f32)> = (0..).zip(logits.iter().map(|logit| logit - lse)).collect();
    all.select_nth_unstable_by(most - 1, order);
    all.truncate(most);
    all.sort_unstable_by(order);
    all
}
