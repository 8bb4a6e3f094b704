//! Turns the tokens of a reply into the deltas that a client gets: words as they come, a call when
//! it is complete.
//!
//! A reply that is not streamed is put together from the same deltas, so both say the same.

use super::wire::{Call, Delta, random_id};
use crate::generate::{Token, confidences};
use crate::reply::parse_with;
use crate::syntax::{CallSyntax, tags};
use crate::template::ChatTemplate;
use crate::tool::{ToolCall, ToolSchema};
use serde_json::Value;

/// Collects the tokens of one reply and turns them into deltas.
pub(crate) struct Assembler {
    template: ChatTemplate,
    /// The syntax in which the template writes calls.
    syntax: CallSyntax,
    tools: Vec<ToolSchema>,
    stops: Vec<String>,
    /// All text so far.
    text: String,
    /// Byte offset behind each token.
    ends: Vec<usize>,
    /// Log probability of each token; `None` if the constraint forced it.
    logprobs: Vec<Option<f32>>,
    /// End of the text that counts; the text behind it may be the beginning of a stop sequence.
    counts: usize,
    /// True if one of `stops` was written.
    stopped: bool,
    state: State,
    /// Offset of the first byte that the client has not been told.
    told: usize,
    /// Offset of the answer, behind the thought.
    answer: usize,
    /// Number of calls that the client has been told.
    calls: usize,
}

/// State of the reply: the part that is being written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Only white space, or the beginning of a tag.
    Start,
    Thought,
    Words,
    Calls,
}

impl Assembler {
    /// Begins a reply to `prompt`. Without tools, nothing is a call.
    pub fn new(template: ChatTemplate, prompt: &str, tools: Vec<ToolSchema>, stops: Vec<String>) -> Self {
        let begun = prompt.trim_end().ends_with(tags::THINK);
        let syntax = template.call_syntax().cloned();
        Self {
            syntax: syntax.unwrap_or_else(CallSyntax::hermes),
            template,
            tools,
            stops,
            text: String::new(),
            ends: Vec::new(),
            logprobs: Vec::new(),
            counts: 0,
            stopped: false,
            state: if begun { State::Thought } else { State::Start },
            told: 0,
            answer: 0,
            calls: 0,
        }
    }

    /// Returns true if a stop sequence was written; nothing behind it counts.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Returns true if the client has been told calls.
    pub fn has_called(&self) -> bool {
        self.calls > 0
    }

    /// Adds a token; returns the deltas that it completes.
    pub fn push(&mut self, token: &Token) -> Vec<Delta> {
        if self.stopped {
            return Vec::new();
        }
        self.text.push_str(&token.text);
        self.ends.push(self.text.len());
        self.logprobs.push(token.logprob);
        self.look_for_stops();
        let mut deltas = Vec::new();
        self.advance(&mut deltas);
        deltas
    }

    /// Ends the reply and returns its last deltas. `rest` is a piece of text that belongs to no
    /// token; `finished` says that the reply was not cut off.
    pub fn finish(&mut self, rest: &str, finished: bool) -> Vec<Delta> {
        let mut deltas = Vec::new();
        // 1. The rest of the text counts, unless a stop sequence came before it.
        if !self.stopped {
            self.text.push_str(rest);
            self.look_for_stops();
        }
        if !self.stopped {
            self.counts = self.text.len();
        }
        self.advance(&mut deltas);
        // 2. Tell what the state has held back.
        match self.state {
            State::Start => self.tell_words(self.counts, &mut deltas),
            State::Thought => {
                let thought = self.text[self.told..self.counts].trim().to_string();
                deltas.extend(
                    Some(thought)
                        .filter(|text| !text.is_empty())
                        .map(Delta::Reasoning),
                );
            }
            State::Words => self.tell_words(self.counts, &mut deltas),
            State::Calls => self.finish_calls(finished && !self.stopped, &mut deltas),
        }
        deltas
    }

    /// Looks for stop sequences and moves the end of the text that counts. Holds back text that may
    /// be the beginning of one.
    fn look_for_stops(&mut self) {
        let new = &self.text[self.counts..];
        let found = self.stops.iter().filter_map(|stop| new.find(stop.as_str())).min();
        if let Some(place) = found {
            (self.counts, self.stopped) = (self.counts + place, true);
            return;
        }
        let held = self.stops.iter().map(|stop| begun(new, stop)).max().unwrap_or(0);
        self.counts = self.text.len() - held;
    }

    /// Moves from state to state as far as the text allows.
    fn advance(&mut self, deltas: &mut Vec<Delta>) {
        if self.state == State::Start {
            self.start();
        }
        if self.state == State::Thought {
            self.think(deltas);
        }
        if self.state == State::Words {
            self.say(deltas);
        }
        if self.state == State::Calls {
            self.call(deltas);
        }
    }

