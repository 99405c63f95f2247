//! Refusals of the control socket: a status, and one sentence that says what to do.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use berth_crds::wire::control::Refused;
use http::StatusCode;

use crate::http::error::Problem;
use crate::store::StoreError;

/// Why a request was not carried out.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }

    /// 400 for a request that makes no sense.
    pub(super) fn invalid(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(super) fn no_endpoint() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "the control socket has no such endpoint: operator and registry have to be of the same version",
        )
    }
}

impl From<StoreError> for Refusal {
    /// The operator is told what the store said: whoever reads its log runs the store too.
    fn from(error: StoreError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("{error}; try again"))
    }
}

impl From<BytesRejection> for Refusal {
    fn from(rejection: BytesRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<Problem> for Refusal {
    /// What comes as a [`Problem`] here is work that ended unexpectedly, and the log says why.
    fn from(_: Problem) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the registry failed: its log has the cause")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        tracing::warn!(status = self.status.as_u16(), error = self.error, "a request of the operator was refused");
        (self.status, Json(Refused { error: self.error })).into_response()
    }
}
