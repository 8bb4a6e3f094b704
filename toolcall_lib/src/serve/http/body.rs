//! Reading the body of a request, with limits on bytes, time and memory.

use super::Shared;
use super::shared::{ROOM, UNIT};
use crate::serve::wire::Refusal;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use hyper::header::CONTENT_LENGTH;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::timeout;

/// Longest time that a body may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes that are read of a body that is too large: reading it to the end lets its sender
/// receive the error.
const MOST_DRAINED: usize = 64 << 20;

/// Reads the body of `request`. Waits until there is memory for it.
///
/// # Errors
/// The body is too large, or too slow.
pub(super) async fn read(shared: &Shared, request: Request) -> Result<Vec<u8>, Refusal> {
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
    let most = shared.config.max_body;
    let units = length.unwrap_or(most).min(most).div_ceil(UNIT).clamp(1, ROOM);
    let mut body = request.into_body();
    let reading = async {
        let _room = shared.bodies.acquire_many(units as u32).await;
        collect(&mut body, most).await
    };
    match timeout(PATIENCE, reading).await {
        Ok(read) => read,
        Err(_) => Err(Refusal::too_slow(PATIENCE.as_secs())),
    }
}

/// Collects the bytes of a body; drops them once they are too many.
async fn collect(body: &mut Body, most: usize) -> Result<Vec<u8>, Refusal> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        let frame = frame.map_err(|error| Refusal::of_body(format!("the body ends too early: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        if length <= most {
            bytes.extend_from_slice(&data);
        } else if length > MOST_DRAINED {
            break;
        } else {
            bytes = Vec::new();
        }
    }
    if length > most {
        Err(Refusal::too_large(most))
    } else {
        Ok(bytes)
    }
}
