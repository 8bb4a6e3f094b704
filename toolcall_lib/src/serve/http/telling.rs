//! Turns the events of a reply into a body, whole or as a stream.

use super::Served;
use super::log::Asked;
use crate::generate::Token;
use crate::serve::assemble::Assembler;
use crate::serve::metrics::Metrics;
use crate::serve::scheduler::Event;
use crate::serve::wire::{Delta, Head, Refusal, Usage, logprobs};
use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// Longest time in which a stream sends nothing. Then it sends a comment, so that no proxy takes a
/// reply that waits in the queue for a dead connection.
const QUIET: Duration = Duration::from_secs(5);
/// A comment of server-sent events, which clients skip.
const COMMENT: &[u8] = b": waiting\n\n";

/// A reply on its way to a client.
pub(super) struct Telling {
    pub head: Head,
    pub assembler: Assembler,
    pub served: Arc<Served>,
    pub metrics: Arc<Metrics>,
    /// Tells the model's thread that the client has all that it asked for.
    pub complete: Arc<AtomicBool>,
    /// True if the client wants the log probabilities of the tokens.
    pub with_logprobs: bool,
    /// True if the client wants a last chunk with the usage.
    pub with_usage: bool,
    /// Tokens whose log probabilities were not sent to the client.
    pub tokens: Vec<Token>,
    /// Number of tokens whose log probabilities were sent to the client.
    pub told_tokens: usize,
    /// Tokens read and written so far.
    pub usage: Usage,
}

/// The end of a reply: OpenAI's `finish_reason`, or the error.
type End = Result<&'static str, Refusal>;

impl Telling {
    /// Turns an event into deltas, and returns the end of the reply if this is the last event.
    fn take(&mut self, event: Event) -> (Vec<Delta>, Option<End>) {
        let (deltas, end) = match event {
            Event::Tokens(tokens, usage) => {
                self.usage = usage;
                let pushed = tokens.iter().flat_map(|token| self.assembler.push(token));
                let deltas = pushed.collect();
                if self.with_logprobs {
                    self.tokens.extend(tokens);
                }
                // A stop sequence ends the reply before the model's thread does.
                let stopped = self.assembler.stopped();
                self.complete.store(stopped, Relaxed);
                (deltas, stopped.then(|| self.ended(true)))
            }
            Event::Over { rest, finished } => {
                let deltas = self.assembler.finish(&rest, finished);
                let ended = self.ended(finished || self.assembler.stopped());
                (deltas, Some(ended))
            }
            Event::Failed(refusal) => (Vec::new(), Some(Err(refusal))),
        };
        (self.counted(deltas), end)
    }

    /// Returns the `finish_reason`.
    fn ended(&self, by_itself: bool) -> End {
        Ok(match (by_itself, self.assembler.has_called()) {
            (false, _) => "length",
            (true, true) => "tool_calls",
            (true, false) => "stop",
        })
    }

    /// Counts the calls among the deltas.
    fn counted(&self, deltas: Vec<Delta>) -> Vec<Delta> {
        let calls = deltas.iter().filter(|delta| matches!(delta, Delta::Call(_)));
        self.metrics.add_calls(calls.count());
        deltas
    }

    /// Writes a chunk; its usage is null if a last chunk has it.
    fn piece(&self, delta: Value, reason: Option<&str>, logprobs: Option<Value>) -> Value {
        let mut piece = self.head.piece(delta, reason, logprobs);
        if self.with_usage {
            piece["usage"] = Value::Null;
        }
        piece
    }

    /// Returns the log probabilities that the client wants and was not sent.
    fn logprobs(&mut self) -> Option<Value> {
        // A token that may be after a stop sequence waits until that is known.
        let settled = self.assembler.settled().saturating_sub(self.told_tokens);
        let tokens: Vec<Token> = self.tokens.drain(..settled.min(self.tokens.len())).collect();
        self.told_tokens += tokens.len();
        self.with_logprobs
            .then(|| logprobs(&tokens, &self.served.model.tokenizer))
    }

