//! Access control: keys, and pages of other sites.

use super::Shared;
use super::answer::refused;
use super::shared::digest;
use crate::serve::wire::Refusal;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use std::net::IpAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Paths that need no key, because they tell nothing secret.
const OPEN: [&str; 2] = ["/", "/health"];

/// Lets a request through, or answers why not; counts both.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let path = known(request.uri().path());
    let response = match check(&shared, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refused(&refusal),
    };
    shared.metrics.add_request(path, response.status().as_u16());
    response
}

/// Checks the key if the server has one, and otherwise that no foreign page asks.
fn check(shared: &Shared, request: &Request) -> Result<(), Refusal> {
    match &shared.key {
        Some(_) if OPEN.contains(&request.uri().path()) => Ok(()),
        Some(key) => check_key(key, request.headers()),
        None => check_page(request.headers()),
    }
}

/// Compares keys in constant time.
fn check_key(expected: &[u8; 32], headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let same = digest(given.unwrap_or_default()).ct_eq(expected);
    if given.is_some() && bool::from(same) {
        Ok(())
    } else {
        Err(Refusal::wrong_key())
    }
}

/// Refuses foreign pages. Without a key, only programs of this host may ask; a foreign page that
/// asks through the browser is recognized by the names that it uses for the server (`Host`) and for
/// itself (`Origin`).
fn check_page(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(host) = text(HOST).filter(|host| !is_loopback(host)) {
        return Err(Refusal::foreign_page("the host", host));
    }
    match text(ORIGIN) {
        Some(origin) if !is_loopback(origin.split_once("://").map_or(origin, |(_, host)| host)) => {
            Err(Refusal::foreign_page("the page", origin))
        }
        _ => Ok(()),
    }
}

/// Returns true if this is a name of this host, with or without a port.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = name.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Returns the name under which a path is counted. Unknown paths share one name, because there
/// could be any number of them.
fn known(path: &str) -> &'static str {
    const KNOWN: [&str; 8] = [
        "/",
        "/health",
        "/metrics",
        "/openapi.json",
        "/predict",
        "/tools",
        "/v1/chat/completions",
        "/v1/models",
    ];
    let found = KNOWN.into_iter().find(|known| *known == path);
    let model = || path.starts_with("/v1/models/").then_some("/v1/models/{model}");
    found.or_else(model).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_host_are_known() {
        for ours in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:8080",
        ] {
            assert!(is_loopback(ours), "{ours}");
        }
        for other in [
            "example.com",
            "127.0.0.1.example.com",
            "10.0.0.1:8080",
            "[::2]",
            "",
            "null",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
