//! Connections: their number, and the time that each may wait.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

/// Most connections at once; further ones wait until one is closed.
const MOST: usize = 1024;
/// Longest time for the head of a request, and for an idle connection.
const HEAD: Duration = Duration::from_secs(60);
/// Longest time that a client may read nothing of what it is sent.
const READER: Duration = Duration::from_secs(60);
/// Time for telling the clients that the server no longer waits for their replies.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Pause after the system has refused a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `stop` is ready. Then accepts no more, and lets the open ones complete
/// their requests within `grace`, after which `give_up` ends the replies.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
    grace: Duration,
    give_up: impl FnOnce(),
) {
    let places = Arc::new(Semaphore::new(MOST));
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        // 1. Accept the next connection once there is a place for it.
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let Some((place, accepted)) = either(accepted, &mut stop).await else {
            break;
        };
        let (Ok(place), Ok((stream, _))) = (place, accepted) else {
            sleep(PAUSE).await; // too many open files; some will be closed
            continue;
        };
        stream.set_nodelay(true).ok();
        // 2. Serve it in its own task, which keeps the place.
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(Patient::new(stream)), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            connection.await.ok(); // a client that has gone is not an error
            drop(place);
        });
    }
    // 3. Let the open connections end.
    drop(listener);
    let mut ended = std::pin::pin!(connections.shutdown());
    if timeout(grace, &mut ended).await.is_err() {
        give_up();
        timeout(LAST_WORDS, ended).await.ok();
    }
}

/// Returns the output of `work`, or `None` if `stop` is ready first.
async fn either<T>(
    work: impl Future<Output = T>,
    stop: &mut Pin<&mut impl Future<Output = ()>>,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        if stop.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(context).map(Some)
    })
    .await
}

/// A connection whose writes fail when the other side reads nothing for too long.
struct Patient {
    stream: TcpStream,
    until: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn new(stream: TcpStream) -> Self {
        Self { stream, until: None }
    }

    /// Passes on the result of a write, or a time-out if it has waited for too long.
    fn within<T>(&mut self, context: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.until = None;
            return write;
        }
        let until = self
            .until
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + READER)));
        match until.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within(context, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.within(context, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.stream).poll_flush(context);
        self.within(context, flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
