//! Sends requests to the hub, and limits their targets, their content and their time.

use super::address::{Hub, split_credentials};
use crate::AGENT;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use std::time::Duration;
use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, ETAG, LOCATION, RANGE, USER_AGENT};
use ureq::http::{HeaderMap, HeaderValue, Uri};
use ureq::{Agent, Body};

/// Most redirects that one request follows.
const MOST_REDIRECTS: usize = 5;
/// The slowest download that is waited for, in bytes per second.
const SLOWEST: u64 = 10_000;
/// No request takes longer than this.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reason why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The hub answers with this HTTP status.
    Status(u16),
    /// The storage to which the hub redirects, at this host, answers with this HTTP status.
    Storage(String, u16),
    /// The connection failed, broke off or took too long. A retry may succeed.
    Connection(String),
    /// The answer is not one that a hub gives, or may not be followed.
    Answer(String),
    /// The cache cannot be written, or a file that is uploaded cannot be read.
    Cache(std::path::PathBuf, std::io::Error),
    /// The hub refuses a change with this HTTP status and message, which holds no token.
    Refused(u16, String),
}

/// An answer whose body has not been read.
pub(super) type Answer = ureq::http::Response<Body>;

/// The hub at one address.
pub(super) struct Client {
    pub(super) agent: Agent,
    /// Scheme, host and port of the hub, and the path in front of all others; without credentials.
    pub(super) base: Uri,
    /// Header that is sent to `base` only.
    pub(super) authorization: Option<HeaderValue>,
    pub(super) timeout: Duration,
}

