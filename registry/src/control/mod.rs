//! `control.sock`: what the operator beside this registry asks of it (DESIGN §1). The language is
//! [`berth_crds::wire::control`]; here is one file per endpoint.
//!
//! Whoever reaches the socket may do everything on it: it lies in a folder that only the two containers of a pod share,
//! and only this user can open it. Nothing here is reachable over the network.

mod answers;
mod in_use;
mod loaded;
mod purge;
mod runs;
mod socket;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use berth_crds::wire::control;
use tokio_util::sync::CancellationToken;

use self::answers::Refusal;
use crate::cleanup::Runs;
use crate::http::Api;

pub use socket::{Place, Socket, SocketError};

/// What the endpoints have at hand. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    pub api: Api,
    pub runs: Runs,
    /// Ends the questions that wait for a change.
    pub stop: CancellationToken,
}

/// Every endpoint of the socket.
pub fn router(control: Control) -> Router {
    Router::new()
        .route(control::LOADED, get(loaded::get))
        .route(control::IN_USE, put(in_use::put))
        // The router takes a segment as a whole: the verb behind the colon is read by the endpoint.
        .route("/v1/repositories/{namespace}/{name_and_verb}", post(purge::post))
        .route("/v1/runs/{run}", get(runs::get))
        .fallback(async || Refusal::no_endpoint())
        .layer(DefaultBodyLimit::max(in_use::LIMIT))
        .with_state(control)
}
