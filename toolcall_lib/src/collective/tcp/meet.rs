//! The meeting of the ranks: all connect to rank 0, which sends them the addresses of the others;
//! then each connects to the ranks before it.
//!
//! Anyone may connect to an address on a network. A connection counts once it has proved that it is
//! a rank of this job ([`greeting`](super::greeting)); all others are dropped, and none of them
//! delays or ends the meeting.

use super::greeting::{Guest, Progress, Refusal, greet, read_until};
use super::place::Place;
use crate::collective::Shard;
use crate::collective::ranks::{LONG_WAIT, names};
use crate::error::{Error, Result, tell};
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);
/// Most connections that may still prove that they are ranks; the oldest are dropped if there are
/// more.
const MOST_GUESTS: usize = 256;

/// Returns a non-blocking connection to every other rank; `None` for this rank. `all_here` says
/// that every rank runs on this host.
pub(super) fn meet(
    place: &Place,
    shard: Shard,
    all_here: bool,
    timeout: Duration,
) -> Result<Vec<Option<TcpStream>>> {
    let Shard { rank, size } = shard;
    let meeting = Meeting {
        place,
        shard,
        all_here,
        deadline: Instant::now() + timeout,
        timeout,
    };
    let mut peers: Vec<Option<TcpStream>> = (0..size).map(|_| None).collect();
    // 1. Rank 0 accepts all others, and sends each the addresses where they listen.
    if rank == 0 {
        let listener = place.listen(all_here)?;
        let places = meeting.accept(&listener, &mut peers)?;
        for mut stream in peers.iter().flatten() {
            stream
                .set_nonblocking(false)
                .and_then(|()| stream.write_all(&places))
                .map_err(lost(0))?;
        }
    } else {
        // 2. Other ranks connect to rank 0, then to those before them, and accept those after
        //    them.
        let (mut first, listener) = meeting.come(&place.addresses()?)?;
        let address = first.peer_addr().map_err(lost(0))?;
        let own = listener.local_addr().map_err(lost(rank))?.port();
        let mut places = vec![0; PLACE * size];
        read_until(&mut first, &mut places, meeting.deadline)
            .map_err(|_| Error::invalid("rank 0", "ended before all ranks had connected"))?;
        peers[0] = Some(first);
        for other in 1..rank {
            let address = place_from(&places[PLACE * other..][..PLACE], address.ip());
            peers[other] = Some(meeting.connect(other, &[address], |_| Ok(own))?);
        }
        meeting.accept(&listener, &mut peers[rank..])?;
    }
    // 3. From now on the connections neither block nor delay small messages.
    for stream in peers.iter().flatten() {
        let ready = stream
            .set_read_timeout(None)
            .and_then(|()| stream.set_nonblocking(true));
        ready
            .and_then(|()| stream.set_nodelay(true))
            .map_err(lost(rank))?;
    }
    Ok(peers)
}

struct Meeting<'a> {
    place: &'a Place,
    shard: Shard,
    all_here: bool,
    deadline: Instant,
    timeout: Duration,
}

