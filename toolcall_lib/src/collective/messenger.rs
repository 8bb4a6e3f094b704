//! Runs the message exchange of a rank on its own thread, so that numbers travel while the rank
//! computes.

use super::ranks::{Pairs, Ranks};
use super::{Collective, Pending, Shard};
use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Time between two checks of the other ranks while there is nothing to do.
const LOOK_EVERY: Duration = Duration::from_millis(200);

type Task = Box<dyn FnOnce(&mut Ranks) + Send>;

/// A rank that reaches the others by messages.
#[derive(Debug)]
pub(super) struct Messenger {
    shard: Shard,
    on_host: Shard,
    tasks: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
    /// Flag that ends all ranks if each is a process; threads end by themselves.
    aborting: Option<Arc<AtomicBool>>,
}

impl Messenger {
    /// Starts a thread that joins the other ranks with `join` and then runs the operations.
    /// `on_host` is this rank among those of its host.
    pub fn new<P: Pairs + 'static>(
        on_host: Shard,
        aborting: Option<Arc<AtomicBool>>,
        join: impl FnOnce() -> Result<P> + Send + 'static,
    ) -> Result<Self> {
        let ((tell, told), (tasks, queue)) = (channel(), channel::<Task>());
        let serve = move || match join() {
            Ok(pairs) => {
                let mut ranks = Ranks::new(Box::new(pairs));
                if tell.send(Ok(ranks.shard)).is_ok() {
                    serve(&mut ranks, &queue);
                }
            }
            Err(error) => drop(tell.send(Err(error))),
        };
        let thread = thread::Builder::new().name("ranks".to_string()).spawn(serve);
        let thread = thread.map_err(Error::library("starting the thread for the other ranks"))?;
        let shard = told.recv().map_err(Error::library("joining the other ranks"))??;
        Ok(Self {
            shard,
            on_host,
            tasks: Some(tasks),
            thread: Some(thread),
            aborting,
        })
    }

    /// Hands `work` to the thread; returns the channel for its result.
    fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Ranks) -> T + Send + 'static,
    ) -> Result<Receiver<T>> {
        let (reply, result) = channel();
        // If the result cannot be sent, no thread waits for it any more.
        let task: Task = Box::new(move |ranks| drop(reply.send(work(ranks))));
        let tasks = self.tasks.as_ref().and_then(|tasks| tasks.send(task).ok());
        tasks.ok_or_else(|| {
            Error::invalid(
                "ranks",
                "the thread that connects this rank to the others has ended",
            )
        })?;
        Ok(result)
    }

    /// Starts an operation on a buffer.
    fn start_with(
        &self,
        mut buffer: Vec<f32>,
        work: fn(&mut Ranks, &mut [f32]) -> Result<()>,
    ) -> Result<Pending> {
        let result = self.start(move |ranks| work(ranks, &mut buffer).map(|()| buffer));
        result.map(Pending::Running)
    }
}

impl Collective for Messenger {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn on_host(&self) -> Shard {
        self.on_host
    }

    fn start_reduce_scatter(&self, buffer: Vec<f32>) -> Result<Pending> {
        self.start_with(buffer, Ranks::reduce_scatter)
    }

    fn start_all_gather(&self, buffer: Vec<f32>) -> Result<Pending> {
        self.start_with(buffer, Ranks::all_gather)
    }

    fn exchange(&self, numbers: &[f64]) -> Result<Vec<Vec<f64>>> {
        let numbers = numbers.to_vec();
        self.start(move |ranks| ranks.exchange(&numbers))?
            .recv()
            .map_err(Error::library("waiting for the other ranks"))?
    }

    fn abort(&self) -> ! {
        let Some(aborting) = &self.aborting else {
            // the other ranks notice it
            std::panic::resume_unwind(Box::new("a rank that is a thread ends"))
        };
        aborting.store(true, SeqCst);
        self.start(|ranks| ranks.pairs.abort()).ok();
        loop {
            thread::park(); // until this process ends
        }
    }
}

/// Leaves the other ranks without ending them, unless this process panics: then they would wait for
/// it.
impl Drop for Messenger {
    fn drop(&mut self) {
        if thread::panicking() && self.aborting.is_some() {
            self.abort();
        }
        self.tasks.take();
        self.thread.take().map(JoinHandle::join);
    }
}

/// Runs tasks until every sender is gone.
fn serve(ranks: &mut Ranks, tasks: &Receiver<Task>) {
    loop {
        match tasks.recv_timeout(LOOK_EVERY) {
            Ok(task) => task(ranks),
            Err(RecvTimeoutError::Timeout) => ranks.pairs.look(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
