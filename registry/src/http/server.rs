//! Listening: connections, their limits, and how they end.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::Accept;
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};

/// How long a connection may wait for the next request. Go clients keep theirs for up to 90 seconds and cannot repeat
/// a POST on one that has just been closed.
const IDLE: Duration = Duration::from_secs(120);
/// What a connection reads ahead, in bytes; many wait with a full one for memory to upload into. Also the most that
/// the head of a request may have.
const BUFFER: usize = 64 << 10;
/// How often an HTTP/2 client is asked whether it is still there.
const PING: Duration = Duration::from_secs(60);
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 250;
/// How long a closed connection goes on reading what its client still sends, at most …
const LINGER: Duration = Duration::from_secs(5);
/// … and after the last that came: by then the client has read its answer, or never will.
const QUIET: Duration = Duration::from_millis(500);

/// A socket being served.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    handle: Handle<SocketAddr>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Binds an address and serves a router on it, HTTP/1.1 and HTTP/2 alike. Port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub async fn start(address: SocketAddr, router: Router) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let handle = Handle::new();
        let mut server = axum_server::Server::<SocketAddr>::from_listener(listener).acceptor(Lingerer);
        let builder = server.http_builder();
        builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(BUFFER);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .max_concurrent_streams(STREAMS)
            .adaptive_window(true);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(server.handle(handle.clone()).serve(service));
        Ok(Self { address, handle, task })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new connections and waits for the requests under way, at most `deadline`. `false` when it was reached,
    /// and what was still under way was cut.
    pub async fn drain(self, deadline: Duration) -> bool {
        let begun = Instant::now();
        self.handle.graceful_shutdown(Some(deadline));
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, address = %self.address, "the listener failed"),
            Err(error) => tracing::error!(%error, address = %self.address, "the listener failed unexpectedly"),
        }
        begun.elapsed() < deadline
    }
}

/// Accepts connections as [`Lingering`] ones, without Nagle's delay.
#[derive(Clone, Copy, Debug)]
struct Lingerer;

impl<S> Accept<TcpStream, S> for Lingerer {
    type Stream = Lingering;
    type Service = S;
    type Future = std::future::Ready<io::Result<(Lingering, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepted = stream.set_nodelay(true).map(|()| (Lingering { stream, rest: None }, service));
        std::future::ready(accepted)
    }
}

/// A connection that, once closed, still reads for a moment. A socket that is closed with unread bytes resets the
/// connection, and the client loses the very answer that told it to stop sending (protocol rule R10).
#[derive(Debug)]
struct Lingering {
    stream: TcpStream,
    /// Set once our side is closed.
    rest: Option<Rest>,
}

/// When to give up on the client's side.
#[derive(Debug)]
struct Rest {
    end: Instant,
    wait: Pin<Box<Sleep>>,
}

impl Rest {
    fn begin() -> Self {
        let now = Instant::now();
        Self { end: now + LINGER, wait: Box::pin(tokio::time::sleep_until(now + QUIET)) }
    }

    fn goes_on(&mut self) {
        let until = self.end.min(Instant::now() + QUIET);
        self.wait.as_mut().reset(until);
    }
}

impl AsyncRead for Lingering {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let rest = match &mut this.rest {
            Some(rest) => rest,
            None => {
                std::task::ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
                this.rest.insert(Rest::begin())
            }
        };
        let mut thrown_away = [0; 16 * 1024];
        loop {
            if rest.wait.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut thrown_away);
            match std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => rest.goes_on(),
                // The client has closed its side too, one way or the other.
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}
