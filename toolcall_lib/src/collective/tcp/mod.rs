//! Messages over TCP, between processes that know the address of rank 0, like those of `torchrun`.
//!
//! A message is its length and its bytes. A connection that ends without [`LEAVES`] belongs to a
//! rank that has died, and ends all ranks.

mod greeting;
mod place;
mod meet;

use super::messenger::Messenger;
use super::ranks::{Pairs, Patience, names};
use super::{Launch, Shard};
use crate::error::{Result, tell};
use meet::meet;
use place::Place;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Sent instead of a length: this rank is done.
const LEAVES: u64 = u64::MAX;
/// Sent instead of a length: this rank ends all ranks, and has reported why.
const ENDS: u64 = u64::MAX - 1;
const HEADER: usize = size_of::<u64>();

/// Joins the other ranks at the address in the environment. A rank for which another has waited
/// `timeout` ends the job.
///
/// # Errors
/// The environment has no address, or a rank does not connect.
pub(super) fn join(launch: &Launch, timeout: Duration) -> Result<Messenger> {
    join_at(Place::from_environment()?, launch, timeout)
}

fn join_at(place: Place, launch: &Launch, timeout: Duration) -> Result<Messenger> {
    let patience = Patience {
        timeout,
        aborting: Default::default(),
    };
    let shard = Shard {
        rank: launch.rank,
        size: launch.size,
    };
    let aborting = patience.aborting.clone();
    let all_here = launch.local_size == launch.size;
    Messenger::new(launch.on_host(), Some(aborting), move || {
        let streams = meet(&place, shard, all_here, timeout)?.into_iter();
        let peer = |stream: Option<TcpStream>| {
            let ahead = Vec::new();
            stream.map(|stream| Peer { stream, ahead })
        };
        Ok(Tcp {
            shard,
            patience,
            peers: streams.map(peer).collect(),
        })
    })
}

struct Tcp {
    shard: Shard,
    patience: Patience,
    /// Connections to the other ranks; `None` for this rank and for those that have left.
    peers: Vec<Option<Peer>>,
}

/// A connection to another rank.
struct Peer {
    stream: TcpStream,
    /// Bytes that the rank has sent before this rank asked for them.
    ahead: Vec<u8>,
}

impl Peer {
    /// Reads as much as has arrived, without waiting.
    fn read(&mut self, room: &mut [u8]) -> std::result::Result<Option<usize>, Problem> {
        if self.ahead.is_empty() {
            return ready(self.stream.read(room));
        }
        let known = self.ahead.len().min(room.len());
        room[..known].copy_from_slice(&self.ahead[..known]);
        self.ahead.drain(..known);
        Ok(Some(known))
    }

    /// Stores everything that has arrived. The end of a connection shows only after everything
    /// sent before.
    fn read_ahead(&mut self) -> std::result::Result<(), Problem> {
        let mut block = [0; 1 << 16];
        loop {
            match ready(self.stream.read(&mut block)) {
                Ok(Some(read)) => self.ahead.extend(&block[..read]),
                Ok(None) => return Ok(()),
                Err(problem) => {
                    let last = self.ahead.last_chunk().map(|last| u64::from_le_bytes(*last));
                    return Err(match last {
                        Some(LEAVES) => Problem::Leaves,
                        Some(ENDS) => Problem::Ends,
                        _ => problem,
                    });
                }
            }
        }
    }
}

/// Reason why a rank cannot be reached.
enum Problem {
    Died,
    /// The rank has ended all ranks, and has reported why.
    Ends,
    Leaves,
    OtherLength(u64),
}

/// The progress of one message to a rank and one from it.
struct Swap<'a> {
    rank: usize,
    outgoing: [&'a [u8]; 2],
    header: [u8; HEADER],
    incoming: &'a mut [u8],
    received: usize,
}

impl Swap<'_> {
    /// Sends and receives as much as possible without waiting. Returns true when both are done.
    fn go_on(&mut self, peer: &mut Peer) -> std::result::Result<bool, Problem> {
        for part in &mut self.outgoing {
            while !part.is_empty() {
                match ready(peer.stream.write(part))? {
                    Some(sent) => *part = &part[sent..],
                    None => return self.receive(peer).map(|_| false),
                }
            }
        }
        self.receive(peer)
    }

    fn receive(&mut self, peer: &mut Peer) -> std::result::Result<bool, Problem> {
        while self.received < HEADER + self.incoming.len() {
            let room = match self.received.checked_sub(HEADER) {
                Some(start) => &mut self.incoming[start..],
                None => &mut self.header[self.received..],
            };
            let Some(received) = peer.read(room)? else {
                return Ok(false);
            };
            self.received += received;
            if self.received == HEADER {
                meaning(u64::from_le_bytes(self.header), self.incoming.len())?;
            }
        }
        Ok(true)
    }
}

