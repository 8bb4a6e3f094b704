//! Messages between threads of one process.

use super::messenger::Messenger;
use super::ranks::{Pairs, names};
use super::{Collective, Shard};
use crate::error::{Error, Result};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

const ENDED: &str = "it ended before the others";

/// Makes ranks for `ranks` threads of this process. Operations return errors if a rank ends too
/// early, or if another has waited `timeout` for it.
///
/// # Errors
/// A thread cannot be started.
pub fn threads(ranks: usize, timeout: Duration) -> Result<Vec<Box<dyn Collective + Send>>> {
    let mut all: Vec<Channels> = (0..ranks)
        .map(|rank| Channels {
            shard: Shard { rank, size: ranks },
            timeout,
            to: Vec::new(),
            from: Vec::new(),
        })
        .collect();
    // A channel for each pair of ranks and each direction.
    for sender in 0..ranks {
        for receiver in 0..ranks {
            let (to, from) = channel();
            all[sender].to.push(to);
            all[receiver].from.push(from);
        }
    }
    all.into_iter()
        .map(|channels| -> Result<Box<dyn Collective + Send>> {
            Ok(Box::new(Messenger::new(channels.shard, None, || Ok(channels))?))
        })
        .collect()
}

/// Channels of a rank to and from every rank.
struct Channels {
    shard: Shard,
    timeout: Duration,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Receiver<Vec<u8>>>,
}

impl Pairs for Channels {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn swap(&mut self, outgoing: &[&[u8]], incoming: &mut [&mut [u8]]) -> Result<()> {
        let problem = |rank: usize, what: &str| Error::invalid(names(&[rank]), what);
        let others = || (0..self.shard.size).filter(|rank| *rank != self.shard.rank);
        for rank in others() {
            let sent = self.to[rank].send(outgoing[rank].to_vec());
            sent.map_err(|_| problem(rank, ENDED))?;
        }
        for rank in others() {
            let message = self.from[rank].recv_timeout(self.timeout);
            let message = message.map_err(|error| match error {
                RecvTimeoutError::Timeout => problem(rank, "it hangs, or needs a longer ddp_timeout"),
                RecvTimeoutError::Disconnected => problem(rank, ENDED),
            })?;
            if message.len() != incoming[rank].len() {
                return Err(problem(rank, "it runs another operation than this rank"));
            }
            incoming[rank].copy_from_slice(&message);
        }
        Ok(())
    }

    fn abort(&mut self) -> ! {
        unreachable!("a thread does not end the others")
    }
}
