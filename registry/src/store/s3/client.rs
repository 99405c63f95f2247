//! The connection to a bucket: an HTTP client of our own, limits for every attempt, and what differs between AWS
//! and everybody else.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, ConfigBag, Credentials, Intercept, ProvideCredentials as _, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, RuntimeComponents, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{BoxError, DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_smithy_http_client::tls;

use crate::store::misconfiguration::Misconfiguration;

/// For the answer to a request that carries next to nothing.
const ATTEMPT: Duration = Duration::from_secs(10);
/// For the answer to a request that carries bytes, apart from the time the bytes take.
const ATTEMPT_WITH_BODY: Duration = Duration::from_secs(60);
/// The slowest line worth waiting for, in bytes per second.
const SLOWEST: u64 = 1 << 20;
/// The store puts a large object together before it answers; AWS says "several minutes".
const COMPLETION: Duration = Duration::from_secs(300);
/// Attempts of a request that may be made again.
const ATTEMPTS: u32 = 3;
/// Bodies up to this length count as next to nothing.
const SMALL_BODY: usize = 64 * 1024;
/// How long credentials may take at start: a web identity asks another service for them.
const CREDENTIALS: Duration = Duration::from_secs(10);
/// S3 closes idle connections after about 20 s; one that is reused then hangs or is reset.
const POOL_IDLE: Duration = Duration::from_secs(15);
const POOL_SIZE: usize = 64;

/// Where a bucket is reached, as far as our own behaviour and our sentences depend on it.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// Its URL, or the name of the service.
    pub(super) name: String,
    pub(super) region: String,
    /// Run by AWS, not by one of the many that speak its protocol.
    pub(super) is_aws: bool,
    /// Whether requests travel in TLS, which makes signing their bodies superfluous.
    pub(super) encrypted: bool,
    /// Whether requests carry the checksums that the SDK adds by itself since 2025. Many servers that are not AWS
    /// refuse them.
    pub(super) checksums: bool,
}

/// Keys and place of a bucket, for whoever does not take them from the environment.
#[derive(Clone)]
pub struct Connection {
    /// URL of an S3 API that is not AWS.
    pub endpoint: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    /// PEM certificates trusted beside those of the system.
    pub ca_certificates: Option<Vec<u8>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// A client as the SDK's own variables, files and roles describe it.
///
/// # Errors
/// [`Misconfiguration`] when they describe none; nothing is asked of the store.
pub(super) async fn from_environment(bucket: &str) -> Result<(Client, Endpoint), Misconfiguration> {
    let ca = ca_bundle()?;
    let http = http_client(ca)?;
    let shared = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http).load().await;
    let url = std::env::var("AWS_ENDPOINT_URL_S3").ok().or_else(|| shared.endpoint_url().map(str::to_owned));
    let region = match (shared.region(), &url) {
        (Some(region), _) => region.to_string(),
        // Most servers that are not AWS have no regions and accept the oldest one's name.
        (None, Some(_)) => "us-east-1".to_owned(),
        (None, None) => return Err(Misconfiguration::NoRegion { bucket: bucket.to_owned() }),
    };
    let mut endpoint = Endpoint::new(url.as_deref(), region);
    let no_credentials = |reason| Misconfiguration::NoCredentials { bucket: bucket.to_owned(), reason };
    let provider = shared.credentials_provider().ok_or_else(|| no_credentials("none are configured".to_owned()))?;
    // Asked once here, so that a missing key is a sentence at start and not a timeout at the first push.
    match tokio::time::timeout(CREDENTIALS, provider.provide_credentials()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(no_credentials(DisplayErrorContext(error).to_string())),
        Err(_) => return Err(no_credentials(format!("none came within {} s", CREDENTIALS.as_secs()))),
    }
    let mut config = aws_sdk_s3::config::Builder::from(&shared);
    config.set_endpoint_url(url);
    // The SDK fills in its own default where nothing was said, so only its variables count as said.
    let said = |variable| std::env::var_os(variable).is_some();
    if said("AWS_REQUEST_CHECKSUM_CALCULATION") {
        endpoint.checksums = shared.request_checksum_calculation() == Some(RequestChecksumCalculation::WhenSupported);
    }
    let validation = shared.response_checksum_validation().filter(|_| said("AWS_RESPONSE_CHECKSUM_VALIDATION"));
    Ok((Client::from_conf(finish(config, &endpoint, validation).build()), endpoint))
}

/// A client for a place and keys named outright.
///
/// # Errors
/// [`Misconfiguration::BadCaBundle`] when the certificates are none.
pub(super) fn connected(connection: Connection) -> Result<(Client, Endpoint), Misconfiguration> {
    let Connection { endpoint: url, region, access_key_id, secret_access_key, ca_certificates } = connection;
    let http = http_client(ca_certificates.map(|pem| (PathBuf::from("the certificates given"), pem)))?;
    let endpoint = Endpoint::new(Some(&url), region);
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .endpoint_url(url)
        .credentials_provider(Credentials::new(access_key_id, secret_access_key, None, None, "given"));
    Ok((Client::from_conf(finish(config, &endpoint, None).build()), endpoint))
}

impl Endpoint {
    fn new(url: Option<&str>, region: String) -> Self {
        let parsed = url.and_then(|url| url::Url::parse(url).ok());
        let host = parsed.as_ref().and_then(url::Url::host_str).unwrap_or_default();
        // Interface endpoints of AWS are named too: https://bucket.vpce-….s3.eu-west-1.vpce.amazonaws.com
        let is_aws = url.is_none() || host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
        let encrypted = parsed.as_ref().is_none_or(|url| url.scheme() == "https");
        Self { name: url.unwrap_or("AWS S3").to_owned(), region, is_aws, encrypted, checksums: is_aws }
    }
}

