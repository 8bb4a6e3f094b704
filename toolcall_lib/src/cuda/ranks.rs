//! Collective operations between the devices of all ranks.

use super::buffer::View;
use crate::collective::{Collective, Shard};
use crate::error::{Error, Result};
use std::fmt::Debug;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Time between the checks of ranks that connect their devices.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Collective operations, which every rank starts in the same order. They run in parallel to the
/// driver's work, one after the other.
pub(crate) trait DeviceRanks: Debug + Send + Sync {
    /// Returns this rank's place among all. A buffer has [`Shard::longest`] elements for each rank.
    fn shard(&self) -> Shard;

    /// Starts a sum of f32 elements over all ranks, once everything asked of the driver so far is
    /// done. This rank's part of the buffer receives its sums; the rest of it is undefined.
    fn start_reduce_scatter(&self, buffer: View) -> Result<Ticket>;

    /// Starts filling a buffer with the parts of all ranks, each of which brings its own, once
    /// everything asked of the driver so far is done.
    fn start_all_gather(&self, buffer: View) -> Result<Ticket>;

    /// Makes everything asked of the driver from now on wait for this operation and those started
    /// before it.
    fn join(&self, ticket: Ticket) -> Result<()>;
}

/// Connects this rank's device with the others, in a thread. Connecting waits for all ranks and
/// does not notice when one fails; here the ranks notify each other. A thread that waits in vain is
/// abandoned.
///
/// # Errors
/// This rank's own error, another rank that failed, or one that is not ready after `timeout`.
pub(crate) fn meet<T: Send + 'static>(
    ranks: &dyn Collective,
    timeout: Duration,
    connect: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    const WAITS: f64 = 0.0;
    const READY: f64 = 1.0;
    const FAILED: f64 = 2.0;
    let (tell, told) = channel();
    let thread = thread::Builder::new().spawn(move || tell.send(connect()));
    let mut outcome = thread.err().map(|e| Err(Error::library("starting a thread")(e)));
    let begun = Instant::now();
    // 1. Wait a little for this rank's thread.
    loop {
        outcome = outcome.or_else(|| match told.recv_timeout(LOOK_EVERY) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) if begun.elapsed() < timeout => None,
            Err(_) => {
                let problem = format!(
                    "they were not connected within {timeout:.0?}: another rank or the network hangs, or \
                        connecting needs a longer ddp_timeout"
                );
                Some(Err(Error::invalid("the GPUs", problem)))
            }
        });
        // 2. Send all ranks this rank's state, and read theirs.
        let own = match &outcome {
            None => WAITS,
            Some(Ok(_)) => READY,
            Some(Err(_)) => FAILED,
        };
        let all = ranks.exchange(&[own])?.concat();
        // 3. Go on while some rank waits and none has failed.
        let failed = all.iter().position(|&state| state == FAILED);
        if failed.is_none() && all.contains(&WAITS) {
            continue;
        }
        return outcome.unwrap_or_else(|| {
            let rank = format!("rank {}", failed.unwrap_or_default());
            Err(Error::invalid(rank, "it cannot connect its GPU with the others"))
        });
    }
}

/// An operation whose buffer must not be touched before it has been joined.
#[derive(Debug)]
#[must_use]
pub(crate) struct Ticket(pub u64);

/// A single device, which waits for no other.
#[derive(Debug)]
pub(crate) struct Alone;

impl DeviceRanks for Alone {
    fn shard(&self) -> Shard {
        Shard::WHOLE
    }

    fn start_reduce_scatter(&self, _: View) -> Result<Ticket> {
        Ok(Ticket(0))
    }

    fn start_all_gather(&self, _: View) -> Result<Ticket> {
        Ok(Ticket(0))
    }

    fn join(&self, _: Ticket) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collective::threads;

    /// Returns what two ranks report, each of which connects in its own way.
    fn outcomes(timeout: Duration, connect: [fn() -> Result<usize>; 2]) -> Vec<String> {
        let ranks = threads(2, Duration::from_secs(60)).unwrap();
        let meeting = |(ranks, connect): (Box<dyn Collective + Send>, _)| {
            thread::spawn(move || meet(&*ranks, timeout, connect))
        };
        let threads: Vec<_> = ranks.into_iter().zip(connect).map(meeting).collect();
        let outcomes = threads.into_iter().map(|thread| thread.join().unwrap());
        let text = |outcome: Result<usize>| outcome.map_or_else(|e| e.to_string(), |n| n.to_string());
        outcomes.map(text).collect()
    }

    fn waits_for_ever() -> Result<usize> {
        loop {
            thread::park();
        }
    }

    #[test]
    fn ranks_are_ready_when_all_are() {
        let late = || {
            thread::sleep(3 * LOOK_EVERY);
            Ok(1)
        };
        assert_eq!(outcomes(Duration::from_secs(60), [|| Ok(0), late]), ["0", "1"]);
    }

    #[test]
    fn who_waits_for_a_rank_that_fails_is_told() {
        let fails = || Err(Error::invalid("GPU", "it is broken"));
        assert_eq!(
            outcomes(Duration::from_secs(60), [waits_for_ever, fails]),
            [
                "rank 1: it cannot connect its GPU with the others",
                "GPU: it is broken"
            ]
        );
    }

    #[test]
    fn nobody_waits_longer_than_the_timeout() {
        for outcome in outcomes(Duration::from_millis(1), [waits_for_ever; 2]) {
            assert!(
                outcome.starts_with("the GPUs: they were not connected within 1ms"),
                "{outcome}"
            );
        }
    }
}
