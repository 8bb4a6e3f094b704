//! Turns the tokens of a reply into the deltas that a client gets: text as it comes, a call when it
//! is complete.
//!
//! A reply that is not streamed is put together from the same deltas, so both are the same. Stop
//! sequences end a reply where its text contains them, and nowhere else: not in a thought, a tag or
//! an argument, which the user never sees.

use super::wire::{Call, Delta, random_id};
use crate::generate::{Token, confidences};
use crate::reply::parse_with;
use crate::syntax::{CallSyntax, tags};
use crate::template::{ChatTemplate, Thought};
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
    /// Byte offset after each token.
    ends: Vec<usize>,
    /// Log probability of each token; `None` if the constraint forced it.
    logprobs: Vec<Option<f32>>,
    /// Offset of the text in which no stop sequence can begin any more.
    settled: usize,
    /// True if one of `stops` was written.
    stopped: bool,
    state: State,
    /// Offset of the first byte that was not sent to the client.
    told: usize,
    /// Offset of the answer, after the thought.
    answer: usize,
    /// Number of calls that were sent to the client.
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
        let begun = template.thought(prompt) == Thought::Begun;
        let syntax = template.call_syntax().cloned();
        Self {
            syntax: syntax.unwrap_or_else(CallSyntax::hermes),
            template,
            tools,
            stops,
            text: String::new(),
            ends: Vec::new(),
            logprobs: Vec::new(),
            settled: 0,
            stopped: false,
            state: if begun { State::Thought } else { State::Start },
            told: 0,
            answer: 0,
            calls: 0,
        }
    }

    /// Returns true if a stop sequence was written; nothing after it counts.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Returns true if the client has been sent calls.
    pub fn has_called(&self) -> bool {
        self.calls > 0
    }

    /// Returns how many tokens are known to begin before a stop sequence.
    pub fn settled(&self) -> usize {
        match self.settled {
            0 => 0,
            settled => (1 + self.ends.partition_point(|&end| end < settled)).min(self.ends.len()),
        }
    }

    /// Adds a token; returns the deltas that it completes.
    pub fn push(&mut self, token: &Token) -> Vec<Delta> {
        let mut deltas = Vec::new();
        if !self.stopped {
            self.text.push_str(&token.text);
            self.ends.push(self.text.len());
            self.logprobs.push(token.logprob);
            self.advance(false, &mut deltas);
        }
        deltas
    }

    /// Ends the reply and returns its last deltas. `rest` is a piece of text that belongs to no
    /// token; `finished` says that the reply was not cut off.
    pub fn finish(&mut self, rest: &str, finished: bool) -> Vec<Delta> {
        let mut deltas = Vec::new();
        if self.stopped {
            return deltas;
        }
        // Nothing follows, so what may have been the beginning of a tag or a stop is text.
        self.text.push_str(rest);
        self.advance(true, &mut deltas);
        if !self.stopped {
            self.settled = usize::MAX;
        }
        if self.state == State::Calls {
            self.finish_calls(finished, &mut deltas);
        }
        deltas
    }

    /// Moves from state to state as far as the text allows; `over` says that no text follows.
    fn advance(&mut self, over: bool, deltas: &mut Vec<Delta>) {
        if self.state == State::Start {
            self.start(over);
        }
        if self.state == State::Thought {
            self.think(over, deltas);
        }
        if self.state == State::Words {
            self.say(over, deltas);
        }
        if self.state == State::Calls {
            self.call(deltas);
        }
        if matches!(self.state, State::Thought | State::Calls) {
            self.settled = self.text.len();
        }
    }

    /// Starts a thought if the text begins with its tag, and an answer if it cannot.
    fn start(&mut self, over: bool) {
        let text = self.text.trim_start();
        if text.starts_with(tags::THINK) {
            self.told = self.text.len() - text.len() + tags::THINK.len();
            self.state = State::Thought;
        } else if over || !tags::THINK.starts_with(text) {
            self.state = State::Words;
        }
    }

    /// Ends the thought at its closing tag or at the end of the text, and emits it as a whole.
    fn think(&mut self, over: bool, deltas: &mut Vec<Delta>) {
        let text = &self.text[self.told..];
        let (thought, rest) = match text.split_once(tags::THINK_END) {
            Some(parts) => parts,
            None if over => (text, ""),
            None => return,
        };
        let thought = thought.trim();
        if !thought.is_empty() {
            deltas.push(Delta::Reasoning(thought.to_string()));
        }
        self.told = self.text.len() - rest.len();
        self.answer = self.told;
        self.settled = self.told;
        self.state = State::Words;
    }

    /// Emits text up to the place where a call or a stop sequence begins, or may begin.
    fn say(&mut self, over: bool, deltas: &mut Vec<Delta>) {
        let Some((end, calls)) = self.words(over) else {
            return;
        };
        // White space before a call is not emitted, so a stop sequence in it waits for what
        // follows.
        let certain = self.tools.is_empty() || (over && !calls);
        let seen = if certain {
            end
        } else {
            self.text[..end].trim_end().len()
        };
        self.look_for_stops(seen, over || calls);
        self.tell_words(deltas);
        if calls && !self.stopped {
            self.state = State::Calls;
        }
    }

    /// Returns the end of the text that is certainly outside of calls, and whether a call begins
    /// there; `None` if nothing is known yet.
    fn words(&self, over: bool) -> Option<(usize, bool)> {
        let all = self.text.len();
        if self.tools.is_empty() {
            return Some((all, false));
        }
        let text = &self.text[self.told..];
        match self.syntax.marker() {
            Some(mark) => Some(match text.find(mark) {
                Some(place) => (self.told + place, true),
                None if over => (all, false),
                None => (all - begun(text, mark), false),
            }),
            // Without a mark, any reply that begins with a call's first letter is a call.
            None => {
                let first = self.syntax.begin.trim_start().chars().next();
                let letter = self.text[self.answer..].trim_start().chars().next()?;
                let calls = Some(letter) == first && self.told == self.answer;
                Some(if calls { (self.answer, true) } else { (all, false) })
            }
        }
    }

    /// Looks for stop sequences in the text up to `seen`, without its leading white space. Unless
    /// the text is `over`, settles nothing that may be the beginning of one.
    fn look_for_stops(&mut self, seen: usize, over: bool) {
        let answer = &self.text[self.answer..];
        let first = self.answer + answer.len() - answer.trim_start().len();
        let from = self.settled.max(first);
        let Some(new) = self.text.get(from..seen) else {
            return;
        };
        let found = self.stops.iter().filter_map(|stop| new.find(stop.as_str())).min();
        if let Some(place) = found {
            (self.settled, self.stopped) = (from + place, true);
            return;
        }
        let held = self.stops.iter().map(|stop| begun(new, stop)).max();
        self.settled = seen - held.filter(|_| !over).unwrap_or(0);
    }

    /// Emits the settled text, without white space around all of it.
    fn tell_words(&mut self, deltas: &mut Vec<Delta>) {
        let nothing_told = self.told == self.answer;
        let text = &self.text[self.told..self.settled];
        let text = if nothing_told { text.trim_start() } else { text };
        let words = text.trim_end();
        if words.is_empty() {
            return;
        }
        self.told = self.settled - (text.len() - words.len());
        deltas.push(Delta::Content(words.to_string()));
    }

    /// Emits the complete calls, whose closing tag was written.
    fn call(&mut self, deltas: &mut Vec<Delta>) {
        let Some(mark) = self.syntax.end_marker() else {
            return;
        };
        let answer = &self.text[self.answer..];
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

    /// Emits the calls after those that were emitted; they are in the text up to `end`.
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

    /// Emits the remaining calls: drops one that was cut off, and emits one that cannot be read as
    /// text.
    fn finish_calls(&mut self, finished: bool, deltas: &mut Vec<Delta>) {
        let reply = parse_with(&self.text[self.answer..], &self.template, &self.tools);
        if !reply.malformed {
            self.tell_calls(reply.tool_calls, self.text.len(), deltas);
        } else if finished && self.calls == 0 {
            let rest = self.text[self.told..].trim_end().to_string();
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CALL: &str = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": \"a\\nb\"}}\n</tool_call>";

    /// Returns what a client is sent of a reply of these tokens, how many count, and whether a stop
    /// sequence ended it.
    fn told(pieces: &[&str], stops: &[&str], with_tools: bool) -> (Vec<String>, usize, bool) {
        let template = ChatTemplate::hermes("<|im_end|>").unwrap();
        let tool = ToolSchema::new(json!({"name": "f", "parameters": {}})).unwrap();
        let tools = Vec::from_iter(with_tools.then_some(tool));
        let stops = stops.iter().map(|stop| stop.to_string()).collect();
        let mut assembler = Assembler::new(template, "", tools, stops);
        let mut deltas = Vec::new();
        for piece in pieces {
            let token = Token {
                id: 0,
                text: piece.to_string(),
                logprob: None,
                likeliest: Vec::new(),
            };
            deltas.extend(assembler.push(&token));
        }
        deltas.extend(assembler.finish("", true));
        let shown = deltas.into_iter().map(|delta| match delta {
            Delta::Reasoning(text) => format!("thought {text}"),
            Delta::Content(text) => text,
            Delta::Call(call) => format!("call {} {}", call.name, call.arguments),
        });
        (shown.collect(), assembler.settled(), assembler.stopped())
    }

    #[test]
    fn stops_end_a_reply_in_its_words_alone() {
        let call = r#"call f {"x":"a\nb"}"#;
        let halves = [&CALL[..14], &CALL[14..]];
        // tags, arguments, and white space around a call are not text
        for stop in ["\n", "name", "{", "<", "call"] {
            let (said, _, stopped) = told(&halves, &[stop], true);
            assert_eq!((&said[..], stopped), (&[call.to_string()][..], false), "{stop:?}");
        }
        let (said, tokens, stopped) = told(&["Yes", ".", "\n\n", halves[0], halves[1]], &["\n"], true);
        assert_eq!(
            (said.join("|"), tokens, stopped),
            (format!("Yes|.|{call}"), 5, false)
        );
        // nor is a thought
        let (said, _, stopped) = told(&["<think>a\nb</think>", "\n\nc\nd", " e"], &["\n"], true);
        assert_eq!((said.join("|"), stopped), ("thought a\nb|c".to_string(), true));
        // text is, up to a call and without one
        for with_tools in [false, true] {
            let (said, tokens, stopped) = told(&["\nOne", "\n", "\n", "two"], &["\n\n"], with_tools);
            assert_eq!((said.join("|"), tokens, stopped), ("One".to_string(), 1, true));
            let (said, _, stopped) = told(&["a <", "b", " c"], &["<b"], with_tools);
            assert_eq!((said.join("|"), stopped), ("a".to_string(), true));
            let (said, _, stopped) = told(&["One", "\n"], &["\n"], with_tools);
            assert_eq!((said.join("|"), stopped), ("One".to_string(), true));
        }
        let (said, _, stopped) = told(&["One STOP ", CALL], &["STOP"], true);
        assert_eq!((said.join("|"), stopped), ("One".to_string(), true));
    }

    /// The writer removes the last token of a call that repeats an earlier one.
    #[test]
    fn a_call_whose_end_does_not_come_is_not_told() {
        let begun = &CALL[..CALL.len() - "</tool_call>".len()];
        let (said, ..) = told(&[CALL, "\n", begun], &[], true);
        assert_eq!(said, [r#"call f {"x":"a\nb"}"#]);
    }

    #[test]
    fn a_thought_that_is_cut_off_is_told() {
        for with_tools in [false, true] {
            let (said, tokens, _) = told(&["<think>", " a", " b </th"], &["a"], with_tools);
            assert_eq!((said.join("|"), tokens), ("thought a b </th".to_string(), 3));
        }
    }

    #[test]
    fn the_beginning_of_a_stop_is_told_when_it_is_none() {
        let (said, tokens, stopped) = told(&["a ST", "AR", " ST"], &["STOP"], true);
        assert_eq!(
            (said.concat(), tokens, stopped),
            ("a STAR ST".to_string(), 3, false)
        );
    }
}
