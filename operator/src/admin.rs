//! The second port: whether this process lives and is of use.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::configuration::State;

/// Serves `/healthz` and `/readyz` until told to stop. Ready is who has seen every object and written the document.
///
/// # Errors
/// When the address cannot be had.
pub(crate) async fn serve(
    address: SocketAddr,
    state: watch::Receiver<Option<State>>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router =
        Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready)).with_state(state);
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "admin listening");
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn ready(Shared(state): Shared<watch::Receiver<Option<State>>>) -> (StatusCode, &'static str) {
    if state.borrow().is_some() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the objects of the cluster have not all been listed\n")
    }
}
