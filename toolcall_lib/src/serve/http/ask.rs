//! From a request to the reply that is on its way.

use super::telling::{Events, Telling};
use super::{Served, Shared};
use crate::generate::{Constraint, rendered};
use crate::serve::assemble::Assembler;
use crate::serve::scheduler::Job;
use crate::serve::wire::{ChatRequest, Head, Refusal, Usage};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::TryAcquireError;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::spawn_blocking;

/// A request whose text was made.
struct Prepared {
    ids: Vec<u32>,
    constraint: Option<Constraint>,
    assembler: Assembler,
}

/// Puts a request into the queue of its model.
///
/// # Errors
/// The queue is full, or what is asked for cannot be done.
pub(super) async fn ask(
    shared: &Shared,
    served: &Arc<Served>,
    asked: ChatRequest,
) -> Result<(Telling, Events), Refusal> {
    let arrived = Instant::now();
    // 1. A place, or none: nobody waits whom nobody can serve.
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
    // 2. Text and grammar, on a thread of their own: they take time, and everyone else goes on.
    let ready = shared.preparing.acquire().await.map_err(|_| Refusal::ending())?;
    let (of, asked) = {
        let served = served.clone();
        let work = spawn_blocking(move || prepare(&served, &asked).map(|prepared| (prepared, asked)));
        work.await
            .map_err(|error| Refusal::internal(format!("preparing the request: {error}")))??
    };
    drop(ready);
    // 3. The thread of the model takes it from here.
    let (events, receiver) = unbounded_channel();
    let usage = Usage {
        prompt: of.ids.len(),
        ..Usage::default()
    };
    let job = Job {
        ids: of.ids,
        config: asked.config,
        constraint: of.constraint,
        events,
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
        with_logprobs: asked.logprobs,
        with_usage: asked.include_usage,
        tokens: Vec::new(),
        usage,
    };
    Ok((telling, Events(receiver)))
}

fn prepare(served: &Served, asked: &ChatRequest) -> Result<Prepared, Refusal> {
    let (model, config) = (&served.model, &asked.config);
    let template = model.template.with_kwargs(&config.chat_template_kwargs);
    let prompt = (&asked.messages[..], &asked.tools[..]);
    let wrong = |error| Refusal::of_library(&error);
    let (text, constraint) =
        rendered(model, &template, prompt, config, &served.constraints).map_err(wrong)?;
    Ok(Prepared {
        ids: model.tokenizer.encode(&text).map_err(wrong)?,
        constraint,
        assembler: Assembler::new(template, &text, asked.tools.clone(), asked.stop.clone()),
    })
}