impl Meeting<'_> {
    /// Accepts the ranks after this one; `peers` has a place for each. Returns their listening
    /// addresses in the form that [`place_from`] reads.
    fn accept(&self, listener: &TcpListener, peers: &mut [Option<TcpStream>]) -> Result<Vec<u8>> {
        let Shard { rank, size } = self.shard;
        let first = size - peers.len();
        let mut places = vec![0; PLACE * size];
        let mut guests: Vec<Guest> = Vec::new();
        let (mut strangers, mut told) = (0, false);
        loop {
            // 1. Take in new connections.
            while let Ok((stream, _)) = listener.accept() {
                guests.extend(Guest::new(stream).ok());
                if guests.len() > MOST_GUESTS {
                    guests.remove(0);
                    strangers += 1;
                }
            }
            // 2. Let each prove that it is a rank; a rank that is already here is turned away.
            let mut waiting = Vec::new();
            for mut guest in guests {
                match guest.go_on(&self.place.key, self.shard) {
                    Progress::Waits => waiting.push(guest),
                    Progress::Stranger => strangers += 1,
                    Progress::Rank(other, port) => {
                        let is_new = other > rank && peers[other - first].is_none();
                        if let Some(ip) = guest.welcome(is_new) {
                            places[PLACE * other..][..PLACE].copy_from_slice(&place_bytes(ip, port));
                            peers[other - first] = Some(guest.stream);
                        }
                    }
                }
            }
            guests = waiting;
            // 3. Done when no rank is missing.
            let missing: Vec<usize> = (rank + 1..size)
                .filter(|other| peers[other - first].is_none())
                .collect();
            if missing.is_empty() {
                return Ok(places);
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let problem = format!("no connection to rank {rank} within {:.0?}", self.timeout);
                return Err(Error::invalid(names(&missing), problem + &turned_away(strangers)));
            }
            if self.timeout - left > LONG_WAIT && !told {
                tell(format!("rank {rank}: waiting for {} to connect", names(&missing)));
                told = true;
            }
            sleep(PAUSE);
        }
    }

    /// Connects to rank 0. Also returns the listener for the ranks after this one.
    fn come(&self, addresses: &[SocketAddr]) -> Result<(TcpStream, TcpListener)> {
        let mut listener = None;
        let stream = self.connect(0, addresses, |stream| {
            let ip = stream.local_addr().map_err(lost(0))?.ip();
            let listening = self.place.listen_at(ip, self.all_here)?;
            let port = listening.local_addr().map_err(lost(0))?.port();
            listener = Some(listening);
            Ok(port)
        })?;
        let listener = listener.ok_or_else(|| Error::invalid("rank", "listens nowhere"))?;
        Ok((stream, listener))
    }

    /// Connects to another rank at one of these addresses; it may not listen yet. `port_for`
    /// returns the port at which this rank listens.
    fn connect(
        &self,
        other: usize,
        addresses: &[SocketAddr],
        mut port_for: impl FnMut(&TcpStream) -> Result<u16>,
    ) -> Result<TcpStream> {
        let Shard { rank, .. } = self.shard;
        loop {
            // Try every address; the last problem is reported if time runs out.
            let mut problem = String::new();
            for address in addresses {
                let left = self.deadline.saturating_duration_since(Instant::now());
                let mut stream = match TcpStream::connect_timeout(address, left.max(PAUSE)) {
                    Ok(stream) => stream,
                    Err(error) => {
                        problem = format!("{address}: {error}");
                        continue;
                    }
                };
                // Connected: prove that both are ranks of this job.
                let port = port_for(&stream)?;
                match greet(
                    &mut stream,
                    &self.place.key,
                    (self.shard, port),
                    other,
                    self.deadline,
                ) {
                    Ok(()) => return Ok(stream),
                    Err(Refusal::Taken) => {
                        let problem = format!(
                            "rank {other} at {address} already knows another process with this rank; does \
                                another job use the same MASTER_PORT?"
                        );
                        return Err(Error::invalid(format!("rank {rank}"), problem));
                    }
                    Err(Refusal::Stranger) => {
                        problem = format!(
                            "{address}: the process that listens there is not a rank of this job, or has another secret"
                        );
                    }
                }
            }
            // Nobody listened yet; try again until the deadline.
            if self.deadline <= Instant::now() {
                let problem = format!(
                    "rank {rank} could not connect to it within {:.0?}: {problem}",
                    self.timeout
                );
                return Err(Error::invalid(format!("rank {other}"), problem));
            }
            sleep(PAUSE);
        }
    }
}

/// Tells how many connections were refused: one of them may have been a rank with another secret.
fn turned_away(strangers: usize) -> String {
    match strangers {
        0 => String::new(),
        1 => "; 1 connection was refused: it was not a rank of this job, or had another secret".to_string(),
        many => format!(
            "; {many} connections were refused: they were not ranks of this job, or had another secret"
        ),
    }
}

/// Bytes of an address and a port.
const PLACE: usize = 18;

/// Writes an address, as IPv6, and a port.
fn place_bytes(ip: IpAddr, port: u16) -> [u8; PLACE] {
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; PLACE];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&port.to_le_bytes());
    bytes
}

/// Reads bytes of [`place_bytes`]. A rank that rank 0 has seen on its own host has rank 0's
/// address.
fn place_from(bytes: &[u8], first: IpAddr) -> SocketAddr {
    let octets: [u8; 16] = std::array::from_fn(|i| bytes[i]);
    let ip = IpAddr::from(octets).to_canonical();
    let ip = if ip.is_loopback() { first } else { ip };
    SocketAddr::new(ip, u16::from_le_bytes([bytes[16], bytes[17]]))
}

/// Makes an error for `map_err`: a connection that was just made does not work.
fn lost(rank: usize) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::invalid(format!("rank {rank}"), format!("the connection failed: {error}"))
}
