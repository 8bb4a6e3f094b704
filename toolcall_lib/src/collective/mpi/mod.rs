//! MPI: a thread of its own makes all calls, so that numbers travel while this rank computes.
//!
//! Every operation is one exchange of messages between all pairs of ranks, in pieces: as much traffic as a ring, sums in the
//! order of the ranks whatever the MPI library does, and whoever does not answer is known by name.

mod ranks;

use super::{Collective, Launch, Pending, Shard};
use crate::error::{Error, Result};
use mpi::Threading;
use ranks::Ranks;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

type Task = Box<dyn FnOnce(&mut Ranks) + Send>;

/// Ranks that MPI connects.
#[derive(Debug)]
pub struct Mpi {
    shard: Shard,
    tasks: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
    aborting: Arc<AtomicBool>,
}

impl Mpi {
    /// Joins the other ranks; once in a process. A rank for which another has waited `timeout` ends the job.
    ///
    /// # Errors
    /// MPI does not see the ranks that `launch` tells of.
    pub fn join(launch: &Launch, timeout: Duration) -> Result<Self> {
        let ((tell, told), (tasks, queue)) = (channel(), channel::<Task>());
        let aborting = Arc::new(AtomicBool::new(false));
        let asked_to_abort = aborting.clone();
        let serve = move || serve(&tell, &queue, timeout, asked_to_abort);
        let thread = thread::Builder::new().name("mpi".to_string()).spawn(serve);
        let thread = thread.map_err(Error::library("starting the thread for MPI"))?;
        let shard: Option<Shard> = told.recv().map_err(Error::library("starting MPI"))?;
        let shard =
            shard.ok_or_else(|| Error::invalid("MPI", "it has been started before in this process"))?;
        let joined = Self {
            shard,
            tasks: Some(tasks),
            thread: Some(thread),
            aborting,
        };
        if shard.size == launch.size {
            return Ok(joined);
        }
        let problem = format!(
            "{:?} started {} processes, but MPI connects {}; is it the launcher of the MPI that toolcall was built with? With srun, \
             `srun --mpi=list` shows what can be given as --mpi (pmix, pmi2)",
            launch.launcher, launch.size, shard.size
        );
        Err(Error::invalid("MPI", problem))
    }

    /// Has the thread do `work`.
    fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Ranks) -> T + Send + 'static,
    ) -> Result<Receiver<T>> {
        let (reply, result) = channel();
        let task: Task = Box::new(move |ranks| drop(reply.send(work(ranks)))); // nobody waits any more if it cannot be sent
        let tasks = self.tasks.as_ref().and_then(|tasks| tasks.send(task).ok());
        tasks.ok_or_else(|| Error::invalid("MPI", "its thread has ended"))?;
        Ok(result)
    }
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.shard.rank
    }

    fn size(&self) -> usize {
        self.shard.size
    }

    fn start_reduce_scatter(&self, mut buffer: Vec<f32>) -> Result<Pending> {
        let result = self.start(move |ranks| {
            ranks.reduce_scatter(&mut buffer);
            buffer
        });
        result.map(Pending::Running)
    }

    fn start_all_gather(&self, mut buffer: Vec<f32>) -> Result<Pending> {
        let result = self.start(move |ranks| {
            ranks.all_gather(&mut buffer);
            buffer
        });
        result.map(Pending::Running)
    }

    fn exchange(&self, numbers: &[f64]) -> Result<Vec<Vec<f64>>> {
        let numbers = numbers.to_vec();
        self.start(move |ranks| ranks.exchange(&numbers))?
            .recv()
            .map_err(Error::library("waiting for the other ranks"))
    }

    fn abort(&self) -> ! {
        self.aborting.store(true, SeqCst);
        self.start(|ranks| ranks.abort()).ok();
        loop {
            thread::park(); // until MPI ends this process
        }
    }
}

/// Leaves the other ranks in peace, unless this one ends by a panic: they would wait for it.
impl Drop for Mpi {
    fn drop(&mut self) {
        if thread::panicking() {
            self.abort();
        }
        self.tasks.take();
        self.thread.take().map(JoinHandle::join);
    }
}

/// The thread: does the tasks until nobody can give one any more.
fn serve(tell: &Sender<Option<Shard>>, tasks: &Receiver<Task>, timeout: Duration, aborting: Arc<AtomicBool>) {
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
        tell.send(None).ok();
        return;
    };
    let mut ranks = Ranks::new(universe, timeout, aborting);
    if tell.send(Some(ranks.shard)).is_ok() {
        tasks.iter().for_each(|task| task(&mut ranks));
    }
}
