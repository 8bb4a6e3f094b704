//! Answers of HTTP.

use crate::serve::wire::Refusal;
use axum::body::Body;
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::Value;

/// An answer with this content.
pub(super) fn answer(kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    set(&mut response, CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// JSON.
pub(super) fn json(value: &Value) -> Response {
    answer("application/json", value.to_string())
}

/// Server-sent events, which nobody may keep.
pub(super) fn events(body: Body) -> Response {
    let mut response = answer("text/event-stream", body);
    set(&mut response, CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// An error in OpenAI's shape.
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
    response
}

fn set(response: &mut Response, name: HeaderName, value: HeaderValue) {
    response.headers_mut().insert(name, value);
}
