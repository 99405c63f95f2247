//! A balancer in front of several registries: each request goes to the next one, whoever sent the last.
//!
//! No affinity at all, not even by connection: the hardest case for a registry whose replicas share nothing but the
//! bucket. Like every balancer it passes a request on to another backend only while none can have seen it.

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// A running balancer. Dropping it closes it.
#[derive(Debug)]
pub struct RoundRobin {
    address: String,
    state: Arc<State>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct State {
    client: Client<HttpConnector, BoxBody<Bytes, hyper::Error>>,
    backends: Vec<Backend>,
    next: AtomicUsize,
    /// Requests that a backend took and did not answer.
    dropped: AtomicUsize,
}

#[derive(Debug)]
struct Backend {
    address: String,
    in_service: AtomicBool,
    served: AtomicUsize,
}

impl RoundRobin {
    /// Balances over these addresses (host and port).
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(backends: impl IntoIterator<Item = String>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let backends = backends
            .into_iter()
            .map(|address| Backend { address, in_service: AtomicBool::new(true), served: AtomicUsize::new(0) })
            .collect();
        let state = Arc::new(State {
            client: Client::builder(TokioExecutor::new()).build_http(),
            backends,
            next: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
        });
        let serving = state.clone();
        let accepting = tokio::spawn(async move {
            // Aborting this task drops the set, and with it every connection.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let state = serving.clone();
                let service = hyper::service::service_fn(move |request| serve(state.clone(), request));
                connections.spawn(async move {
                    // An error here is a client hanging up, which is its right.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
                while connections.try_join_next().is_some() {}
            }
        })
        .abort_handle();
        Ok(Self { address, state, accepting })
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address of the whole, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes a backend out, as a balancer does whose health check has failed. Requests it already has stay with it.
    pub fn take_out(&self, backend: usize) {
        self.state.backends[backend].in_service.store(false, Ordering::SeqCst);
    }

    /// How many requests each backend has answered.
    pub fn served(&self) -> Vec<usize> {
        self.state.backends.iter().map(|backend| backend.served.load(Ordering::SeqCst)).collect()
    }

    /// Requests that were in the hands of a backend when it died; their clients got 502.
    pub fn dropped(&self) -> usize {
        self.state.dropped.load(Ordering::SeqCst)
    }
}

impl Drop for RoundRobin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    state: Arc<State>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<BoxBody<Bytes, hyper::Error>>> {
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    let Some(backend) = state.choose().await else {
        return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, "no backend is in service"));
    };
    let (mut parts, body) = request.into_parts();
    parts.uri = format!("http://{}{path}", backend.address).parse().context("forwarding")?;
    match state.client.request(Request::from_parts(parts, body.boxed())).await {
        Ok(response) => {
            backend.served.fetch_add(1, Ordering::SeqCst);
            Ok(response.map(BodyExt::boxed))
        }
        Err(error) => {
            state.dropped.fetch_add(1, Ordering::SeqCst);
            Ok(plain(StatusCode::BAD_GATEWAY, &format!("{} did not answer: {error}", backend.address)))
        }
    }
}

impl State {
    /// The next backend that accepts a connection. Asked before the request is sent, so that one that is gone is passed
    /// over without a request in its hands.
    async fn choose(&self) -> Option<&Backend> {
        for _ in 0..self.backends.len() {
            let number = self.next.fetch_add(1, Ordering::SeqCst) % self.backends.len();
            let backend = &self.backends[number];
            if !backend.in_service.load(Ordering::SeqCst) {
                continue;
            }
            if tokio::net::TcpStream::connect(&backend.address).await.is_ok() {
                return Some(backend);
            }
            backend.in_service.store(false, Ordering::SeqCst);
        }
        None
    }
}

fn plain(status: StatusCode, text: &str) -> Response<BoxBody<Bytes, hyper::Error>> {
    let body = Full::new(Bytes::from(text.to_owned())).map_err(|never| match never {}).boxed();
    Response::builder().status(status).body(body).expect("a status alone makes a response")
}