    /// Starts a thought if the text begins with its tag, and an answer if it cannot.
    fn start(&mut self) {
        let text = self.text[..self.counts].trim_start();
        if text.starts_with(tags::THINK) {
            self.told = self.counts - text.len() + tags::THINK.len();
            self.state = State::Thought;
        } else if !tags::THINK.starts_with(text) {
            self.state = State::Words;
        }
    }

    /// Ends the thought at its closing tag, and tells it as a whole.
    fn think(&mut self, deltas: &mut Vec<Delta>) {
        let Some(length) = self.text[self.told..self.counts].find(tags::THINK_END) else {
            return;
        };
        let thought = self.text[self.told..self.told + length].trim();
        if !thought.is_empty() {
            deltas.push(Delta::Reasoning(thought.to_string()));
        }
        self.told += length + tags::THINK_END.len();
        self.answer = self.told;
        self.state = State::Words;
    }

    /// Tells words up to the place where a call begins, or may begin.
    fn say(&mut self, deltas: &mut Vec<Delta>) {
        let text = &self.text[self.told..self.counts];
        if self.tools.is_empty() {
            return self.tell_words(self.counts, deltas);
        }
        match self.syntax.marker() {
            Some(mark) => match text.find(mark) {
                Some(place) => {
                    self.tell_words(self.told + place, deltas);
                    self.state = State::Calls;
                }
                None => self.tell_words(self.counts - begun(text, mark), deltas),
            },
            // Without a mark, any reply that begins with a call's first letter is a call.
            None => {
                let first = self.syntax.begin.trim_start().chars().next();
                let said = &self.text[self.answer..self.counts];
                match said.trim_start().chars().next() {
                    None => {}
                    letter if letter == first && said.len() == text.len() => self.state = State::Calls,
                    _ => self.tell_words(self.counts, deltas),
                }
            }
        }
    }

    /// Tells the text up to `end`, without white space around the whole of it.
    fn tell_words(&mut self, end: usize, deltas: &mut Vec<Delta>) {
        let nothing_told = self.told == self.answer;
        let text = &self.text[self.told..end];
        let text = if nothing_told { text.trim_start() } else { text };
        let words = text.trim_end();
        if words.is_empty() {
            return;
        }
        self.told = end - (text.len() - words.len());
        deltas.push(Delta::Content(words.to_string()));
        self.state = State::Words;
    }

    /// Tells the calls that are complete: those whose closing tag was written.
    fn call(&mut self, deltas: &mut Vec<Delta>) {
        let Some(mark) = self.syntax.end_marker() else {
            return;
        };
        let answer = &self.text[self.answer..self.counts];
        let ends = answer.matches(mark).count();
        if ends <= self.calls {
            return;
        }
        let Some(last) = answer.rfind(mark) else {
            return;
        };
        let end = self.answer + last + mark.len();
        if let Some((_, calls)) = self.syntax.read(&self.text[self.answer..end], &self.tools) {
            self.tell_calls(calls, end, deltas);
        }
    }

    /// Tells the calls behind those that were told; they are in the text up to `end`.
    fn tell_calls(&mut self, calls: Vec<ToolCall>, end: usize, deltas: &mut Vec<Delta>) {
        let sure = confidences(&self.text[..end], &self.ends, &self.logprobs);
        for (index, call) in calls.into_iter().enumerate().skip(self.calls) {
            deltas.push(Delta::Call(Call {
                index,
                id: call.id.unwrap_or_else(|| random_id("call_")),
                name: call.name,
                arguments: Value::Object(call.arguments).to_string(),
                confidence: sure.get(index).copied(),
            }));
            self.calls = index + 1;
        }
    }

    /// Tells the remaining calls: drops one that was cut off, and tells one that cannot be read as
    /// text.
    fn finish_calls(&mut self, finished: bool, deltas: &mut Vec<Delta>) {
        let text = &self.text[..self.counts];
        let reply = parse_with(&text[self.answer..], &self.template, &self.tools);
        if !reply.malformed {
            self.tell_calls(reply.tool_calls, self.counts, deltas);
        } else if finished && self.calls == 0 {
            let rest = text[self.told..].trim_end().to_string();
            deltas.push(Delta::Content(rest));
        }
    }
}

/// Returns the number of bytes at the end of `text` that may be the beginning of `mark`.
fn begun(text: &str, mark: &str) -> usize {
    let fits = |length: &usize| {
        mark.is_char_boundary(*length) && text.as_bytes().ends_with(&mark.as_bytes()[..*length])
    };
    (1..mark.len()).rev().find(fits).unwrap_or(0)
}
