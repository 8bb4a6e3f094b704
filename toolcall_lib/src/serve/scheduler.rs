//! The scheduler: one thread owns a model, and requests join and leave its batch between two tokens
//! (continuous batching).

use super::metrics::Metrics;
use super::wire::{Refusal, Usage};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::generate::{Batch, Constraint, GenerateConfig, PrefixCache, Token, Writer};
use crate::model::Model;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedSender;

/// A reply that a client waits for.
pub(crate) struct Job {
    /// Token ids of the prompt.
    pub ids: Vec<u32>,
    /// Generation settings.
    pub config: GenerateConfig,
    /// The constraint, if the reply has one.
    pub constraint: Option<Constraint>,
    /// Channel to the client. The reply ends when the receiver is gone.
    pub events: UnboundedSender<Event>,
    /// True once the client has all that it asked for: a stop sequence ended the reply.
    pub complete: Arc<AtomicBool>,
    /// Time of the request.
    pub arrived: Instant,
    /// Time at which the reply must be complete.
    pub deadline: Instant,
    /// Place in the queue, released when the reply is over.
    pub place: OwnedSemaphorePermit,
}

/// An event of a reply.
#[derive(Debug)]
pub(crate) enum Event {
    /// New tokens, and the tokens read and written so far.
    Tokens(Vec<Token>, Usage),
    /// The reply is over.
    Over {
        /// Text that belongs to no token.
        rest: String,
        /// True if the reply ended by itself.
        finished: bool,
    },
    /// The reply cannot go on.
    Failed(Refusal),
}

/// The thread of a model, and the channel to it.
pub(crate) struct Scheduler {
    /// Channel for jobs.
    pub jobs: Sender<Job>,
    /// The thread; it ends when no sender is left.
    pub thread: JoinHandle<Result<()>>,
}

impl Scheduler {
    /// Starts the thread of a model.
    ///
    /// # Errors
    /// The model cannot run on this device, or no thread can be started.
    pub fn start(model: Arc<Model>, device: Device, metrics: Arc<Metrics>) -> Result<Self> {
        let mut cache = PrefixCache::default();
        let engine = cache.take_engine(&model, device)?;
        cache.keep_engine(engine);
        let (jobs, queue) = channel();
        let work = move || {
            unpanicked("the thread of the model", || {
                Turns::new(&model, device, cache, &metrics).run(&queue)
            })
        };
        let name = "toolcall-model".to_string();
        let thread = std::thread::Builder::new().name(name).spawn(work);
        Ok(Self {
            jobs,
            thread: thread.map_err(Error::library("starting the thread of the model"))?,
        })
    }
}

/// A request whose reply is being written.
struct Active {
    job: Waiting,
    /// Tokens that were sent to the client.
    usage: Usage,
}

impl Active {
    /// Counts a reply that is taken out before the model has ended it.
    fn count(&self, metrics: &Metrics) {
        match self.job.complete.load(Relaxed) {
            true => metrics.add_reply(self.usage, self.job.arrived.elapsed()),
            false => metrics.add_cancelled(),
        }
    }
}

/// A job, without the parts that its writer has taken.
struct Waiting {
    events: UnboundedSender<Event>,
    complete: Arc<AtomicBool>,
    arrived: Instant,
    deadline: Instant,
    prompt: usize,
    seconds: f64,
    _place: OwnedSemaphorePermit,
}

impl Waiting {
    fn has_gone(&self) -> bool {
        self.events.is_closed()
    }

    fn tell(&self, event: Event) {
        // a client that does not listen is taken out before the next step
        self.events.send(event).ok();
    }

    /// Returns true if the time is up, and sends the client that error.
    fn is_late(&self, now: Instant) -> bool {
        let late = now >= self.deadline;
        if late {
            self.tell(Event::Failed(Refusal::timeout(self.seconds)));
        }
        late
    }
}

/// The loop that serves the requests of a model.
struct Turns<'a> {
    model: &'a Model,
    device: Device,
    cache: PrefixCache,
    metrics: &'a Metrics,
    waiting: VecDeque<(Waiting, Writer<'a>)>,
    active: HashMap<usize, Active>,
    next_id: usize,
    counted: (usize, usize),
}

impl<'a> Turns<'a> {
    fn new(model: &'a Model, device: Device, cache: PrefixCache, metrics: &'a Metrics) -> Self {
        Self {
            model,
            device,
            cache,
            metrics,
            waiting: VecDeque::new(),
            active: HashMap::new(),
            next_id: 0,
            counted: (0, 0),
        }
    }

    /// Writes replies until no sender of jobs is left.
    ///
    /// # Errors
    /// The model cannot run any more.
    fn run(&mut self, queue: &Receiver<Job>) -> Result<()> {
        let mut batch = Batch::new(self.model, self.cache.take_engine(self.model, self.device)?);
        loop {
            // 1. Take new jobs; drop those whose client has gone or whose time is up.
            if self.active.is_empty() && self.waiting.is_empty() {
                match queue.recv() {
                    Ok(job) => self.take(job),
                    Err(_) => return Ok(()),
                }
            }
            while let Ok(job) = queue.try_recv() {
                self.take(job);
            }
            self.let_go(&mut batch);
            // 2. Admit as many as there is room for, and make a step.
            self.admit(&mut batch);
            self.count(&batch);
            // A failed pass ends all its replies and breaks the batch; begin a new one. So does a
            // panic: later requests are answered.
            if let Err(error) = unpanicked("the pass over the model", || batch.step()) {
                self.fail_all(&error);
                drop(batch);
                batch = Batch::new(self.model, self.cache.take_engine(self.model, self.device)?);
                continue;
            }
            // 3. Send the clients their new tokens, and end the replies that are over.
            for (id, reply) in batch.active() {
                if let Some(active) = self.active.get_mut(&id) {
                    tell_new(active, reply, self.metrics);
                }
            }
            for (id, outcome) in batch.take_finished() {
                self.finish(id, outcome);
            }
            self.count(&batch);
        }
    }

