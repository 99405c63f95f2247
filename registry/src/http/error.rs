//! Errors as a client of the Distribution API reads them: a code of the closed list, a sentence that says what to do,
//! and details for programs (distribution-spec, "Error Codes").

mod storage;

use axum::response::{IntoResponse, Response};
use berth_crds::digest::{Digest, DigestError};
use berth_crds::name::NameError;
use http::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::auth::Refusal;
use crate::storage::UploadError;

/// Error codes. All but the last two are the distribution-spec's; those two accompany 5xx answers only, and are what
/// clients have known since the first registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    Denied,
    Unsupported,
    Unknown,
    Unavailable,
}

impl Code {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::Unknown => "UNKNOWN",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// Why a request did not do what it asked for, as the finished answer.
#[derive(Debug)]
pub enum Problem {
    /// Who may do what said no.
    Refused(Refusal),
    /// Everything else.
    Answer(Box<Answer>),
}

/// Status, errors and headers of a [`Problem`].
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    errors: Vec<Value>,
    headers: HeaderMap,
}

impl Problem {
    /// One error without details.
    pub fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self::detailed(status, code, message, None)
    }

    /// One error with details for programs.
    pub fn detailed(status: StatusCode, code: Code, message: impl Into<String>, detail: Option<Value>) -> Self {
        let errors = vec![error(code, message.into(), detail)];
        Self::Answer(Box::new(Answer { status, errors, headers: HeaderMap::new() }))
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if let Self::Answer(answer) = &mut self {
            answer.headers.insert(name, value);
        }
        self
    }

    /// 400 for a name that breaks a rule; the text names the rule and a valid name.
    pub fn name_invalid(name: &str, reason: &NameError) -> Self {
        Self::detailed(StatusCode::BAD_REQUEST, Code::NameInvalid, reason.to_string(), Some(json!({ "name": name })))
    }

    /// 404 for an image that holds nothing.
    pub fn name_unknown(image: &str) -> Self {
        Self::detailed(
            StatusCode::NOT_FOUND,
            Code::NameUnknown,
            format!("nothing was pushed to {image}: check the name, or push to it first"),
            Some(json!({ "name": image })),
        )
    }

    /// 400 for a digest that is missing, malformed, or of an algorithm nobody can push here.
    pub fn digest_invalid(digest: &str, reason: &DigestError) -> Self {
        Self::detailed(
            StatusCode::BAD_REQUEST,
            Code::DigestInvalid,
            reason.to_string(),
            Some(json!({ "digest": digest })),
        )
    }

    /// 400 for content that does not hash to the digest named.
    pub fn digest_mismatch(named: &Digest, actual: &Digest) -> Self {
        Self::detailed(
            StatusCode::BAD_REQUEST,
            Code::DigestInvalid,
            format!(
                "the content has the digest {actual}, not {named}: it was changed or cut on its way, send it again"
            ),
            Some(json!({ "digest": named, "actual": actual })),
        )
    }

    pub fn blob_unknown(digest: &str) -> Self {
        Self::detailed(
            StatusCode::NOT_FOUND,
            Code::BlobUnknown,
            "the image has no blob with this digest",
            Some(json!({ "digest": digest })),
        )
    }

    /// `reference` is a tag or a digest.
    pub fn manifest_unknown(reference: &str) -> Self {
        let message = if reference.contains(':') {
            "the image has no manifest with this digest".to_owned()
        } else {
            format!("the image has no tag \"{reference}\"")
        };
        let detail = json!({ "reference": reference });
        Self::detailed(StatusCode::NOT_FOUND, Code::ManifestUnknown, message, Some(detail))
    }

    pub fn manifest_invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::ManifestInvalid, message)
    }

    pub fn upload_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::BlobUploadUnknown, UploadError::Unknown.to_string())
    }

    /// 404 for a path that is no endpoint.
    pub fn no_endpoint() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            Code::Unsupported,
            "there is no such endpoint: the Distribution API lies below /v2/<name>/, with manifests, blobs, tags/list \
             and referrers",
        )
    }

    /// 405 with the methods that the endpoint has.
    pub fn method(method: &Method, allowed: &'static str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            Code::Unsupported,
            format!("{method} is not possible here, only {allowed}"),
        )
        .with(ALLOW, HeaderValue::from_static(allowed))
    }

    /// 400 for a page size that is no number.
    pub fn page_size(text: &str) -> Self {
        Self::detailed(
            StatusCode::BAD_REQUEST,
            Code::Unsupported,
            format!("n={text} is not a page size: write a number of at least 0"),
            Some(json!({ "n": text })),
        )
    }

    /// 416 for a range that lies outside the content.
    pub fn range(size: u64) -> Self {
        let problem = Self::detailed(
            StatusCode::RANGE_NOT_SATISFIABLE,
            Code::SizeInvalid,
            format!("the range lies outside the blob, which has {size} bytes"),
            Some(json!({ "size": size })),
        );
        let value = HeaderValue::try_from(format!("bytes */{size}"));
        match value {
            Ok(value) => problem.with(CONTENT_RANGE, value),
            Err(_) => problem,
        }
    }

    /// 413 for a manifest beyond the limit.
    pub fn manifest_too_large(limit: usize) -> Self {
        Self::detailed(
            StatusCode::PAYLOAD_TOO_LARGE,
            Code::ManifestInvalid,
            format!("a manifest may have at most {limit} bytes: move annotations or embedded data into a blob"),
            Some(json!({ "limit": limit })),
        )
    }

    /// 400 for a body that ended before its end.
    pub fn interrupted(reason: &std::io::Error) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            Code::BlobUploadInvalid,
            format!(
                "the request body ended early ({reason}): send it again, or ask for the status of the upload and go on"
            ),
        )
    }

    /// 400 for a manifest that ended before its end.
    pub fn manifest_cut(reason: &std::io::Error) -> Self {
        Self::manifest_invalid(format!("the request body ended early ({reason}): send the manifest again"))
    }

    /// 500 for what should not happen; the log has the cause under the request id of the answer.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Unknown,
            "the registry failed: its log has the cause under the X-Request-Id of this answer",
        )
    }

    /// 503 while the operator is silent.
    pub fn waiting() -> Self {
        Self::unavailable(
            "the registry has not heard from its operator since it started: what is there can be pulled, pushes and \
             deletions wait; try again in a minute",
        )
    }

    /// 503, worth a retry.
    fn unavailable(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, message)
            .with(RETRY_AFTER, HeaderValue::from_static("2"))
    }
}

fn error(code: Code, message: String, detail: Option<Value>) -> Value {
    let mut error = json!({ "code": code.as_str(), "message": message });
    if let Some(detail) = detail {
        error["detail"] = detail;
    }
    error
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refusal) => refusal.into_response(),
            Self::Answer(answer) => {
                let body = json!({ "errors": answer.errors }).to_string();
                let mut response = (answer.status, answer.headers, body).into_response();
                // Without this exact type docker shows the raw text.
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
        }
    }
}