/// What holds for every client, whatever its keys come from.
fn finish(config: Builder, endpoint: &Endpoint, validation: Option<ResponseChecksumValidation>) -> Builder {
    let (requests, responses) = if endpoint.checksums {
        (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
    } else {
        (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired)
    };
    config
        .region(Region::new(endpoint.region.clone()))
        .force_path_style(!endpoint.is_aws)
        .request_checksum_calculation(requests)
        .response_checksum_validation(validation.unwrap_or(responses))
        // An attempt is given up by its own limit; uploads come from memory and cannot starve for their source.
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().upload_enabled(false).build())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        // Tokens and sessions depend on the clock too: a wrong one is to be set, not to be worked around.
        .disable_clock_skew_correction(true)
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .operation_attempt_timeout(ATTEMPT)
                .operation_timeout(ATTEMPT * (ATTEMPTS + 1))
                .build(),
        )
}

fn http_client(ca: Option<(PathBuf, Vec<u8>)>) -> Result<SharedHttpClient, Misconfiguration> {
    let builder = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_SIZE);
    let Some((path, pem)) = ca else { return Ok(builder.build_https()) };
    let bad = |reason| Misconfiguration::BadCaBundle { path: path.clone(), reason };
    // The SDK panics on certificates it cannot read, so they are read here first.
    check_certificates(&pem).map_err(bad)?;
    let trust = tls::TrustStore::default().with_pem_certificate(pem);
    let context = tls::TlsContext::builder().with_trust_store(trust).build();
    Ok(builder.tls_context(context.map_err(|error| bad(error.to_string()))?).build_https())
}

fn check_certificates(pem: &[u8]) -> Result<(), String> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    let mut roots = rustls::RootCertStore::empty();
    certificates.into_iter().try_for_each(|it| roots.add(it)).map_err(|error| error.to_string())
}

/// The authorities named in `AWS_CA_BUNDLE`, a variable of the AWS tools that the Rust SDK does not read itself.
fn ca_bundle() -> Result<Option<(PathBuf, Vec<u8>)>, Misconfiguration> {
    let Some(path) = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from) else {
        return Ok(None);
    };
    match std::fs::read(&path) {
        Ok(pem) => Ok(Some((path, pem))),
        Err(error) => Err(Misconfiguration::BadCaBundle { path, reason: error.to_string() }),
    }
}

/// Limits for a request with a body, which must be answered in the time its bytes take at the slowest bearable rate.
pub(super) fn carrying(length: usize) -> Builder {
    let attempt =
        if length <= SMALL_BODY { ATTEMPT } else { ATTEMPT_WITH_BODY + Duration::from_secs(length as u64 / SLOWEST) };
    limited(attempt)
}

/// Limits for a request that makes the store move bytes.
pub(super) fn copying() -> Builder {
    limited(ATTEMPT_WITH_BODY)
}

/// Limits for the completion of a multipart upload.
pub(super) fn completing() -> Builder {
    limited(COMPLETION)
}

/// The same, sent once only: whether it arrived is unknown after a failure, and a second one could arrive after
/// everything that was decided meanwhile (storage protocol rule 10).
pub(super) fn once(config: Builder) -> Builder {
    config.retry_config(RetryConfig::disabled())
}

/// Sends a write again that versitygw refused because the folder of its key vanished meanwhile: it removes a folder with
/// its last key. It then says that the key is a folder, which none of ours is, and has stored nothing, so that a birth is
/// still executed at most once (storage protocol rule 10). Any other answer is final.
pub(super) async fn past_vanished_folders<T, E, F>(send: impl Fn() -> F) -> Result<T, SdkError<E>>
where
    F: Future<Output = Result<T, SdkError<E>>>,
    SdkError<E>: ProvideErrorMetadata,
{
    for _ in 1..ATTEMPTS {
        match send().await {
            Err(error) if error.code() == Some("ExistingObjectIsDirectory") => {}
            answer => return answer,
        }
    }
    send().await
}

fn limited(attempt: Duration) -> Builder {
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(attempt).operation_timeout(attempt * (ATTEMPTS + 1)).build();
    Builder::new().timeout_config(timeouts)
}

/// Learns the store's clock from the `Date` of an answer; one per request.
#[derive(Clone, Debug, Default)]
pub(super) struct StoreClock(Arc<Mutex<Option<SystemTime>>>);

impl StoreClock {
    /// The store's clock when it answered; ours if its answer named none.
    pub(super) fn time(&self) -> SystemTime {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(SystemTime::now)
    }
}

impl Intercept for StoreClock {
    fn name(&self) -> &'static str {
        "StoreClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date.and_then(|date| date.try_into().ok());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_is_told_from_those_that_speak_its_protocol() {
        for (url, is_aws, encrypted) in [
            (None, true, true),
            (Some("https://s3.eu-west-1.amazonaws.com"), true, true),
            (Some("https://bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com"), true, true),
            (Some("https://s3.cn-north-1.amazonaws.com.cn"), true, true),
            (Some("http://127.0.0.1:9000"), false, false),
            (Some("https://minio.example.com"), false, true),
            (Some("https://amazonaws.com.example.com"), false, true),
        ] {
            let endpoint = Endpoint::new(url, "eu-west-1".to_owned());
            assert_eq!((endpoint.is_aws, endpoint.encrypted), (is_aws, encrypted), "{url:?}");
        }
    }

    #[test]
    fn a_ca_bundle_that_is_none_is_refused_by_name() {
        for pem in [&b""[..], b"not pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let refused = http_client(Some((PathBuf::from("/etc/ca.pem"), pem.to_vec())));
            let message = refused.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(message.starts_with("/etc/ca.pem, named in AWS_CA_BUNDLE"), "{message}");
        }
    }
}
