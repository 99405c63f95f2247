//! `identity.sock`: the registry beside us asks who somebody is and what they may do (DESIGN §1, §4).
//!
//! The registry remembers answers and asks each question once at a time; this side bounds how much the API server is
//! asked, and asks it nothing that cannot be answered with yes.

mod claims;
mod issuer;
mod reviews;

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use berth_crds::wire::identity::{
    AUTHENTICATE, AUTHORIZE, AuthenticateRequest, AuthenticateResponse, AuthorizeRequest, AuthorizeResponse,
};
use jiff::Timestamp;
use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::socket;
use claims::Claims;
use issuer::Issuer;
use reviews::{ReviewError, Reviewer};

/// What the handlers share.
struct Identity {
    reviewer: Reviewer,
    issuer: Issuer,
}

/// Serves the socket until told to stop.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) async fn serve(
    socket: &Path,
    client: Client,
    audience: String,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let identity = Identity { issuer: Issuer::new(client.clone()), reviewer: Reviewer::new(client, audience) };
    let router = Router::new()
        .route(AUTHENTICATE, post(authenticate))
        .route(AUTHORIZE, post(authorize))
        .with_state(Arc::new(identity));
    socket::serve(socket, router, stop).await
}

async fn authenticate(State(identity): State<Arc<Identity>>, Json(request): Json<AuthenticateRequest>) -> Response {
    let issuer = identity.issuer.name().await;
    let claims = Claims::of(&request.token);
    let possible =
        claims.filter(|claims| claims.may_be_ours(identity.reviewer.audience(), issuer.as_deref(), Timestamp::now()));
    let Some(claims) = possible else {
        return Json(AuthenticateResponse::default()).into_response();
    };
    match identity.reviewer.authenticate(request.token).await {
        Ok(user) => {
            let expires = user.as_ref().and_then(|_| claims.end());
            Json(AuthenticateResponse { user, expires }).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

async fn authorize(State(identity): State<Arc<Identity>>, Json(request): Json<AuthorizeRequest>) -> Response {
    match identity.reviewer.authorize(request).await {
        Ok(allowed) => Json(AuthorizeResponse { allowed }).into_response(),
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &ReviewError) -> Response {
    tracing::warn!(%error, "a question of the registry has no answer");
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response()
}