impl Client {
    /// Makes a client for `hub`.
    ///
    /// # Errors
    /// The endpoint is not the URL of a web server, or the token cannot be put into a request
    /// header.
    pub fn new(hub: &Hub) -> std::result::Result<Self, String> {
        let (address, credentials) = split_credentials(&hub.endpoint);
        let base: Uri = address
            .parse()
            .ok()
            .filter(|base| is_web(base) && base.query().is_none())
            .ok_or("the hub's address is not of the form https://host or http://host:port")?;
        let bearer = hub.token.as_ref().map(|token| format!("Bearer {token}"));
        let authorization = credentials.map(basic).or(bearer).map(|value| {
            let mut value = HeaderValue::from_str(&value)
                .map_err(|_| "the token holds characters that no token has; set HF_TOKEN anew")?;
            value.set_sensitive(true);
            Ok::<_, String>(value)
        });
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0) // followed by `follow`, which knows who may see the token
            .timeout_resolve(Some(hub.timeout))
            .timeout_connect(Some(hub.timeout))
            .timeout_send_request(Some(hub.timeout))
            .timeout_recv_response(Some(hub.timeout))
            .timeout_per_read(Some(hub.timeout))
            .timeout_per_write(Some(hub.timeout))
            .build();
        Ok(Self {
            agent: config.into(),
            base,
            authorization: authorization.transpose()?,
            timeout: hub.timeout,
        })
    }

    /// Returns the body of an answer of at most `most` bytes.
    pub fn text(&self, path: &str, most: u64) -> Result<Vec<u8>, Failure> {
        let mut answer = self.follow(path, Method::Get(0), 0)?;
        let body = answer.body_mut().with_config().limit(most);
        body.read_to_vec().map_err(failed)
    }

    /// Asks the hub itself about a file, and not a storage behind it. If an answer redirects, its
    /// own length and tag are not those of the file.
    pub fn head(&self, path: &str) -> Result<HeaderMap, Failure> {
        let mut answer = self.follow(path, Method::Head, 0)?;
        if answer.status().is_redirection() {
            answer.headers_mut().remove(CONTENT_LENGTH);
            answer.headers_mut().remove(ETAG);
        }
        Ok(answer.into_parts().0.headers)
    }

    /// Requests a file of `size` bytes from byte `start` on, wherever the hub keeps it.
    pub fn file(&self, path: &str, start: u64, size: u64) -> Result<Answer, Failure> {
        self.follow(path, Method::Get(start), size - start)
    }

    /// The address of `path` on the hub.
    pub(super) fn at(&self, path: &str) -> Result<Uri, Failure> {
        let above = self.base.path().trim_end_matches('/');
        join(&self.base, &format!("{above}{path}"))
    }

    /// Returns true if an address is on the hub itself, which may see the token.
    pub(super) fn is_ours(&self, uri: &Uri) -> bool {
        origin(uri) == origin(&self.base)
    }

    /// The longest time for a request of this many bytes.
    pub(super) fn longest(&self, bytes: u64) -> Duration {
        (4 * self.timeout + Duration::from_secs(bytes / SLOWEST)).min(LONGEST)
    }

    /// Sends a request and follows redirects. The token goes to the hub's own scheme, host and port
    /// only.
    fn follow(&self, path: &str, method: Method, bytes: u64) -> Result<Answer, Failure> {
        let mut uri = self.at(path)?;
        for _ in 0..=MOST_REDIRECTS {
            let ours = self.is_ours(&uri);
            let answer = self.send(&uri, method, bytes, ours)?;
            let status = answer.status();
            if status.is_redirection() {
                let next = redirect(&uri, answer.headers())?;
                if method == Method::Head && !self.is_ours(&next) {
                    return Ok(answer); // a storage elsewhere; the hub has said all
                }
                uri = next;
            } else if status.is_success() {
                return Ok(answer);
            } else if ours {
                return Err(Failure::Status(status.as_u16()));
            } else {
                let host = uri.host().unwrap_or_default().to_string();
                return Err(Failure::Storage(host, status.as_u16()));
            }
        }
        Err(Failure::Answer(format!(
            "it redirects more than {MOST_REDIRECTS} times"
        )))
    }

    fn send(&self, uri: &Uri, method: Method, bytes: u64, ours: bool) -> Result<Answer, Failure> {
        let mut request = match method {
            Method::Head => self.agent.head(uri.clone()),
            Method::Get(_) => self.agent.get(uri.clone()),
        };
        request = request
            .header(USER_AGENT, AGENT)
            .header(ACCEPT_ENCODING, "identity"); // sizes are those of the file
        if let Method::Get(start @ 1..) = method {
            request = request.header(RANGE, format!("bytes={start}-"));
        }
        if let Some(authorization) = self.authorization.as_ref().filter(|_| ours) {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.config().timeout_global(Some(self.longest(bytes))).build();
        request.call().map_err(failed)
    }
}

/// Method of a request.
#[derive(Clone, Copy, PartialEq)]
enum Method {
    Head,
    /// The body from this byte on.
    Get(u64),
}

/// Returns the header for `user:password` as a URL writes it.
fn basic(credentials: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(credentials).collect();
    format!("Basic {}", STANDARD.encode(decoded))
}

fn is_web(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
}

/// Returns scheme, host and port: the server that sees a request.
fn origin(uri: &Uri) -> (Option<&str>, Option<String>, u16) {
    let usual = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    let host = uri.host().map(str::to_ascii_lowercase);
    (uri.scheme_str(), host, uri.port_u16().unwrap_or(usual))
}

/// Returns the address of `path` on the server of `base`.
fn join(base: &Uri, path: &str) -> Result<Uri, Failure> {
    let mut parts = base.clone().into_parts();
    parts.path_and_query = path.parse().ok();
    let uri = parts
        .path_and_query
        .is_some()
        .then(|| Uri::from_parts(parts).ok());
    uri.flatten()
        .ok_or_else(|| Failure::Answer("it names a path that is not part of a URL".to_string()))
}

/// Returns the address to which an answer of `uri` redirects.
///
/// # Errors
/// The answer has no address or one that is not on the web, or it leads from an encrypted
/// connection to an unencrypted one.
fn redirect(uri: &Uri, headers: &HeaderMap) -> Result<Uri, Failure> {
    let wrong = |problem: &str| Failure::Answer(format!("it redirects {problem}"));
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| wrong("without saying where to"))?;
    named(uri, location).map_err(wrong)
}

