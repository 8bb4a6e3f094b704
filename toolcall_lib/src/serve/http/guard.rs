//! Access control: keys, and pages of other sites.
//!
//! With a key, pages of any origin may ask (CORS): the key protects the server, and browsers send
//! none automatically. Without one, only pages of this host may.

use super::Shared;
use super::answer::{answer, refused, set};
use super::shared::digest;
use crate::serve::wire::{Refusal, random_id};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN, VARY,
};
use hyper::{HeaderMap, Method, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Paths that need no key, because they reveal nothing secret.
const OPEN: [&str; 2] = ["/", "/health"];

/// Header with an id for each answer, under which clients report problems.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Lets a request through, or answers why not; counts both.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let path = known(request.uri().path());
    let of_page = shared.key.is_some() && request.headers().contains_key(ORIGIN);
    let mut response = if of_page && is_preflight(&request) {
        preflight(request.headers())
    } else {
        match check(&shared, &request) {
            Ok(()) => next.run(request).await,
            Err(refusal) => refused(&refusal),
        }
    };
    if of_page {
        let [origin, exposed] = ["*", "retry-after, x-request-id"].map(HeaderValue::from_static);
        set(&mut response, ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        set(&mut response, ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    if let Ok(id) = HeaderValue::from_str(&random_id("req_")) {
        set(&mut response, REQUEST_ID, id);
    }
    shared.metrics.add_request(path, response.status().as_u16());
    response
}

/// Returns true if a browser asks whether a page may send a request. It sends no key with that.
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers a preflight: any header is allowed, because clients send their own ones.
fn preflight(headers: &HeaderMap) -> Response {
    let mut response = answer("text/plain", "");
    *response.status_mut() = StatusCode::NO_CONTENT;
    let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let allowed = asked.unwrap_or(HeaderValue::from_static("authorization, content-type"));
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_HEADERS, allowed),
        (
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST"),
        ),
        (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600")),
        (VARY, HeaderValue::from_static("access-control-request-headers")),
    ] {
        set(&mut response, name, value);
    }
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