    /// Updates the numbers of running and waiting replies in the metrics.
    fn count(&mut self, batch: &Batch<'a>) {
        let now = (batch.len(), self.waiting.len());
        self.metrics.set_running(self.counted, now);
        self.counted = now;
    }

    /// Puts a job into the queue, or refuses it if it can never be served.
    fn take(&mut self, job: Job) {
        let waiting = Waiting {
            events: job.events,
            complete: job.complete,
            arrived: job.arrived,
            deadline: job.deadline,
            prompt: job.ids.len(),
            seconds: (job.deadline - job.arrived).as_secs_f64(),
            _place: job.place,
        };
        let writer = || Writer::new(self.model, job.ids, job.config, job.constraint, 0);
        match unpanicked("beginning the reply", writer) {
            Ok(writer) => self.waiting.push_back((waiting, writer)),
            Err(error) => waiting.tell(Event::Failed(Refusal::of_library(&error))),
        }
    }

    /// Takes out the replies whose client has gone or whose time is up.
    fn let_go(&mut self, batch: &mut Batch<'a>) {
        let now = Instant::now();
        let goes = |job: &Waiting| job.has_gone() || job.is_late(now);
        self.waiting.retain(|(job, _)| {
            let goes = goes(job);
            if goes {
                self.metrics.add_cancelled();
            }
            !goes
        });
        let mut gone: Vec<usize> = Vec::new();
        self.active.retain(|id, active| {
            let goes = goes(&active.job);
            if goes {
                active.count(self.metrics);
                gone.push(*id);
            }
            !goes
        });
        if !gone.is_empty() {
            batch.cancel(|id| gone.contains(&id));
        }
    }

    /// Admits waiting replies to the batch in their order, as long as there is room.
    fn admit(&mut self, batch: &mut Batch<'a>) {
        while let Some((job, writer)) = self.waiting.pop_front() {
            // the writer may have written forced tokens already
            let cached = batch.cached_tokens(&writer).min(job.prompt);
            if let Some(writer) = batch.admit(self.next_id, writer) {
                self.waiting.push_front((job, writer));
                return;
            }
            let usage = Usage {
                prompt: job.prompt,
                cached,
                completion: 0,
            };
            let active = Active { job, usage };
            self.active.insert(self.next_id, active);
            self.next_id += 1;
        }
    }

    /// Sends a client the end of its reply, or the error.
    fn finish(&mut self, id: usize, outcome: Result<Writer<'a>>) {
        let Some(mut active) = self.active.remove(&id) else {
            return;
        };
        let over = outcome.and_then(|reply| {
            tell_new(&mut active, &reply, self.metrics);
            let (finished, rest) = reply.end()?;
            self.metrics.add_reply(active.usage, active.job.arrived.elapsed());
            Ok(Event::Over { rest, finished })
        });
        let event = over.unwrap_or_else(|error| Event::Failed(Refusal::internal(error)));
        active.job.tell(event);
    }

    /// Sends all clients in the batch the error of the pass over the model.
    fn fail_all(&mut self, error: &Error) {
        for (_, active) in self.active.drain() {
            active.job.tell(Event::Failed(Refusal::internal(error)));
        }
    }
}

/// Does `work`; a panic in it, which Rust has printed, becomes an error.
fn unpanicked<T>(doing: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let problem = "it panicked; please report the request that caused this";
        Err(Error::library(doing)(problem))
    })
}

/// Sends the client the tokens since the last time.
fn tell_new(active: &mut Active, reply: &Writer<'_>, metrics: &Metrics) {
    let tokens: Vec<Token> = reply.tokens(active.usage.completion).collect();
    if tokens.is_empty() {
        return;
    }
    if active.usage.completion == 0 {
        metrics.add_first_token(active.job.arrived.elapsed());
    }
    active.usage.completion += tokens.len();
    active.job.tell(Event::Tokens(tokens, active.usage));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny_model::tiny_model;
    use std::time::Duration;
    use tokio::sync::Semaphore;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    /// Sends a prompt to the thread; returns the events of its reply.
    fn ask(scheduler: &Scheduler, ids: Vec<u32>) -> UnboundedReceiver<Event> {
        let (events, told) = unbounded_channel();
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let now = Instant::now();
        let config = GenerateConfig {
            max_new_tokens: 2,
            ..GenerateConfig::default()
        };
        let job = Job {
            ids,
            config,
            constraint: None,
            events,
            complete: Arc::default(),
            arrived: now,
            deadline: now + Duration::from_secs(60),
            place,
        };
        scheduler.jobs.send(job).unwrap();
        told
    }

    /// A model that claims one layer more than it has panics in each pass.
    #[test]
    fn a_panic_ends_its_reply_and_not_the_server() {
        let mut model = tiny_model();
        model.decoder.config.num_hidden_layers += 1;
        let scheduler = Scheduler::start(Arc::new(model), Device::Cpu, Arc::default()).unwrap();
        for ids in [vec![1, 2], vec![1, 2, 3]] {
            let mut told = ask(&scheduler, ids);
            let Some(Event::Failed(refusal)) = told.blocking_recv() else {
                panic!("expected an error")
            };
            assert!(
                refusal.status == 500 && refusal.message.contains("panicked"),
                "{refusal:?}"
            );
        }
        drop(scheduler.jobs);
        scheduler.thread.join().unwrap().unwrap();
    }
}
