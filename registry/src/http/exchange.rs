//! One request and its answer: the id that ties log lines together, and the line of the access log at the end.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body::{Frame, SizeHint};
use tracing::Instrument as _;

use super::path;
use crate::auth::Caller;
use crate::metrics::HttpMetrics;

/// Carries the id of a request, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Every answer says which API this is, errors included: old clients look for it before anything else.
const API_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("docker-distribution-api-version"), HeaderValue::from_static("registry/2.0"));
/// Status of a request whose client left before the answer; never sent, only logged.
const CLIENT_LEFT: u16 = 499;

/// What becomes known of a request while it is worked on. Travels in its extensions.
#[derive(Debug, Default)]
pub struct Exchange {
    subject: OnceLock<String>,
    address: OnceLock<IpAddr>,
    received: AtomicU64,
}

impl Exchange {
    /// Notes who is asking, for the access log.
    pub fn identified(&self, caller: &Caller) {
        // The first one stays: later decisions of the same request are about the same caller.
        let _ = self.subject.set(caller.subject().name());
        if let Some(address) = caller.address() {
            let _ = self.address.set(address);
        }
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Outermost layer: gives the request its id, the answer its common headers, and the log one line at the very end,
/// when the last byte is out or the client has left.
pub(super) async fn record(State(metrics): State<HttpMetrics>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let exchange = Arc::new(Exchange::default());
    request.extensions_mut().insert(Arc::clone(&exchange));
    let mut line = Line::begin(&request, id.clone(), exchange, metrics);
    let span = tracing::info_span!("request", id = %line.id);
    let mut response = next.run(request).instrument(span).await;
    line.status = Some(response.status());
    let headers = response.headers_mut();
    headers.insert(API_VERSION.0, API_VERSION.1);
    if let Ok(value) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, value);
    }
    response.map(|body| Body::new(Counted { body, line }))
}

/// The id a proxy or client gave, if it is harmless in a log; else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let harmless = |id: &&str| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'='))
    };
    given.filter(harmless).map_or_else(|| ulid::Ulid::generate().to_string().to_ascii_lowercase(), str::to_owned)
}

/// A line of the access log in the making; written when dropped, whichever way the request ends.
#[derive(Debug)]
struct Line {
    id: String,
    exchange: Arc<Exchange>,
    metrics: HttpMetrics,
    method: Method,
    path: String,
    endpoint: &'static str,
    /// Who sent it to us: a client, or the proxy before it.
    peer: Option<IpAddr>,
    begun: Instant,
    status: Option<StatusCode>,
    sent: u64,
}

impl Line {
    fn begin(request: &Request, id: String, exchange: Arc<Exchange>, metrics: HttpMetrics) -> Self {
        let path = request.uri().path().to_owned();
        let endpoint = match path.as_str() {
            "/token" => "token",
            path if path.starts_with("/api/v1/") => "api",
            path => path::parse(path).map_or("other", |target| target.label()),
        };
        metrics.begun();
        Self {
            id,
            exchange,
            metrics,
            method: request.method().clone(),
            path,
            endpoint,
            peer: request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()),
            begun: Instant::now(),
            status: None,
            sent: 0,
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let status = self.status.map_or(CLIENT_LEFT, |status| status.as_u16());
        let duration = self.begun.elapsed();
        let received = self.exchange.received.load(Ordering::Relaxed);
        self.metrics.ended(self.endpoint, &self.method, status, duration, received, self.sent);
        // Never the query: it carries upload tokens.
        tracing::info!(
            target: "access",
            id = self.id,
            method = self.method.as_str(),
            path = self.path,
            status,
            duration_ms = (duration.as_secs_f64() * 1e6).round() / 1e3,
            received,
            sent = self.sent,
            subject = self.exchange.subject.get().map(String::as_str),
            address = self.exchange.address.get().or(self.peer.as_ref()).map(tracing::field::display),
            "request"
        );
    }
}

/// A response body that counts what it carries; its end is the end of the request.
struct Counted {
    body: Body,
    line: Line,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.line.sent += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_id_from_outside_is_kept_only_if_it_is_harmless() {
        let with = |id: &str| request_id(&HeaderMap::from_iter([(REQUEST_ID, id.parse().unwrap())]));
        for id in ["abc-123", "Root=1-67891233-abcdef012345678912345678", "a/b:c.d_e"] {
            assert_eq!(with(id), id);
        }
        for id in ["", "a b", "a\"b", "{}", &"x".repeat(129)] {
            assert_ne!(with(id), id);
            assert_eq!(with(id).len(), 26);
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
