//! The handshake by which two ranks prove to each other that they belong to the same job.
//!
//! The connecting rank sends its rank and a random number. The listening rank answers with its own
//! random number and a code (HMAC-SHA256) of both numbers, under a key that only ranks of the job
//! have. The connecting rank answers with its own code. An eavesdropper learns nothing that helps
//! to make another code.

use crate::collective::Shard;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

/// First bytes of a greeting; the last one is the version.
const MARK: &[u8; 8] = b"toolcal2";
const NUMBER: usize = 16;
const CODE: usize = 32;
/// Bytes of a greeting: mark, rank, world size, port, random number.
pub(super) const HELLO: usize = 8 + 4 + 4 + 2 + NUMBER;
/// Longest time that a connection may take to prove that it is a rank.
const FIRST_WORD: Duration = Duration::from_secs(5);
/// Last byte of a handshake: the rank is accepted, or it is there already.
const WELCOME: u8 = 1;
const TAKEN: u8 = 2;

type Numbers = [u8; NUMBER];

/// Key that only the ranks of one job have: the hash of a secret of any length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key([u8; 64]);

impl Key {
    /// Makes a key from a secret.
    pub fn new(text: &[u8]) -> Self {
        let mut key = [0; 64];
        key[..32].copy_from_slice(&Sha256::digest(text));
        Self(key)
    }

    /// Returns the code of one side for two random numbers and everything sent with them.
    fn code(&self, side: u8, listener: usize, hello: &[u8; HELLO], number: &Numbers) -> Hmac<Sha256> {
        let mut code = Hmac::<Sha256>::new(&self.0.into());
        code.update(&[side]);
        code.update(&(listener as u64).to_le_bytes());
        code.update(hello);
        code.update(number);
        code
    }
}

#[cfg(test)]
impl Key {
    /// Returns the last message of the connecting rank.
    pub fn proof_for_test(&self, listener: usize, hello: &[u8; HELLO], number: &Numbers) -> [u8; CODE] {
        self.code(COMES, listener, hello, number)
            .finalize()
            .into_bytes()
            .into()
    }
}

/// Names of the two sides in a code.
const LISTENS: u8 = b'l';
const COMES: u8 = b'c';

/// A connection that has not proved yet that it is a rank.
pub(super) struct Guest {
    pub stream: TcpStream,
    since: Instant,
    read: Vec<u8>,
    /// The guest's greeting, and the random number that answered it.
    said: Option<([u8; HELLO], Numbers)>,
}

/// Progress of a guest.
pub(super) enum Progress {
    /// It may still send something.
    Waits,
    /// It is not a rank of this job, or has taken too long.
    Stranger,
    /// It is this rank, which listens at this port.
    Rank(usize, u16),
}

