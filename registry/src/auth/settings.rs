//! What [`Access`](super::Access) is made from, checked once.

use jiff::SignedDuration;

use super::origin::TrustedProxies;

/// What an installation says about itself and its limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of this installation: `service` of every challenge and audience of every token. Never taken from `Host`.
    pub service: ServiceName,
    /// Longest life of a registry token (`--token-ttl`, 5 minutes by default). Cut to 24 hours.
    pub token_ttl: SignedDuration,
    /// Longest life of an upload session. Cut to 24 hours.
    pub session_ttl: SignedDuration,
    pub trusted_proxies: TrustedProxies,
    /// Whether this process itself speaks TLS; decides the scheme of the realm unless a trusted proxy states it.
    pub tls: bool,
}

/// The name of an installation. Invariant: 1 to 255 printable ASCII characters that need no escape in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName(String);

impl ServiceName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ServiceName {
    type Err = ServiceNameError;

    fn from_str(text: &str) -> Result<Self, ServiceNameError> {
        let harmless = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b',');
        if (1..=255).contains(&text.len()) && text.bytes().all(harmless) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ServiceNameError(text.to_owned()))
        }
    }
}

/// A service name that would not survive in a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no service name: write 1 to 255 letters, digits and signs other than quotes, commas and backslashes"
)]
pub struct ServiceNameError(String);
