//! Reading the body of a request, with limits on bytes, time and memory.

use super::Shared;
use crate::serve::wire::Refusal;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use hyper::HeaderMap;
use hyper::header::CONTENT_ENCODING;
use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Longest time that a body may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes that are read of a body that is too large.
const MOST_DRAINED: usize = 64 << 20;

/// The bytes of a body, and the memory that they take until they are dropped. It is reserved as
/// they arrive, so that a client that announces many bytes and sends none blocks no memory.
pub(super) struct Bytes<'a> {
    bytes: Vec<u8>,
    taken: Option<SemaphorePermit<'a>>,
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'a> Bytes<'a> {
    fn add(&mut self, data: &[u8], room: &'a Semaphore) -> Result<(), Refusal> {
        let more = u32::try_from(data.len()).ok();
        let more = more.and_then(|bytes| room.try_acquire_many(bytes).ok());
        let more = more.ok_or_else(Refusal::no_room)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        self.bytes.reserve_exact(data.len()); // no more than was taken
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

/// Reads the body of `request`.
///
/// # Errors
/// The body is too large, too slow or compressed, or the bodies of other requests have taken all
/// memory.
pub(super) async fn read(shared: &Shared, request: Request) -> Result<Bytes<'_>, Refusal> {
    let compressed = is_compressed(request.headers());
    let mut body = request.into_body();
    let reading = collect(&mut body, shared.config.max_body, &shared.bodies);
    match timeout(PATIENCE, reading).await {
        Ok(Ok(_)) if compressed => Err(Refusal::compressed()),
        Ok(read) => read,
        Err(_) => Err(Refusal::too_slow(PATIENCE.as_secs())),
    }
}

fn is_compressed(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Collects the bytes of a body. Once it is refused, drops what it has and reads on, so that the
/// sender receives the error.
async fn collect<'a>(body: &mut Body, most: usize, room: &'a Semaphore) -> Result<Bytes<'a>, Refusal> {
    let mut read = Ok(Bytes {
        bytes: Vec::new(),
        taken: None,
    });
    let mut length = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        let frame = frame.map_err(|error| Refusal::of_body(format!("the body ends too early: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        if length > most {
            read = Err(Refusal::too_large(most));
            if length > MOST_DRAINED {
                break;
            }
        } else if let Ok(bytes) = &mut read
            && let Err(refusal) = bytes.add(&data, room)
        {
            read = Err(refusal);
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_their_memory_as_bytes_arrive() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(share());
    }

    async fn share() {
        let room = Semaphore::new(10);
        let read = |bytes: usize| {
            let room = &room;
            async move { collect(&mut Body::from(vec![b' '; bytes]), 8, room).await }
        };
        let first = read(6).await.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        assert_eq!((first.len(), room.available_permits()), (6, 4));
        let Err(refusal) = read(5).await else {
            panic!("there is no room")
        };
        assert_eq!((refusal.status, refusal.code), (503, Some("no_room")));
        assert!(refusal.retry_after.is_some());
        assert_eq!(
            room.available_permits(),
            4,
            "a refused body gives its memory back"
        );
        assert_eq!(read(9).await.err().map(|refusal| refusal.status), Some(413));
        drop(first);
        assert_eq!(read(8).await.map(|body| body.len()).ok(), Some(8));
        assert_eq!(room.available_permits(), 10);
    }
}
