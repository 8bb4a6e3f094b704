//! Messages over MPI.

use super::messenger::Messenger;
use super::ranks::{Pairs, Patience};
use super::{Launch, Shard};
use crate::error::{Error, Result};
use mpi::Threading;
use mpi::environment::Universe;
use mpi::request::{LocalScope, Request};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Source};
use std::time::Duration;

/// Joins the other ranks; works once in a process. A rank for which another has waited `timeout`
/// ends the job.
///
/// # Errors
/// MPI does not see the ranks that `launch` names.
pub(super) fn join(launch: &Launch, timeout: Duration) -> Result<Messenger> {
    let patience = Patience {
        timeout,
        aborting: Default::default(),
    };
    let (launch, on_host, aborting) = (launch.clone(), launch.on_host(), patience.aborting.clone());
    Messenger::new(on_host, Some(aborting), move || Mpi::new(&launch, patience))
}

/// MPI's state, in the thread that makes all of MPI's calls.
struct Mpi {
    world: SimpleCommunicator,
    shard: Shard,
    patience: Patience,
    _universe: Universe,
}

impl Mpi {
    fn new(launch: &Launch, patience: Patience) -> Result<Self> {
        let again = || {
            Error::invalid(
                "MPI",
                "was already started in this process, and can be started only once",
            )
        };
        let (universe, _) = mpi::initialize_with_threading(Threading::Funneled).ok_or_else(again)?;
        let world = universe.world();
        let shard = Shard {
            rank: world.rank() as usize,
            size: world.size() as usize,
        };
        if shard.size == launch.size {
            return Ok(Self {
                world,
                shard,
                patience,
                _universe: universe,
            });
        }
        let problem = format!(
            "{:?} started {} processes, but MPI connects {}; use the launcher of the MPI that toolcall was \
                built with. With srun, `srun --mpi=list` lists the values of --mpi (pmix, pmi2)",
            launch.launcher, launch.size, shard.size
        );
        Err(Error::invalid("MPI", problem))
    }

    /// Waits until all messages have been sent and received.
    fn complete(&self, mut open: Vec<Open<'_, '_>>) {
        let mut wait = self.patience.begin(self.shard.rank);
        loop {
            open = open
                .into_iter()
                .filter_map(|(rank, request)| Some((rank, request.test().err()?)))
                .collect();
            if open.is_empty() {
                return;
            }
            let ranks: Vec<usize> = open.iter().map(|(rank, _)| *rank).collect();
            if !wait.pause(&ranks) {
                self.world.abort(1);
            }
        }
    }
}

impl Pairs for Mpi {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn swap(&mut self, outgoing: &[&[u8]], incoming: &mut [&mut [u8]]) -> Result<()> {
        mpi::request::scope(|scope| {
            let mut open: Vec<Open<'_, '_>> = Vec::new();
            let all = outgoing.iter().zip(incoming).enumerate();
            for (rank, (outgoing, incoming)) in all.filter(|(rank, _)| *rank != self.shard.rank) {
                let peer = self.world.process_at_rank(rank as i32);
                open.push((rank, peer.immediate_receive_into(scope, &mut **incoming)));
                open.push((rank, peer.immediate_send(scope, *outgoing)));
            }
            self.complete(open);
        });
        Ok(())
    }

    fn abort(&mut self) -> ! {
        self.world.abort(1)
    }
}

/// A message under way, and the rank at its other end.
type Open<'r, 's> = (usize, Request<'r, [u8], &'s LocalScope<'r>>);
