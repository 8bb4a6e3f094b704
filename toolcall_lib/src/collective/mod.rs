//! Processes that train one model together: their ranks, and how they exchange numbers.
//!
//! Each process is a *rank*, a number below the world size. Every rank calls the same operations in
//! the same order; each operation says what it needs of the others. A flat buffer belongs to all
//! ranks together: [`Shard`] gives each rank its part.
//!
//! Back ends: [`OneRank`]; processes that MPI connects, with the feature `mpi`; processes that find
//! each other over TCP, like those of `torchrun`; and [`threads`] of one process. GPUs exchange
//! large buffers directly (`cuda`), and everything else here.

mod launch;
mod messenger;
#[cfg(feature = "mpi")]
mod mpi;
mod operations;
mod ranks;
mod shard;
mod tcp;
mod threads;

pub use launch::{Launch, Launcher};
pub use operations::{Collective, OneRank, Pending};
pub use shard::Shard;
pub use threads::threads;

#[cfg(not(feature = "mpi"))]
use crate::error::Error;
use crate::error::Result;
use std::time::Duration;

/// Connects this process with the others that `mpirun`, `srun` or `torchrun` started, and takes
/// this process's share of the host's cores ([`Launch::threads`]). A process that was started alone
/// is [`OneRank`]. A rank for which another has waited `timeout` ends the job.
///
/// # Errors
/// The environment names other processes, and they cannot be reached: each would train alone.
pub fn connect(timeout: Duration) -> Result<Box<dyn Collective>> {
    match Launch::from_environment()? {
        None => Ok(Box::new(OneRank)),
        Some(launch) => join(&launch, timeout),
    }
}

/// Connects this process with the others that `launch` names.
fn join(launch: &Launch, timeout: Duration) -> Result<Box<dyn Collective>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(launch.threads());
    pool.build_global().ok(); // an existing pool is the program's own decision
    match launch.launcher {
        Launcher::Torchrun => Ok(Box::new(tcp::join(launch, timeout)?)),
        _ => join_mpi(launch, timeout),
    }
}

#[cfg(feature = "mpi")]
fn join_mpi(launch: &Launch, timeout: Duration) -> Result<Box<dyn Collective>> {
    Ok(Box::new(mpi::join(launch, timeout)?))
}

#[cfg(not(feature = "mpi"))]
fn join_mpi(launch: &Launch, _: Duration) -> Result<Box<dyn Collective>> {
    let problem = format!(
        "{} processes were started, but this build has no MPI, so each would train on its own. Build with `--features mpi` \
         (needs libopenmpi-dev and libclang-dev), start them with torchrun, or start one",
        launch.size
    );
    Err(Error::invalid("mpirun", problem))
}

#[cfg(all(test, not(feature = "mpi")))]
mod tests {
    use super::*;

    #[test]
    fn ranks_that_cannot_be_reached_are_refused() {
        let launch = Launch {
            launcher: Launcher::OpenMpi,
            rank: 0,
            size: 2,
            local_rank: 0,
            local_size: 2,
        };
        let refusal = join(&launch, Duration::from_secs(1)).unwrap_err().to_string();
        assert!(refusal.contains("this build has no MPI, so each would train on its own"));
    }
}
