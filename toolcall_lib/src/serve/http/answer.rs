//! Constructors of HTTP answers.

use crate::serve::wire::Refusal;
use axum::body::Body;
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::Value;

/// Makes an answer with this content type and body.
pub(super) fn answer(kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    set(&mut response, CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Makes an answer of JSON.
pub(super) fn json(value: &Value) -> Response {
    answer("application/json", value.to_string())
}

/// Makes an answer of server-sent events, which must not be cached.
pub(super) fn events(body: Body) -> Response {
    let mut response = answer("text/event-stream", body);
    set(&mut response, CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Makes an answer for an error, in OpenAI's form.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let mut response = json(&refusal.to_json());
    *response.status_mut() =
        StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(seconds) = refusal.retry_after {
        set(&mut response, RETRY_AFTER, seconds.into());
    }
    if refusal.status == 401 {
        set(
            &mut response,
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer"),
        );
    }
    response.extensions_mut().insert(refusal.clone()); // for the log
    response
}

/// Sets a header.
pub(super) fn set(response: &mut Response, name: HeaderName, value: HeaderValue) {
    response.headers_mut().insert(name, value);
}
