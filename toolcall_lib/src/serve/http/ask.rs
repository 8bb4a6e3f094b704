//! The way from a request to a reply that is being written.

use super::telling::{Events, Telling};
use super::{Served, Shared};
use crate::generate::{Constraint, Constraints, prompt_template};
use crate::model::Model;
use crate::serve::assemble::Assembler;
use crate::serve::scheduler::Job;
use crate::serve::wire::{ChatRequest, Defaults, Head, Refusal, Usage};
use crate::template::Thought;
use crate::tool::ToolSchema;
use serde_json::Map;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::task::spawn_blocking;

/// A request with its prompt as tokens, its constraint and its assembler.
struct Prepared {
    ids: Vec<u32>,
    constraint: Option<Constraint>,
    assembler: Assembler,
}

/// Puts a request into the queue of its model; returns the reply's state and its events.
///
/// # Errors
/// The queue is full, or the request asks for something that cannot be done.
pub(super) async fn ask(
    shared: &Shared,
    served: &Arc<Served>,
    asked: ChatRequest,
) -> Result<(Telling, Events), Refusal> {
    let arrived = Instant::now();
    // 1. Take a place in the queue at once or refuse, so that no request waits in vain.
    let place = shared
        .places
        .clone()
        .try_acquire_owned()
        .map_err(|error| match error {
            TryAcquireError::NoPermits => {
                Refusal::busy(shared.config.queue, shared.metrics.seconds_to_wait())
            }
            TryAcquireError::Closed => Refusal::ending(),
        })?;
    // 2. Make prompt and grammar on a blocking thread: they take time, and other requests go on.
    let asks = served.clone();
    let work = move || Ok((prepare(&asks.model, &asks.constraints, &asked)?, asked));
    let ((of, asked), place) = aside(&shared.preparing, place, work).await?;
    // 3. Hand the job to the thread of the model.
    let (events, receiver) = unbounded_channel();
    let complete = Arc::default();
    let usage = Usage {
        prompt: of.ids.len(),
        ..Usage::default()
    };
    let job = Job {
        ids: of.ids,
        config: asked.config,
        constraint: of.constraint,
        events,
        complete: Arc::clone(&complete),
        arrived,
        deadline: arrived + shared.config.timeout,
        place,
    };
    served.jobs.send(job).map_err(|_| Refusal::ending())?;
    let telling = Telling {
        head: Head::new(&served.name),
        assembler: of.assembler,
        served: served.clone(),
        metrics: shared.metrics.clone(),
        complete,
        with_logprobs: asked.logprobs,
        with_usage: asked.include_usage,
        tokens: Vec::new(),
        told_tokens: 0,
        usage,
    };
    let given_up = Box::pin(shared.given_up());
    Ok((telling, Events { receiver, given_up }))
}

/// Does `work` on a blocking thread when `preparing` has a place for it, and returns its result and
/// the place in the queue.
///
/// The work keeps both places until it ends: if the client goes, this future is dropped, but the
/// thread works on.
async fn aside<T: Send + 'static>(
    preparing: &Arc<Semaphore>,
    place: OwnedSemaphorePermit,
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<(T, OwnedSemaphorePermit), Refusal> {
    let ready = preparing.clone().acquire_owned().await;
    let ready = ready.map_err(|_| Refusal::ending())?;
    let worked = spawn_blocking(move || {
        let made = work();
        drop(ready);
        Ok((made?, place))
    });
    worked
        .await
        .map_err(|error| Refusal::internal(format!("preparing the request: {error}")))?
}

/// Makes sure that a request without its own tools can be answered.
///
/// # Errors
/// The reason why the tools cannot be offered.
pub(crate) fn check_tools(
    model: &Model,
    constraints: &Constraints,
    tools: &[ToolSchema],
    defaults: &Defaults,
) -> Result<(), Refusal> {
    let asked = ChatRequest::of_text("Hello".to_string(), tools, defaults);
    match tools.is_empty() {
        true => Ok(()),
        false => prepare(model, constraints, &asked).map(drop),
    }
}

/// Renders the prompt of a request, tokenizes it, and makes the constraint of the reply.
fn prepare(model: &Model, constraints: &Constraints, asked: &ChatRequest) -> Result<Prepared, Refusal> {
    let config = &asked.config;
    let template = prompt_template(model, config, &Map::new());
    let wrong = |error| Refusal::of_library(&error);
    let text = template
        .render_prompt(&asked.messages, &asked.tools)
        .map_err(wrong)?;
    if asked.no_thought && template.thought(&text) != Thought::Nowhere {
        let problem = "this model thinks; send `chat_template_kwargs`: {\"enable_thinking\": false}";
        return Err(Refusal::of_field("reasoning_effort", problem));
    }
    let constraint = constraints
        .get(model, &template, &text, &asked.callable, config)
        .map_err(wrong)?;
    Ok(Prepared {
        ids: model.tokenizer.encode(&text).map_err(wrong)?,
        constraint,
        assembler: Assembler::new(template, &text, asked.tools.clone(), asked.stop.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;
    use tokio::runtime::Builder;
    use tokio::time::timeout;

    #[test]
    fn work_keeps_its_places_when_the_client_goes() {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(client_goes());
    }

    async fn client_goes() {
        let (preparing, places) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
        let place = places.clone().try_acquire_owned().unwrap();
        let ((begun, begins), (end, ends)) = (channel(), channel::<()>());
        let work = move || {
            begun.send(()).ok();
            ends.recv().ok();
            Ok(())
        };
        let asked = aside(&preparing, place, work);
        let gone = timeout(Duration::from_millis(20), asked).await;
        assert!(gone.is_err(), "the work waits");
        begins.recv().unwrap();
        let free = (preparing.available_permits(), places.available_permits());
        assert_eq!(free, (0, 0), "the thread works on");
        end.send(()).unwrap();
        preparing.acquire().await.unwrap().forget();
        places.acquire().await.unwrap().forget();
    }
}
