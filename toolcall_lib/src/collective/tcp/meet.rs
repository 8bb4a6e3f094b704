//! How ranks find each other: all come to the first, which tells them where the others listen; then each connects to those before it.

use crate::collective::Shard;
use crate::collective::ranks::names;
use crate::error::{Error, Result, tell};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What a connection begins with: this, the rank and the number of ranks, and the port where the rank listens.
const GREETING: &[u8; 8] = b"toolcall";
/// How long a connection may take to say who it is.
const FIRST_WORD: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
/// So long a wait is told, once.
const LONG_WAIT: Duration = Duration::from_secs(60);

/// Where the first rank listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub host: String,
    pub port: u16,
}

impl Place {
    /// What `MASTER_ADDR` and `MASTER_PORT` say.
    pub fn from_environment() -> Result<Self> {
        Self::read(|name| std::env::var(name).ok())
    }

    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let get = |name: &str| {
            let problem =
                "is missing; torchrun sets it, and who starts ranks by hand has to: where rank 0 listens";
            variable(name).ok_or_else(|| Error::invalid(name, problem))
        };
        let (host, port) = (get("MASTER_ADDR")?, get("MASTER_PORT")?);
        let wrong = |_| Error::invalid("MASTER_PORT", format!("`{port}` is not a port"));
        let port: u16 = port.parse().map_err(wrong)?;
        // torchrun itself listens at the port that it tells, and says so
        let taken = variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|text| text == "True");
        let port = if taken { port.wrapping_add(1) } else { port };
        Ok(Self { host, port })
    }

    fn address(&self) -> Result<SocketAddr> {
        let unknown = |problem: String| Error::invalid("MASTER_ADDR", format!("{}: {problem}", self.host));
        let mut addresses = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(|error| unknown(error.to_string()))?;
        addresses.next().ok_or_else(|| unknown("has no address".into()))
    }

    /// Where ranks listen: only on this host if all are here, else on all its networks.
    fn listen(&self, port: u16) -> Result<TcpListener> {
        let here = self.host == "localhost" || self.host.starts_with("127.");
        let address = match (here, self.address()?) {
            (true, _) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            (false, SocketAddr::V4(_)) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            (false, SocketAddr::V6(_)) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        };
        let cannot = |error| Error::invalid("rank", format!("cannot listen at {address}:{port}: {error}"));
        let listener = TcpListener::bind((address, port)).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        Ok(listener)
    }
}

