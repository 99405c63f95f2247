//! Request bodies: kept within reach until the answer is made, so that an early refusal arrives as an answer and not
//! as a reset connection (protocol rule R10).

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, HeaderValue, Version};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Sleep;

use super::exchange::Exchange;
use crate::storage::Incoming;

/// What is read and thrown away of a body nobody wants, in bytes. Beyond it the connection is closed instead.
const DRAIN_BYTES: u64 = 1024 * 1024;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// How long a client may send nothing in the middle of a body. A stalled upload holds buffers that others wait for.
const STALL: Duration = Duration::from_secs(60);

/// Wraps the body of every request, and settles what is left of it once the answer is made.
pub(super) async fn settle(request: Request, next: Next) -> Response {
    let version = request.version();
    let expects = request.headers().contains_key(EXPECT);
    let exchange = request.extensions().get::<Arc<Exchange>>().cloned();
    let (parts, body) = request.into_parts();
    let shared = Shared::new(body, STALL, exchange);
    let mut response = next.run(Request::from_parts(parts, Body::new(shared.clone()))).await;
    if !shared.drained(expects).await && version <= Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The body as the storage takes it.
pub(super) fn incoming(body: Body) -> Incoming {
    body.into_data_stream().map(|chunk| chunk.map_err(std::io::Error::other)).boxed()
}

/// The length a request declares; `None` for bodies sent in pieces.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a whole body of at most `limit` bytes; `None` when it has more.
///
/// # Errors
/// Whatever breaks the body.
pub(super) async fn read(body: Body, limit: usize) -> std::io::Result<Option<Bytes>> {
    let mut chunks = incoming(body);
    let mut all = bytes::BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if all.len() + chunk.len() > limit {
            return Ok(None);
        }
        all.extend_from_slice(&chunk);
    }
    Ok(Some(all.freeze()))
}

/// A body that its handler reads and that can still be drained afterwards. Only ever polled by one of the two.
#[derive(Clone)]
struct Shared(Arc<Mutex<Inner>>);

struct Inner {
    body: Body,
    touched: bool,
    ended: bool,
    patience: Duration,
    /// Runs from the last frame; made on the first wait, so that bodies already here cost no timer.
    stall: Option<Pin<Box<Sleep>>>,
    exchange: Option<Arc<Exchange>>,
}

impl Shared {
    fn new(body: Body, patience: Duration, exchange: Option<Arc<Exchange>>) -> Self {
        let ended = body.is_end_stream();
        Self(Arc::new(Mutex::new(Inner { body, touched: false, ended, patience, stall: None, exchange })))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        // A panic while polling leaves a body that answers with an error at worst.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the rest, if it is short. `false` when the connection cannot be used any more.
    async fn drained(&self, expects: bool) -> bool {
        let (ended, touched, hint) = self.with(|inner| (inner.ended, inner.touched, inner.body.size_hint()));
        if ended {
            return true;
        }
        // Reading would tell a client that waits for "100 Continue" to send what nobody wants.
        if (expects && !touched) || hint.lower() > DRAIN_BYTES {
            return false;
        }
        let mut rest = Body::new(self.clone()).into_data_stream();
        let drain = async {
            let mut read: u64 = 0;
            while let Some(Ok(chunk)) = rest.next().await {
                read = read.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
                if read > DRAIN_BYTES {
                    return false;
                }
            }
            self.with(|inner| inner.ended)
        };
        tokio::time::timeout(DRAIN_TIME, drain).await.unwrap_or(false)
    }
}

impl http_body::Body for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.with(|inner| inner.poll(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|inner| inner.ended)
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|inner| inner.body.size_hint())
    }
}

impl Inner {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.touched = true;
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.stall = None;
            self.ended = frame.is_none() || self.body.is_end_stream();
            if let (Some(Ok(frame)), Some(exchange)) = (&frame, &self.exchange) {
                exchange.received(frame.data_ref().map_or(0, Bytes::len));
            }
            return Poll::Ready(frame);
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.patience)));
        match stall.as_mut().poll(cx) {
            Poll::Ready(()) => {
                let reason = format!("no byte came for {} seconds", self.patience.as_secs());
                Poll::Ready(Some(Err(axum::Error::new(std::io::Error::new(std::io::ErrorKind::TimedOut, reason)))))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_stalls_ends_with_an_error_after_what_has_come() {
        let stalling = futures::stream::iter([Ok::<_, std::io::Error>("abc")]).chain(futures::stream::pending());
        let shared = Shared::new(Body::from_stream(stalling), Duration::from_millis(1), None);
        let mut chunks = incoming(Body::new(shared));
        assert_eq!(chunks.next().await.unwrap().unwrap(), "abc");
        let error = chunks.next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("no byte came for"), "{error}");
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let body = || Body::from_stream(futures::stream::iter([Ok::<_, std::io::Error>("abc"), Ok("def")]));
        assert_eq!(read(body(), 6).await.unwrap().unwrap(), "abcdef");
        assert_eq!(read(body(), 5).await.unwrap(), None);
    }
}
