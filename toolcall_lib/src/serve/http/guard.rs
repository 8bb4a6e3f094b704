//! Access control: keys, and pages of other origins (CORS).
//!
//! With a key, pages of any origin may ask: the key protects the server, and browsers send none
//! automatically. Without one, only pages of this host may, on any port.

use super::Shared;
use super::answer::{answer, refused, set};
use super::log::Asked;
use super::paths::known;
use super::shared::digest;
use crate::serve::wire::Refusal;
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
const OPEN: [&str; 3] = ["/", "/health", "/openapi.json"];

/// Header with an id for each answer, under which clients report problems.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Lets a request through, or answers why not; counts both, and logs what does not succeed.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let (path, asked) = (known(request.uri().path()), Asked::new(&request));
    request.extensions_mut().insert(asked.clone());
    // 1. Decide who may ask, and whether a page may read the answer.
    let allowed = check(&shared, &request);
    let origin = match (request.headers().get(ORIGIN), &shared.key) {
        (Some(_), Some(_)) => Some(HeaderValue::from_static("*")),
        (origin, _) => origin.filter(|_| allowed.is_ok()).cloned(),
    };
    // 2. Answer.
    let mut response = match allowed {
        _ if origin.is_some() && is_preflight(&request) => preflight(request.headers()),
        Ok(()) => next.run(request).await,
        Err(refusal) => refused(&refusal),
    };
    // 3. Add the headers of every answer.
    if let Some(origin) = origin {
        let exposed = HeaderValue::from_static("retry-after, x-request-id");
        set(&mut response, ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        set(&mut response, ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        response
            .headers_mut()
            .append(VARY, HeaderValue::from_static("origin"));
    }
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        asked.log(refusal);
    }
    if let Ok(id) = HeaderValue::from_str(&asked.id) {
        set(&mut response, REQUEST_ID, id);
    }
    shared.metrics.add_request(path, response.status().as_u16());
    response
}

/// Returns true if a browser asks whether a page may send a request. It sends no key with that.
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers a preflight: any header is allowed, because clients send headers of their own.
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
        return Err(Refusal::foreign_host(host));
    }
    match text(ORIGIN) {
        Some(origin) if !is_loopback(origin.split_once("://").map_or(origin, |(_, host)| host)) => {
            Err(Refusal::foreign_page(origin))
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