/// A connection to every other rank, which does not block.
pub(super) fn meet(place: &Place, shard: Shard, timeout: Duration) -> Result<Vec<Option<TcpStream>>> {
    let Shard { rank, size } = shard;
    let meeting = Meeting {
        shard,
        deadline: Instant::now() + timeout,
        timeout,
    };
    let mut peers: Vec<Option<TcpStream>> = (0..size).map(|_| None).collect();
    if rank == 0 {
        let listener = place.listen(place.port)?;
        let places = meeting.accept(&listener, &mut peers)?;
        for mut stream in peers.iter().flatten() {
            stream.write_all(&places).map_err(lost(0))?;
        }
    } else {
        let first = place.address()?;
        let listener = place.listen(0)?;
        let own = listener.local_addr().map_err(lost(rank))?.port();
        let mut stream = meeting.connect(0, first, own)?;
        let mut places = vec![0; PLACE * size];
        stream
            .set_read_timeout(Some(timeout))
            .and_then(|()| stream.read_exact(&mut places))
            .map_err(|_| Error::invalid("rank 0", "has gone before all ranks had come"))?;
        peers[0] = Some(stream);
        for other in 1..rank {
            let address = place_from(&places[PLACE * other..][..PLACE], first.ip());
            peers[other] = Some(meeting.connect(other, address, own)?);
        }
        meeting.accept(&listener, &mut peers[rank..])?;
    }
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

struct Meeting {
    shard: Shard,
    deadline: Instant,
    timeout: Duration,
}

impl Meeting {
    /// Waits for the ranks behind this one, which `peers` begins with. Returns where they listen, as [`place_from`] reads it.
    fn accept(&self, listener: &TcpListener, peers: &mut [Option<TcpStream>]) -> Result<Vec<u8>> {
        let Shard { rank, size } = self.shard;
        let first = size - peers.len();
        let mut places = vec![0; PLACE * size];
        let mut told = false;
        loop {
            let missing: Vec<usize> = (rank + 1..size)
                .filter(|other| peers[other - first].is_none())
                .collect();
            if missing.is_empty() {
                return Ok(places);
            }
            if let Ok((stream, address)) = listener.accept() {
                let Some((other, port)) = greeted(&stream, size) else {
                    continue; // not one of ours
                };
                if !missing.contains(&other) {
                    let problem = "comes twice: does another job use the same MASTER_PORT?";
                    return Err(Error::invalid(format!("rank {other}"), problem));
                }
                places[PLACE * other..][..PLACE].copy_from_slice(&place_bytes(address.ip(), port));
                peers[other - first] = Some(stream);
                continue;
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let problem = format!("rank {rank} has waited {:.0?} for it to come", self.timeout);
                return Err(Error::invalid(names(&missing), problem));
            }
            if self.timeout - left > LONG_WAIT && !told {
                tell(format!("rank {rank}: waiting for {} to come", names(&missing)));
                told = true;
            }
            sleep(PAUSE);
        }
    }

    /// Connects to another rank, which may not listen yet.
    fn connect(&self, other: usize, address: SocketAddr, own_port: u16) -> Result<TcpStream> {
        let Shard { rank, size } = self.shard;
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let problem = match TcpStream::connect_timeout(&address, left.max(PAUSE)) {
                Ok(mut stream) => {
                    let mut greeting = GREETING.to_vec();
                    greeting.extend((rank as u32).to_le_bytes());
                    greeting.extend((size as u32).to_le_bytes());
                    greeting.extend(own_port.to_le_bytes());
                    stream.write_all(&greeting).map_err(lost(other))?;
                    return Ok(stream);
                }
                Err(error) => error,
            };
            if left.is_zero() {
                let problem = format!(
                    "rank {rank} has tried for {:.0?} to reach it at {address}: {problem}",
                    self.timeout
                );
                return Err(Error::invalid(format!("rank {other}"), problem));
            }
            sleep(PAUSE);
        }
    }
}

/// The rank and the port of a connection that is one of `size` ranks.
fn greeted(mut stream: &TcpStream, size: usize) -> Option<(usize, u16)> {
    let mut greeting = [0; GREETING.len() + 10];
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(FIRST_WORD)).ok()?;
    stream.read_exact(&mut greeting).ok()?;
    let number = |at: usize| -> Option<usize> {
        let bytes = greeting.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes) as usize)
    };
    let (rank, ranks) = (number(8)?, number(12)?);
    let ours = greeting.starts_with(GREETING) && ranks == size && rank < size;
    ours.then_some((rank, u16::from_le_bytes([greeting[16], greeting[17]])))
}

/// Bytes of an address and a port.
const PLACE: usize = 18;

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

/// What [`place_bytes`] has written. A rank that the first has seen on its own host is where the first is.
fn place_from(bytes: &[u8], first: IpAddr) -> SocketAddr {
    let octets: [u8; 16] = std::array::from_fn(|i| bytes[i]);
    let ip = IpAddr::from(octets).to_canonical();
    let ip = if ip.is_loopback() { first } else { ip };
    SocketAddr::new(ip, u16::from_le_bytes([bytes[16], bytes[17]]))
}

/// For `map_err`: a connection that has just been made does not work.
fn lost(rank: usize) -> impl Fn(std::io::Error) -> Error {
    move |error| {
        Error::invalid(
            format!("rank {rank}"),
            format!("the connection does not work: {error}"),
        )
    }
}
