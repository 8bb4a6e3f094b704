//! The address at which ranks meet, the secret that lets them in, and listeners that are open no
//! wider than needed.

use super::greeting::Key;
use crate::error::{Error, Result, tell};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

/// Variable with the secret that only the ranks of a job know.
const SECRET: &str = "TOOLCALL_RANKS_SECRET";
/// Variable with the id of a job of `torchrun`.
const RUN: &str = "TORCHELASTIC_RUN_ID";

/// Address of rank 0.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub host: String,
    pub port: u16,
    /// Key that a rank needs to join, made from [`SECRET`] and [`RUN`].
    pub key: Key,
    /// True if the user has set [`SECRET`].
    pub is_secret: bool,
}

impl Place {
    /// Reads `MASTER_ADDR` and `MASTER_PORT`, [`SECRET`] and [`RUN`].
    pub fn from_environment() -> Result<Self> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads the same from any source of variables.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let get = |name: &str| {
            let problem = "is missing; it says where rank 0 listens. torchrun sets it; set it yourself if you start ranks by hand";
            variable(name).ok_or_else(|| Error::invalid(name, problem))
        };
        let (host, port) = (get("MASTER_ADDR")?, get("MASTER_PORT")?);
        let wrong = |_| {
            Error::invalid(
                "MASTER_PORT",
                format!("`{port}` is not a port; expected a number up to 65535"),
            )
        };
        let port: u16 = port.parse().map_err(wrong)?;
        // torchrun itself listens at the port that it announces, and says so; ranks take the next
        // one.
        let taken = variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|text| text == "True");
        let port = if taken { port.wrapping_add(1) } else { port };
        let secret = variable(SECRET).filter(|secret| !secret.is_empty());
        let run = variable(RUN).unwrap_or_default();
        Ok(Self {
            host,
            port,
            is_secret: secret.is_some(),
            key: Key::new(format!("{}\0{run}", secret.unwrap_or_default()).as_bytes()),
        })
    }

    /// Returns the addresses of rank 0, as this host resolves them.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let unknown = |problem: String| Error::invalid("MASTER_ADDR", format!("{}: {problem}", self.host));
        let addresses = (self.host(), self.port)
            .to_socket_addrs()
            .map_err(|error| unknown(error.to_string()))?;
        let addresses: Vec<SocketAddr> = addresses.collect();
        match addresses.is_empty() {
            true => Err(unknown("has no address".into())),
            false => Ok(addresses),
        }
    }

    /// Returns true if no rank can be on another host: the launcher says so (`all_here`), or the
    /// address is local.
    fn is_here(&self, all_here: bool) -> bool {
        let literal = self.host().parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        all_here || literal || self.host == "localhost"
    }

    /// Returns the host without the brackets of `[::1]`.
    fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Makes rank 0 listen at the address that the others use, not on all networks of this host.
    ///
    /// Listens everywhere if there are ranks elsewhere and the host resolves its own name to itself
    /// (127.0.1.1 on Debian), or if its address is translated on the way.
    pub fn listen(&self, all_here: bool) -> Result<TcpListener> {
        let mut problem = None;
        for address in self.addresses()? {
            let hidden = address.ip().is_loopback() && !self.is_here(all_here);
            let address = if hidden { everywhere(address) } else { address };
            // The address may be one that only the network translates to this host.
            let bound = match TcpListener::bind(address) {
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable && !address.ip().is_loopback() => {
                    TcpListener::bind(everywhere(address))
                }
                other => other,
            };
            match bound.and_then(ready) {
                Ok(listener) => {
                    self.warn(&listener);
                    return Ok(listener);
                }
                Err(error) => problem = problem.or(Some((address, error))),
            }
        }
        Err(match problem {
            Some((address, error)) => cannot_listen(address, error),
            None => Error::invalid("MASTER_ADDR", format!("{} has no address", self.host)),
        })
    }

    /// Makes another rank listen for those after it at `ip`, its address on the network over which
    /// it has reached rank 0.
    pub fn listen_at(&self, ip: IpAddr, all_here: bool) -> Result<TcpListener> {
        let address = SocketAddr::new(ip, 0);
        // rank 0 runs on this host, others do not
        let hidden = ip.is_loopback() && !self.is_here(all_here);
        let address = if hidden { everywhere(address) } else { address };
        TcpListener::bind(address)
            .and_then(ready)
            .map_err(|error| cannot_listen(address, error))
    }

    /// Warns if strangers can reach the meeting and no secret keeps them out.
    fn warn(&self, listener: &TcpListener) {
        let address = listener
            .local_addr()
            .ok()
            .filter(|address| !address.ip().is_loopback());
        if let Some(address) = address.filter(|_| !self.is_secret) {
            tell(format!(
                "note: ranks meet at {address}, which other hosts can reach; to let only them join, set \
                    {SECRET} to the same random text for all ranks"
            ));
        }
    }
}

/// Never prints the secret.
impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Place {{ {}:{}, secret: {} }}",
            self.host, self.port, self.is_secret
        )
    }
}

fn ready(listener: TcpListener) -> std::io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn everywhere(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, address.port())
}

fn cannot_listen(address: SocketAddr, error: std::io::Error) -> Error {
    Error::invalid("rank", format!("cannot listen at {address}: {error}"))
}
