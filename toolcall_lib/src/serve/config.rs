//! Settings of the server.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::tool::ToolSchema;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Most requests in the queue: far more than the server has connections.
const LONGEST_QUEUE: usize = 1_000_000;
/// Longest time of a reply: a year.
const LONGEST_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Settings of a server.
#[derive(Clone)]
pub struct ServeConfig {
    /// Address and port to listen on; port 0 takes a free one. An address that other hosts can
    /// reach requires `api_key`.
    pub address: SocketAddr,
    /// Key that every request must bring: `Authorization: Bearer KEY`.
    pub api_key: Option<String>,
    /// Tools offered to `/predict` and on the page; `None` offers those that the model was trained
    /// with.
    pub tools: Option<Vec<ToolSchema>>,
    /// Most requests that are being answered or wait, up to 1,000,000; further ones are answered
    /// with `429`.
    pub queue: usize,
    /// Most tokens of a reply, even if a request asks for more.
    pub max_tokens: usize,
    /// Largest body of a request, in bytes.
    pub max_body: usize,
    /// Longest time from a request to the end of its reply, at most a year.
    pub timeout: Duration,
    /// Time that running requests get when the server ends.
    pub grace: Duration,
    /// Device that runs the models.
    pub device: Device,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            api_key: None,
            tools: None,
            queue: 512,
            max_tokens: 4096,
            max_body: 2 << 20,
            timeout: Duration::from_secs(300),
            grace: Duration::from_secs(30),
            device: Device::Auto,
        }
    }
}

/// Does not show the key.
impl fmt::Debug for ServeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeConfig")
            .field("address", &self.address)
            .field("api_key", &self.api_key.as_ref().map(|_| "…"))
            .field("tools", &self.tools.as_ref().map(Vec::len))
            .field("queue", &self.queue)
            .field("max_tokens", &self.max_tokens)
            .field("max_body", &self.max_body)
            .field("timeout", &self.timeout)
            .field("grace", &self.grace)
            .field("device", &self.device)
            .finish()
    }
}

impl ServeConfig {
    /// Refuses settings that would refuse every request or cannot be counted, or serve other hosts
    /// without a key.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |name: &str, problem: &str| Err(Error::invalid(name, problem));
        match &self.api_key {
            None if !self.address.ip().is_loopback() => {
                let problem = format!(
                    "other hosts can reach {}, so the server needs a key (--api-key)",
                    self.address
                );
                return refuse("address", &problem);
            }
            Some(key) if key.trim().is_empty() => return refuse("api_key", "the key is empty; give one"),
            _ => {}
        }
        for (name, number) in [
            ("queue", self.queue),
            ("max_tokens", self.max_tokens),
            ("max_body", self.max_body),
        ] {
            if number == 0 {
                return refuse(name, "0 would refuse every request; expected 1 or more");
            }
        }
        if self.timeout.is_zero() {
            return refuse("timeout", "0 would end every reply; expected more than 0 seconds");
        }
        if self.queue > LONGEST_QUEUE {
            let problem = format!("found {}, expected at most {LONGEST_QUEUE}", self.queue);
            return refuse("queue", &problem);
        }
        if self.timeout > LONGEST_TIME {
            let (found, most) = (self.timeout.as_secs(), LONGEST_TIME.as_secs());
            let problem = format!("found {found} seconds, expected at most {most}, a year");
            return refuse("timeout", &problem);
        }
        Ok(())
    }
}
