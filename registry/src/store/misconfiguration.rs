//! What is wrong with a store that only whoever runs the registry can put right.

use std::path::PathBuf;

/// Why a bucket cannot be used as it is configured; the text says what to do.
///
/// Found at start ([`probe`](super::probe)), where it ends the process with exit code 78, or later, when a key is
/// withdrawn under a running registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Misconfiguration {
    /// The bucket is not there.
    #[error("there is no bucket {bucket} at {endpoint}: create it, or correct its name in --storage")]
    NoSuchBucket { bucket: String, endpoint: String },
    /// The bucket lives elsewhere.
    #[error("the bucket {bucket} is not in region {region}{}: set AWS_REGION to the region of the bucket", .expected.as_deref().map(|it| format!(" but in {it}")).unwrap_or_default())]
    WrongRegion { bucket: String, region: String, expected: Option<String> },
    /// No region is named, and AWS has no default.
    #[error("no region is set: set AWS_REGION to the region of the bucket {bucket}")]
    NoRegion { bucket: String },
    /// The key or its secret is not the store's.
    #[error(
        "{endpoint} does not know these credentials ({reason}): check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
         or the role the registry runs with"
    )]
    WrongKey { endpoint: String, reason: String },
    /// No credentials were found anywhere the SDK looks.
    #[error(
        "no credentials for the bucket {bucket} ({reason}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or give \
         the registry a role; outside AWS set AWS_EC2_METADATA_DISABLED=true, so that it does not wait for an \
         instance's"
    )]
    NoCredentials { bucket: String, reason: String },
    /// Something else than S3 answers.
    #[error(
        "{endpoint} does not answer like S3 ({reason}): set AWS_ENDPOINT_URL_S3 to the address of the S3 API, not of \
         a console or a web page, with the right one of http:// and https://"
    )]
    NotS3 { endpoint: String, reason: String },
    /// The certificate of the endpoint is signed by somebody unknown or for another name.
    #[error(
        "the certificate of {endpoint} is not trusted ({reason}): if it comes from your own authority, set \
         AWS_CA_BUNDLE to a PEM file with the authority's certificate"
    )]
    UntrustedCertificate { endpoint: String, reason: String },
    /// The file named in `AWS_CA_BUNDLE` cannot be used.
    #[error(
        "{path}, named in AWS_CA_BUNDLE, cannot be used ({reason}): name a readable PEM file or unset the variable"
    )]
    BadCaBundle { path: PathBuf, reason: String },
    /// The store refuses signatures made by this clock.
    #[error(
        "the clock of this machine and that of {endpoint} are too far apart ({reason}): set the clock, best by NTP; S3 \
         allows 15 minutes"
    )]
    ClockSkewed { endpoint: String, reason: String },
}
