//! How the routes of `/api/v1` read and answer.

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cleanup::StartError;
use crate::http::body;
use crate::http::error::{Code, Problem};

/// A JSON document of ours.
pub(super) fn document(value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).expect("maps with text keys and plain values always serialise");
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Reads a JSON body of at most `limit` bytes.
pub(super) async fn read<T: DeserializeOwned>(body: Body, limit: usize) -> Result<T, Problem> {
    let text = body::read(body, limit).await.map_err(|error| Problem::interrupted(&error))?.ok_or_else(|| {
        let message = format!("the body has more than {limit} bytes: send less at a time");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid, message)
    })?;
    serde_json::from_slice(&text).map_err(|error| invalid(format!("the body is not what this takes: {error}")))
}

/// 400 with a sentence that says what to do.
pub(super) fn invalid(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, Code::Unsupported, message)
}

/// Why a run does not start.
pub(super) fn not_started(error: StartError) -> Problem {
    let (status, code) = match &error {
        StartError::UnknownPolicy(_) => (StatusCode::NOT_FOUND, Code::NameUnknown),
        StartError::Behind { .. } => (StatusCode::PRECONDITION_FAILED, Code::Unavailable),
        StartError::AnotherRun { .. } => (StatusCode::CONFLICT, Code::Unsupported),
        StartError::Plan(_) | StartError::ReservedId(_) | StartError::NoRevision(_) => {
            (StatusCode::BAD_REQUEST, Code::Unsupported)
        }
        StartError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
    };
    Problem::new(status, code, error.to_string())
}
