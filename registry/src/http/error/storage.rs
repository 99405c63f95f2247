//! What the storage could not do, as answers.

use berth_crds::digest::Digest;
use http::StatusCode;
use http::header::HeaderMap;
use serde_json::json;

use super::{Answer, Code, Problem, error};
use crate::storage::{BlobError, DeleteError, ManifestError, UploadError};
use crate::store::StoreError;

impl From<StoreError> for Problem {
    /// What the store said is for the log only: its keys and words are not the client's business.
    fn from(cause: StoreError) -> Self {
        match cause {
            StoreError::Unavailable { .. } => {
                tracing::warn!(error = %cause, "the store is away");
                Self::unavailable("the storage does not answer at the moment: try again in a few seconds")
            }
            StoreError::Denied { .. } => {
                tracing::error!(error = %cause, "the store refuses access");
                Self::unavailable("the storage refuses the registry: its operator has to look at the log")
            }
            _ => {
                tracing::error!(error = %cause, "a step against the store failed");
                Self::internal()
            }
        }
    }
}

impl From<UploadError> for Problem {
    /// [`UploadError::OutOfOrder`] needs the session's Location and is answered by the upload routes themselves.
    fn from(cause: UploadError) -> Self {
        let message = cause.to_string();
        match cause {
            UploadError::Unknown => Self::upload_unknown(),
            UploadError::OutOfOrder(_) => {
                Self::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid, message)
            }
            UploadError::DigestMismatch { named, actual } => Self::digest_mismatch(&named, &actual),
            UploadError::AlgorithmMismatch { .. } => Self::new(StatusCode::BAD_REQUEST, Code::DigestInvalid, message),
            UploadError::SizeMismatch { declared, received } => Self::detailed(
                StatusCode::BAD_REQUEST,
                Code::SizeInvalid,
                message,
                Some(json!({ "declared": declared, "received": received })),
            ),
            UploadError::Interrupted(reason) => Self::interrupted(&reason),
            UploadError::Store(cause) => cause.into(),
        }
    }
}

impl From<BlobError> for Problem {
    /// [`BlobError::Unknown`] names no digest here; routes answer it with [`Problem::blob_unknown`].
    fn from(cause: BlobError) -> Self {
        let message = cause.to_string();
        match cause {
            BlobError::Unknown => Self::new(StatusCode::NOT_FOUND, Code::BlobUnknown, message),
            BlobError::OutOfRange { size } => Self::range(size),
            BlobError::InUse { by } => Self::detailed(
                StatusCode::METHOD_NOT_ALLOWED,
                Code::Unsupported,
                message,
                Some(json!({ "manifests": by })),
            ),
            BlobError::Store(cause) => cause.into(),
        }
    }
}

impl From<ManifestError> for Problem {
    fn from(cause: ManifestError) -> Self {
        let message = cause.to_string();
        match cause {
            ManifestError::Invalid(reason) => Self::manifest_invalid(reason),
            ManifestError::DigestMismatch { named, actual } => Self::digest_mismatch(&named, &actual),
            ManifestError::ContentUnknown(digests) => {
                // One error per digest: old tools push lists whose entries were never pushed and need to know which.
                let lacking = |digest: &Digest| {
                    let message = format!("the image lacks {digest}: push it before the manifest");
                    error(Code::ManifestBlobUnknown, message, Some(json!({ "digest": digest })))
                };
                let errors = digests.iter().map(lacking).collect();
                Self::Answer(Box::new(Answer { status: StatusCode::BAD_REQUEST, errors, headers: HeaderMap::new() }))
            }
            ManifestError::TagImmutable { tag, current } => Self::detailed(
                StatusCode::FORBIDDEN,
                Code::Denied,
                message,
                Some(json!({ "tag": tag, "digest": current })),
            ),
            ManifestError::Raced => Self::unavailable(&message),
            ManifestError::Store(cause) => cause.into(),
        }
    }
}

impl From<DeleteError> for Problem {
    /// [`DeleteError::Unknown`] names nothing here; routes answer it with [`Problem::manifest_unknown`].
    fn from(cause: DeleteError) -> Self {
        let message = cause.to_string();
        match cause {
            DeleteError::Unknown => Self::new(StatusCode::NOT_FOUND, Code::ManifestUnknown, message),
            // 405 and not 409: the spec knows no conflict, and clients take 405 for "not possible".
            DeleteError::PartOf { by } => Self::detailed(
                StatusCode::METHOD_NOT_ALLOWED,
                Code::Unsupported,
                message,
                Some(json!({ "indexes": by })),
            ),
            DeleteError::Store(cause) => cause.into(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::response::IntoResponse as _;
    use http::header::{CONTENT_TYPE, RETRY_AFTER};
    use http_body_util::BodyExt as _;
    use serde_json::Value;

    use super::*;

    async fn rendered(problem: Problem) -> (u16, HeaderMap, Value) {
        let (parts, body) = problem.into_response().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_failing_store_is_worth_a_retry_and_its_words_stay_in_the_log() {
        let (key, reason) = (|| "r/team-a!shop!/m/secret".to_owned(), || "key AKIA1234 refused".to_owned());
        for (cause, status, code, retry) in [
            (StoreError::Unavailable { key: key(), reason: reason() }, 503, "UNAVAILABLE", true),
            (StoreError::Denied { key: key(), reason: reason() }, 503, "UNAVAILABLE", true),
            (StoreError::NotFound(key()), 500, "UNKNOWN", false),
            (StoreError::Other { key: key(), source: reason().into() }, 500, "UNKNOWN", false),
        ] {
            let (actual, headers, body) = rendered(cause.into()).await;
            assert_eq!((actual, &body["errors"][0]["code"]), (status, &json!(code)));
            assert_eq!(headers.contains_key(RETRY_AFTER), retry);
            assert_eq!(headers[CONTENT_TYPE], "application/json");
            let text = body.to_string();
            assert!(!text.contains("secret") && !text.contains("AKIA1234"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_push_that_raced_a_deletion_is_worth_a_retry() {
        let (status, headers, body) = rendered(ManifestError::Raced.into()).await;
        assert_eq!((status, &body["errors"][0]["code"]), (503, &json!("UNAVAILABLE")));
        assert!(headers.contains_key(RETRY_AFTER));
    }
}
