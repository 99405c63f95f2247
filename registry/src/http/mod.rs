//! The HTTP face of the registry: the Distribution API below `/v2/`, and the layers around everything.
//!
//! A request passes [`exchange`] (id, access log, common headers), a net for panics, [`body`] (early refusals reach
//! the client), and [`dispatch`], which reads its path from the right and calls one file of [`routes`]. To add an
//! endpoint, name it in [`path`] and give it a file there. Nothing below `/v2/` is ever compressed or serialised
//! anew (protocol rule R5).

mod api;
mod body;
mod dispatch;
pub mod error;
mod exchange;
mod page;
mod path;
mod query;
mod range;
mod routes;
pub mod server;
#[cfg(test)]
mod tests;
mod warning;

use std::any::Any;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tower_http::catch_panic::CatchPanicLayer;

pub use api::Api;
pub(crate) use api::identified;
pub use exchange::{Exchange, REQUEST_ID};
pub use routes::api as rest;

use crate::metrics::HttpMetrics;

/// Everything that clients reach: the Distribution API, and the routers of other rooms (the token endpoint, the REST
/// API) beside it.
pub fn router(api: Api, beside: Router, metrics: HttpMetrics) -> Router {
    Router::new()
        .fallback(dispatch::dispatch)
        .with_state(api)
        .merge(beside)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(body::settle))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(metrics, exchange::record))
}

/// A mistake of ours in one request is that request's 500 and nobody else's business.
fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(cause = text, "a request failed unexpectedly");
    error::Problem::internal().into_response()
}