    /// Waits for the whole reply; returns all deltas and the `finish_reason`.
    ///
    /// # Errors
    /// The error that ended the reply.
    pub async fn all(&mut self, events: &mut Events) -> Result<(Vec<Delta>, &'static str), Refusal> {
        let mut all = Vec::new();
        loop {
            let (deltas, end) = self.take(events.next().await);
            all.extend(deltas);
            if let Some(reason) = end {
                return Ok((all, reason?));
            }
        }
    }

    /// Returns the whole reply.
    ///
    /// # Errors
    /// The error that ended the reply.
    pub async fn whole(mut self, mut events: Events) -> Result<Value, Refusal> {
        let (deltas, reason) = self.all(&mut events).await?;
        let logprobs = self.logprobs();
        Ok(self.head.whole(deltas, reason, logprobs, self.usage))
    }

    /// Returns the reply as a stream, after its first event or a while without one, so that an
    /// early error still gets its HTTP status.
    ///
    /// # Errors
    /// The error that came instead of a first token.
    pub async fn stream(self, mut events: Events, asked: Asked) -> Result<Stream, Refusal> {
        let first = match timeout(QUIET, events.next()).await {
            Ok(Event::Failed(refusal)) => return Err(refusal),
            first => first.ok(),
        };
        let role = self.piece(json!({"role": "assistant", "content": ""}), None, None);
        let mut stream = Stream {
            telling: self,
            asked,
            events: Some(events),
            lines: VecDeque::from([line(&role)]),
            quiet: Box::pin(sleep(QUIET)),
        };
        match first {
            Some(event) => stream.take(event),
            None => stream.lines.push_back(Bytes::from_static(COMMENT)),
        }
        Ok(stream)
    }
}

/// The events of one reply.
pub(super) struct Events {
    pub receiver: UnboundedReceiver<Event>,
    /// Ready when the server no longer waits for the reply.
    pub given_up: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Events {
    async fn next(&mut self) -> Event {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Polls for the next event. The reply fails if the server gave up on it or the model's thread
    /// has ended.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        let event = match self.given_up.as_mut().poll(context) {
            Poll::Ready(()) => None,
            Poll::Pending => ready!(self.receiver.poll_recv(context)),
        };
        Poll::Ready(event.unwrap_or_else(|| Event::Failed(Refusal::ending())))
    }
}

/// A reply as server-sent events.
pub(super) struct Stream {
    telling: Telling,
    /// The request, for the log.
    asked: Asked,
    /// The events; `None` after the last one.
    events: Option<Events>,
    lines: VecDeque<Bytes>,
    /// Time since the last line.
    quiet: Pin<Box<Sleep>>,
}

impl Stream {
    /// Turns an event into lines.
    fn take(&mut self, event: Event) {
        let (deltas, end) = self.telling.take(event);
        for delta in deltas {
            let logprobs = self.telling.logprobs();
            let piece = self.telling.piece(delta.to_json(), None, logprobs);
            self.lines.push_back(line(&piece));
        }
        let Some(end) = end else {
            return;
        };
        match end {
            Ok(reason) => {
                let logprobs = self.telling.logprobs();
                let logprobs = logprobs.filter(|told| told["content"] != json!([]));
                let piece = self.telling.piece(json!({}), Some(reason), logprobs);
                self.lines.push_back(line(&piece));
                if self.telling.with_usage {
                    let piece = self.telling.head.usage_piece(self.telling.usage);
                    self.lines.push_back(line(&piece));
                }
                self.lines.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
            }
            Err(refusal) => {
                self.asked.log(&refusal);
                self.lines.push_back(line(&refusal.to_json()));
            }
        }
        // Dropping the receiver shows the model's thread that the client is gone.
        self.events = None;
    }
}

/// Writes a server-sent event.
fn line(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                self.quiet.as_mut().reset(Instant::now() + QUIET);
                return Poll::Ready(Some(Ok(Frame::data(line))));
            }
            let Some(events) = &mut self.events else {
                return Poll::Ready(None);
            };
            match events.poll_next(context) {
                Poll::Ready(event) => self.take(event),
                Poll::Pending => {
                    ready!(self.quiet.as_mut().poll(context));
                    self.lines.push_back(Bytes::from_static(COMMENT));
                }
            }
        }
    }
}
