//! What an answer of S3 means to a caller of the store: by status and code, never by its words.

use std::error::Error as StdError;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use super::client::Endpoint;
use crate::store::StoreError;
use crate::store::misconfiguration::Misconfiguration;

/// Who was asked for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
}

/// An answer that is an error, taken apart.
#[derive(Debug, Default)]
struct Answer {
    status: u16,
    /// The error's code; the answer to a HEAD has no body and none.
    code: String,
    message: String,
    /// `x-amz-bucket-region`.
    region: Option<String>,
    /// Whether the answer carries a header that only S3 sends.
    looks_like_s3: bool,
}

impl Asked<'_> {
    /// The failure of one request.
    pub(super) fn failed<E>(self, error: SdkError<E, HttpResponse>) -> StoreError
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        match &error {
            SdkError::ServiceError(service) => self.refused(&answer(service.err(), service.raw())),
            SdkError::ResponseError(_) => self.not_s3(innermost(&error)),
            SdkError::DispatchFailure(_) => self.unreached(&error),
            _ => self.unavailable(DisplayErrorContext(&error).to_string()),
        }
    }

    /// What one key of a DeleteObjects answer says.
    pub(super) fn refused_in_batch(self, code: &str, message: &str) -> StoreError {
        // A code without a status: those that mean a refusal are named, the rest is the store's own words.
        self.refused(&Answer { code: code.to_owned(), message: message.to_owned(), ..Answer::default() })
    }

    fn refused(self, answer: &Answer) -> StoreError {
        let key = self.key.to_owned();
        let reason = answer.reason();
        match (answer.code.as_str(), answer.status) {
            ("NoSuchBucket", _) => self.misconfigured(Misconfiguration::NoSuchBucket {
                bucket: self.bucket.to_owned(),
                endpoint: self.endpoint.name.clone(),
            }),
            ("NoSuchUpload", _) => StoreError::NotFound(format!("{key}: multipart upload")),
            ("NoSuchKey" | "NotFound", _) => StoreError::NotFound(key),
            ("InvalidPart" | "InvalidPartOrder", _) => StoreError::InvalidPart(key),
            ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException", _)
            | (_, 301 | 307) => self.misconfigured(Misconfiguration::WrongRegion {
                bucket: self.bucket.to_owned(),
                region: self.endpoint.region.clone(),
                expected: answer.region.clone(),
            }),
            ("RequestTimeTooSkewed", _) => {
                self.misconfigured(Misconfiguration::ClockSkewed { endpoint: self.endpoint.name.clone(), reason })
            }
            // The last is versitygw's word for an unknown access key.
            (
                "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken" | "XAdminUserNotFound",
                _,
            ) => self.misconfigured(Misconfiguration::WrongKey { endpoint: self.endpoint.name.clone(), reason }),
            ("SlowDown" | "ServiceUnavailable" | "InternalError" | "RequestTimeout" | "OperationAborted", _)
            | (_, 429 | 500 | 502..) => self.unavailable(reason),
            ("InvalidRange" | "KeyTooLongError" | "EntityTooSmall" | "EntityTooLarge" | "ObjectParentIsFile", _)
            | (_, 416) => StoreError::Invalid { key, reason },
            ("AccessDenied" | "AllAccessDisabled" | "AccountProblem", _) | (_, 401 | 403) => {
                StoreError::Denied { key, reason }
            }
            // A web server that knows no such page answers with a page.
            ("", _) if !answer.looks_like_s3 => self.not_s3(format!("status {}", answer.status)),
            _ => StoreError::Other { key, source: reason.into() },
        }
    }

    /// A request that got no answer.
    fn unreached(self, error: &(dyn StdError + 'static)) -> StoreError {
        match tls_failure(error) {
            Some(rustls::Error::InvalidCertificate(cause)) => {
                self.misconfigured(Misconfiguration::UntrustedCertificate {
                    endpoint: self.endpoint.name.clone(),
                    reason: rustls::Error::InvalidCertificate(cause.clone()).to_string(),
                })
            }
            Some(rustls::Error::InvalidMessage(_)) => self.not_s3("it does not speak TLS".to_owned()),
            _ => self.unavailable(innermost(error)),
        }
    }

    fn not_s3(self, reason: String) -> StoreError {
        self.misconfigured(Misconfiguration::NotS3 { endpoint: self.endpoint.name.clone(), reason })
    }

    fn misconfigured(self, cause: Misconfiguration) -> StoreError {
        StoreError::Misconfigured(Box::new(cause))
    }

    fn unavailable(self, reason: String) -> StoreError {
        StoreError::Unavailable { key: self.key.to_owned(), reason }
    }
}

impl Answer {
    fn reason(&self) -> String {
        match (self.code.as_str(), self.message.as_str()) {
            ("", _) => format!("status {}", self.status),
            (code, "") => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        }
    }
}

fn answer(error: &impl ProvideErrorMetadata, raw: &HttpResponse) -> Answer {
    Answer {
        status: raw.status().as_u16(),
        code: error.code().unwrap_or_default().to_owned(),
        message: error.message().unwrap_or_default().to_owned(),
        region: raw.headers().get("x-amz-bucket-region").map(str::to_owned),
        looks_like_s3: raw.headers().get("x-amz-request-id").is_some(),
    }
}

/// The failure of a TLS handshake among the causes of an error.
fn tls_failure<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The last cause in a chain, the only one that tells a reader something.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// An error, its cause, the cause's cause, …
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let this = next?;
        // An I/O error hides what it wraps from `source`, which goes on one further.
        next = match this.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => this.source(),
        };
        Some(this)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn judged(status: u16, code: &str) -> StoreError {
        let endpoint = Endpoint {
            name: "http://s3.test".to_owned(),
            region: "us-east-1".to_owned(),
            is_aws: false,
            encrypted: false,
            checksums: false,
        };
        let asked = Asked { endpoint: &endpoint, bucket: "images", key: "a/key" };
        asked.refused(&Answer { status, code: code.to_owned(), looks_like_s3: true, ..Answer::default() })
    }

    #[test]
    fn only_a_missing_key_is_absence() {
        for (status, code) in [(404, "NoSuchKey"), (404, "NotFound"), (404, "NoSuchUpload")] {
            assert!(matches!(judged(status, code), StoreError::NotFound(_)), "{status} {code}");
        }
        for (status, code) in [
            (404, "NoSuchBucket"),
            (403, ""),
            (403, "AccessDenied"),
            (401, "Unauthorized"),
            (500, "InternalError"),
            (503, "SlowDown"),
            (404, ""),
            (404, "NoSuchTagSet"),
        ] {
            assert!(!matches!(judged(status, code), StoreError::NotFound(_)), "{status} {code}");
        }
    }

    #[test]
    fn what_may_pass_is_unavailable_and_what_will_not_is_not() {
        for (status, code) in [(503, "SlowDown"), (500, "InternalError"), (429, ""), (502, ""), (200, "InternalError")]
        {
            assert!(matches!(judged(status, code), StoreError::Unavailable { .. }), "{status} {code}");
        }
        for (status, code) in [
            (403, "AccessDenied"),
            (400, "InvalidPart"),
            (416, "InvalidRange"),
            (400, "Strange"),
            (501, "NotImplemented"),
        ] {
            assert!(!matches!(judged(status, code), StoreError::Unavailable { .. }), "{status} {code}");
        }
    }
}
