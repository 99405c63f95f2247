//! Stands between a registry and its S3 server: counts requests, delays them, breaks them.
//!
//! The registry's endpoint is the proxy's address. Signatures cover the Host header, so the proxy forwards every header
//! as it came.

mod operation;

pub use operation::{Kind, Operation, Seen};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

type ProxyBody = BoxBody<Bytes, hyper::Error>;

/// Where in the life of a request a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The S3 server never sees the request.
    Before,
    /// The S3 server has carried it out; nobody hears the answer.
    After,
}

/// A proxy that counts and breaks S3 requests. Dropping it closes it.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    state: Arc<State>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct State {
    upstream: String,
    client: Client<HttpConnector, ProxyBody>,
    script: Mutex<Script>,
    /// Nobody ever notifies: a caught request waits here until its connection ends.
    never: Notify,
}

/// What happened and what shall happen.
#[derive(Debug, Default)]
struct Script {
    seen: Vec<Seen>,
    delay: Duration,
    stop: Option<Stop>,
    stopped: bool,
    injections: Vec<Injection>,
}

#[derive(Debug)]
struct Stop {
    /// Requests still to let pass before the one that is caught; 0 is the next.
    after: usize,
    when: When,
    tell: oneshot::Sender<Seen>,
}

struct Injection {
    matches: Box<dyn Fn(&Seen) -> bool + Send>,
    status: StatusCode,
    left: usize,
}

impl fmt::Debug for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {} more", self.status, self.left)
    }
}

/// What becomes of one request.
enum Fate {
    Forward,
    Catch(When, oneshot::Sender<Seen>),
    Hold,
    Answer(StatusCode),
}

impl Proxy {
    /// Starts a proxy in front of the S3 server at `upstream` (host and port).
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(upstream: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            script: Mutex::default(),
            never: Notify::new(),
        });
        let serving = state.clone();
        let accepting = tokio::spawn(async move {
            // Aborting this task drops the set, and with it every connection.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // A small answer must not wait for the acknowledgement of the one before.
                let _ = stream.set_nodelay(true);
                let state = serving.clone();
                let service = hyper::service::service_fn(move |request| serve(state.clone(), request));
                connections.spawn(async move {
                    // An error here is the registry hanging up, which is its right.
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

    /// The endpoint for the registry, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests since the last call, and forgets them.
    pub fn take(&self) -> Counts {
        Counts(std::mem::take(&mut self.script().seen))
    }

    /// Lets every request wait this long before it is forwarded.
    pub fn delay(&self, delay: Duration) {
        self.script().delay = delay;
    }

    /// Answers the next `times` requests that match with `status`, without forwarding them.
    pub fn inject(&self, times: usize, status: StatusCode, matches: impl Fn(&Seen) -> bool + Send + 'static) {
        self.script().injections.push(Injection { matches: Box::new(matches), status, left: times });
    }

    /// Catches the request number `number` from now on (the next is 1): it and all later ones stay without an answer, as
    /// if the registry had died at that moment, which is what the caller arranges next. The receiver tells when.
    pub fn stop_at(&self, number: usize, when: When) -> oneshot::Receiver<Seen> {
        let (tell, told) = oneshot::channel();
        let mut script = self.script();
        script.stop = Some(Stop { after: number.saturating_sub(1), when, tell });
        script.stopped = false;
        told
    }

    /// Ends what [`Self::stop_at`] and [`Self::inject`] began. Requests that are held stay held.
    pub fn resume(&self) {
        let mut script = self.script();
        script.stop = None;
        script.stopped = false;
        script.injections.clear();
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.state.script.lock().expect("no holder of this lock panics")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Script {
    fn decide(&mut self, seen: &Seen) -> Fate {
        if self.stopped {
            return Fate::Hold;
        }
        self.seen.push(seen.clone());
        if let Some(injection) =
            self.injections.iter_mut().find(|injection| injection.left > 0 && (injection.matches)(seen))
        {
            injection.left -= 1;
            return Fate::Answer(injection.status);
        }
        match self.stop.take() {
            Some(stop) if stop.after == 0 => {
                self.stopped = true;
                Fate::Catch(stop.when, stop.tell)
            }
            Some(stop) => {
                self.stop = Some(Stop { after: stop.after - 1, ..stop });
                Fate::Forward
            }
            None => Fate::Forward,
        }
    }
}

async fn serve(state: Arc<State>, request: Request<Incoming>) -> anyhow::Result<Response<ProxyBody>> {
    let mut seen = Seen::of(&request);
    let mut request = request.map(BodyExt::boxed);
    if seen.operation == Operation::DeleteObjects {
        // The keys stand in the body, which is small.
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        seen.name_first_key(&String::from_utf8_lossy(&body));
        request = Request::from_parts(parts, Full::new(body).map_err(|never| match never {}).boxed());
    }
    let (fate, delay) = {
        let mut script = state.script.lock().expect("no holder of this lock panics");
        (script.decide(&seen), script.delay)
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    match fate {
        Fate::Forward => forward(&state, request).await,
        Fate::Answer(status) => Ok(refusal(status)),
        Fate::Hold => {
            state.never.notified().await;
            anyhow::bail!("held")
        }
        Fate::Catch(when, tell) => {
            if when == When::After {
                // To the last byte, so that the server has surely finished.
                forward(&state, request).await?.into_body().collect().await?;
            }
            // A test that no longer listens has failed already.
            let _ = tell.send(seen);
            state.never.notified().await;
            anyhow::bail!("caught")
        }
    }
}

async fn forward(state: &State, request: Request<ProxyBody>) -> anyhow::Result<Response<ProxyBody>> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    parts.uri = format!("http://{}{path}", state.upstream).parse().context("forwarding")?;
    let response = state.client.request(Request::from_parts(parts, body)).await?;
    Ok(response.map(BodyExt::boxed))
}

/// An S3 error in the server's own form, so that the SDK takes it for the server's.
fn refusal(status: StatusCode) -> Response<ProxyBody> {
    let code = match status {
        StatusCode::FORBIDDEN => "AccessDenied",
        StatusCode::SERVICE_UNAVAILABLE => "SlowDown",
        StatusCode::NOT_FOUND => "NoSuchKey",
        _ => "InternalError",
    };
    let text =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected by a test</Message></Error>");
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
    Response::builder()
        .status(status)
        .header("content-type", "application/xml")
        .body(body)
        .expect("a status and a constant header make a response")
}

/// Requests that went through a [`Proxy`], in their order.
#[derive(Clone, Debug, Default)]
pub struct Counts(pub Vec<Seen>);

impl Counts {
    /// How many.
    pub fn total(&self) -> usize {
        self.0.len()
    }

    /// Without the requests that match: those of background work, which belong to no operation.
    #[must_use]
    pub fn without(mut self, background: impl Fn(&Seen) -> bool) -> Self {
        self.0.retain(|seen| !background(seen));
        self
    }
}

/// One line, most frequent first: `22 PutObject holding, 2 ListObjectsV2 tag`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sums: BTreeMap<String, usize> = BTreeMap::new();
        for seen in &self.0 {
            *sums.entry(seen.to_string()).or_default() += 1;
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let parts: Vec<String> = sums.iter().map(|(what, count)| format!("{count} {what}")).collect();
        f.write_str(&parts.join(", "))
    }
}