/// The address that an answer of `uri` names.
///
/// # Errors
/// It is not a web address, or leads from an encrypted connection to an unencrypted one.
pub(super) fn named(uri: &Uri, location: &str) -> Result<Uri, &'static str> {
    if location.starts_with('/') && !location.starts_with("//") {
        return join(uri, location).map_err(|_| "to something that is not a URL");
    }
    let location = match location.starts_with("//") {
        true => format!("{}:{location}", uri.scheme_str().unwrap_or_default()),
        false => location.to_string(),
    };
    let next = split_credentials(&location).0.parse();
    let next: Uri = next.map_err(|_| "to something that is not a URL")?;
    if !is_web(&next) {
        return Err("to something that is not a web server");
    }
    if uri.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
        return Err("from https to http, where anyone can listen and change what comes");
    }
    Ok(next)
}

/// Turns an error of the HTTP client into ours. It must quote no address, because the address in a
/// redirect can be a key to the file.
pub(super) fn failed(error: ureq::Error) -> Failure {
    match error {
        ureq::Error::BodyExceedsLimit(most) => Failure::Answer(format!("it is longer than {most} bytes")),
        ureq::Error::BadUri(_) => Failure::Answer("it names an address that cannot be used".to_string()),
        ureq::Error::Timeout(what) => Failure::Connection(format!("it took too long: {what}")),
        other => Failure::Connection(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(from: &str, location: &str) -> Result<String, String> {
        let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
        match redirect(&from.parse().unwrap(), &headers) {
            Ok(uri) => Ok(uri.to_string()),
            Err(Failure::Answer(problem)) => Err(problem),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn redirects_lead_to_web_servers_and_never_out_of_encryption() {
        let from = "https://hub.example/a/b";
        assert_eq!(moved(from, "/c?d=1").unwrap(), "https://hub.example/c?d=1");
        assert_eq!(moved(from, "//cdn.example/c").unwrap(), "https://cdn.example/c");
        assert_eq!(
            moved(from, "https://u:p@cdn.example/c").unwrap(),
            "https://cdn.example/c"
        );
        assert!(
            moved(from, "http://cdn.example/c")
                .unwrap_err()
                .contains("from https to http")
        );
        assert!(moved("http://hub.example/a", "http://cdn.example/c").is_ok());
        for bad in [
            "file:///etc/passwd",
            "ftp://host/x",
            "c/d",
            "https://",
            "https:// /",
        ] {
            assert!(moved(from, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_origin_is_scheme_host_and_port() {
        let origin = |uri: &str| {
            let uri: Uri = uri.parse().unwrap();
            let (scheme, host, port) = origin(&uri);
            format!("{} {} {port}", scheme.unwrap(), host.unwrap())
        };
        assert_eq!(
            origin("https://Hub.example/a"),
            origin("https://hub.example:443/b")
        );
        assert_ne!(origin("https://hub.example"), origin("http://hub.example:443"));
        assert_ne!(origin("https://hub.example"), origin("https://hub.example.evil"));
        assert_ne!(origin("http://hub.example:1"), origin("http://hub.example:2"));
    }

    #[test]
    fn credentials_are_split_from_an_address() {
        let split = |endpoint: &'static str| {
            let (address, credentials) = split_credentials(endpoint);
            (address, credentials.unwrap_or("none").to_string())
        };
        assert_eq!(
            split("https://me:p%40ss@host/x@y"),
            ("https://host/x@y".into(), "me:p%40ss".into())
        );
        assert_eq!(
            split("https://me:p@ss@host"),
            ("https://host".into(), "me:p@ss".into())
        );
        assert_eq!(split("https://host"), ("https://host".into(), "none".into()));
        assert_eq!(split("me:secret@host"), ("host".into(), "me:secret".into()));
        assert_eq!(basic("me:p%40ss"), "Basic bWU6cEBzcw==");
    }
}