impl Guest {
    /// Takes in a new connection.
    pub fn new(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            since: Instant::now(),
            read: Vec::new(),
            said: None,
        })
    }

    /// Reads what has arrived, without waiting, and answers it.
    pub fn go_on(&mut self, key: &Key, shard: Shard) -> Progress {
        let awaited = if self.said.is_none() { HELLO } else { CODE };
        let mut block = [0; HELLO];
        // 1. Read the greeting, or the code that proves it.
        while self.read.len() < awaited {
            match self.stream.read(&mut block[..awaited - self.read.len()]) {
                Ok(0) => return Progress::Stranger,
                Ok(read) => self.read.extend(&block[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && self.since.elapsed() < FIRST_WORD => {
                    return Progress::Waits;
                }
                Err(_) => return Progress::Stranger,
            }
        }
        // 2. Answer the greeting, or check the code.
        match self.said {
            None => self.answer(key, shard).unwrap_or(Progress::Stranger),
            Some((hello, number)) => {
                let right = key
                    .code(COMES, shard.rank, &hello, &number)
                    .verify_slice(&self.read);
                right.map_or(Progress::Stranger, |()| {
                    Progress::Rank(rank_of(&hello), port_of(&hello))
                })
            }
        }
    }

    /// Answers a greeting of the right form.
    fn answer(&mut self, key: &Key, shard: Shard) -> Option<Progress> {
        let hello: [u8; HELLO] = std::mem::take(&mut self.read).try_into().ok()?;
        let ranks = u32::from_le_bytes(hello[12..16].try_into().ok()?) as usize;
        let ours = hello.starts_with(MARK) && ranks == shard.size && rank_of(&hello) < shard.size;
        let number: Numbers = rand::random();
        let code = key
            .code(LISTENS, shard.rank, &hello, &number)
            .finalize()
            .into_bytes();
        let answer = [&number[..], &code].concat();
        // An empty send buffer takes so few bytes at once, or the connection is broken.
        (ours && self.stream.write(&answer).ok()? == answer.len()).then(|| {
            self.said = Some((hello, number));
            Progress::Waits
        })
    }

    /// Ends the handshake of a rank; returns its address if it is accepted.
    pub fn welcome(&mut self, is_new: bool) -> Option<IpAddr> {
        let word = if is_new { WELCOME } else { TAKEN };
        let told = self.stream.write(&[word]).is_ok_and(|written| written == 1);
        let address = self.stream.peer_addr().ok().filter(|_| told && is_new);
        address.map(|address| address.ip())
    }
}

fn rank_of(hello: &[u8; HELLO]) -> usize {
    u32::from_le_bytes([hello[8], hello[9], hello[10], hello[11]]) as usize
}

fn port_of(hello: &[u8; HELLO]) -> u16 {
    u16::from_le_bytes([hello[16], hello[17]])
}

/// Reason why a rank that was reached does not accept this one.
pub(super) enum Refusal {
    /// The listener is not a rank of this job, or has gone.
    Stranger,
    /// Another process is this rank already.
    Taken,
}

/// Greets rank `other`, which listens at the other end of `stream`, as the rank of `shard` that
/// listens at `port`.
pub(super) fn greet(
    stream: &mut TcpStream,
    key: &Key,
    (shard, port): (Shard, u16),
    other: usize,
    deadline: Instant,
) -> Result<(), Refusal> {
    // 1. Greeting.
    let numbers = [shard.rank as u32, shard.size as u32]
        .map(u32::to_le_bytes)
        .concat();
    let own: Numbers = rand::random();
    let hello = [&MARK[..], &numbers, &port.to_le_bytes(), &own].concat();
    let hello: [u8; HELLO] = hello.try_into().map_err(|_| Refusal::Stranger)?;
    stream.write_all(&hello).map_err(|_| Refusal::Stranger)?;
    // 2. The answer proves that the listener knows the key.
    let mut answer = [0; NUMBER + CODE];
    read_until(stream, &mut answer, deadline).map_err(|_| Refusal::Stranger)?;
    let (number, theirs) = answer.split_at(NUMBER);
    let number: Numbers = number.try_into().map_err(|_| Refusal::Stranger)?;
    let right = key.code(LISTENS, other, &hello, &number).verify_slice(theirs);
    right.map_err(|_| Refusal::Stranger)?;
    // 3. Own proof, then the listener's decision.
    let ours = key.code(COMES, other, &hello, &number).finalize().into_bytes();
    stream.write_all(&ours).map_err(|_| Refusal::Stranger)?;
    let mut word = [0];
    read_until(stream, &mut word, deadline).map_err(|_| Refusal::Stranger)?;
    match word {
        [WELCOME] => Ok(()),
        [TAKEN] => Err(Refusal::Taken),
        _ => Err(Refusal::Stranger),
    }
}

/// Fills `room` exactly, until `deadline` at the latest.
pub(super) fn read_until(
    stream: &mut TcpStream,
    mut room: &mut [u8],
    deadline: Instant,
) -> std::io::Result<()> {
    while !room.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(room) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => room = &mut std::mem::take(&mut room)[read..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