/// Returns the number of bytes sent or received; `None` if the operation would have to wait.
fn ready(outcome: std::io::Result<usize>) -> std::result::Result<Option<usize>, Problem> {
    match outcome {
        Ok(0) => Err(Problem::Died),
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(_) => Err(Problem::Died),
    }
}

/// Checks that a header announces a message of the expected length.
fn meaning(header: u64, expected: usize) -> std::result::Result<(), Problem> {
    match header {
        LEAVES => Err(Problem::Leaves),
        ENDS => Err(Problem::Ends),
        length if length == expected as u64 => Ok(()),
        length => Err(Problem::OtherLength(length)),
    }
}

impl Tcp {
    /// Ends all ranks because of `rank`, after reporting why.
    fn end(&mut self, rank: usize, problem: Problem) -> ! {
        let what = match problem {
            Problem::Died => "has died, or its host cannot be reached".to_string(),
            Problem::Leaves => "has ended before the others".to_string(),
            Problem::OtherLength(length) => {
                format!(
                    "sent {length} bytes, which this rank did not expect; run the same program on all ranks"
                )
            }
            Problem::Ends => self.abort(),
        };
        tell(format!(
            "error: rank {}: {} {what}; ending all ranks",
            self.shard.rank,
            names(&[rank])
        ));
        self.abort()
    }

    /// Sends the last header to the other ranks; does not wait for ranks that do not read.
    fn say(&mut self, header: u64) {
        for peer in self.peers.iter_mut().flatten() {
            peer.stream.write_all(&header.to_le_bytes()).ok();
        }
    }
}

impl Pairs for Tcp {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn swap(&mut self, outgoing: &[&[u8]], incoming: &mut [&mut [u8]]) -> Result<()> {
        // 1. A rank that has left cannot take part any more.
        let lengths: Vec<[u8; HEADER]> = outgoing.iter().map(|m| (m.len() as u64).to_le_bytes()).collect();
        let gone = |rank: &usize| *rank != self.shard.rank && self.peers[*rank].is_none();
        if let Some(rank) = (0..self.shard.size).find(gone) {
            self.end(rank, Problem::Leaves);
        }
        let all = incoming.iter_mut().enumerate();
        let mut open: Vec<Swap<'_>> = all
            .filter(|(rank, _)| self.peers[*rank].is_some())
            .map(|(rank, incoming)| Swap {
                rank,
                outgoing: [&lengths[rank], outgoing[rank]],
                header: [0; HEADER],
                incoming,
                received: 0,
            })
            .collect();
        // 2. Move all messages forward until they are done.
        let patience = self.patience.clone();
        let mut wait = patience.begin(self.shard.rank);
        loop {
            let mut problem = None;
            open.retain_mut(|swap| match &mut self.peers[swap.rank] {
                Some(peer) => match swap.go_on(peer) {
                    Ok(done) => !done,
                    Err(what) => {
                        problem.get_or_insert((swap.rank, what));
                        true
                    }
                },
                None => false,
            });
            // The first problem ends all ranks.
            if let Some((rank, what)) = problem {
                self.end(rank, what);
            }
            if open.is_empty() {
                return Ok(());
            }
            let ranks: Vec<usize> = open.iter().map(|swap| swap.rank).collect();
            if !wait.pause(&ranks) {
                self.abort();
            }
        }
    }

    /// Notices a rank that dies even while this one computes. A rank that leaves has done its part.
    fn look(&mut self) {
        for rank in 0..self.peers.len() {
            let Some(peer) = &mut self.peers[rank] else {
                continue;
            };
            match peer.read_ahead() {
                Ok(()) => {}
                Err(Problem::Leaves) if peer.ahead.len() == HEADER => self.peers[rank] = None,
                Err(problem) => self.end(rank, problem),
            }
        }
    }

    fn abort(&mut self) -> ! {
        self.say(ENDS);
        // SAFETY: nothing runs after it, not even code that waits for a GPU that waits for the
        // other ranks.
        unsafe { libc::_exit(1) }
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        if !self.patience.aborting.load(SeqCst) {
            self.say(LEAVES);
        }
    }
}

#[cfg(test)]
mod tests;
