//! Who is asking, and under which address they reach us: `Host` and `X-Forwarded-*`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::extract::ConnectInfo;
use http::HeaderMap;
use http::request::Parts;

/// Networks whose `X-Forwarded-For`, `-Host` and `-Proto` are believed (`--trusted-proxies`). Empty by default: then
/// those headers are ignored, whoever sends them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl FromStr for TrustedProxies {
    type Err = NetworkError;

    /// A comma-separated list of addresses and networks, such as `10.0.0.0/8,192.0.2.7`.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// An address range in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        let (ours, theirs) = (self.address.to_canonical(), address.to_canonical());
        ours.is_ipv4() == theirs.is_ipv4() && mask(ours, self.prefix) == mask(theirs, self.prefix)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = || NetworkError(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), |prefix| prefix.parse().map_err(|_| error()))?;
        if prefix > bits { Err(error()) } else { Ok(Self { address, prefix }) }
    }
}

/// A proxy network that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an address or network: write for example 10.0.0.0/8 or 192.0.2.7")]
pub struct NetworkError(String);

/// The first `prefix` bits of an address, the rest zero.
pub(super) fn mask(address: IpAddr, prefix: u8) -> IpAddr {
    let keep = |bits: u32| bits.saturating_sub(u32::from(prefix));
    match address {
        IpAddr::V4(v4) => IpAddr::V4(u32::MAX.checked_shl(keep(32)).map_or(0, |mask| v4.to_bits() & mask).into()),
        IpAddr::V6(v6) => IpAddr::V6(u128::MAX.checked_shl(keep(128)).map_or(0, |mask| v6.to_bits() & mask).into()),
    }
}

/// What a request says of where it comes from and how it got here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Scheme and authority as the client wrote them, such as `https://registry.example.com:5000`; `None` when the
    /// request carries no usable host.
    pub(super) base: Option<String>,
    /// Address of the client itself, behind trusted proxies; `None` on connections without one (in-process).
    pub(super) client: Option<IpAddr>,
}

impl Origin {
    /// `tls` is whether this process itself speaks TLS on the connection.
    pub(super) fn of(parts: &Parts, proxies: &TrustedProxies, tls: bool) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let trusted = peer.is_some_and(|peer| proxies.contains(peer));
        let forwarded = |name| if trusted { first(&parts.headers, name) } else { None };

        let scheme = match forwarded("x-forwarded-proto") {
            Some("https") => "https",
            Some("http") => "http",
            _ if tls => "https",
            _ => "http",
        };
        // HTTP/2 has the authority in the request target, HTTP/1 in Host.
        let host = forwarded("x-forwarded-host")
            .or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))
            .or_else(|| parts.headers.get("host")?.to_str().ok())
            .filter(|host| is_host(host));

        let client = if trusted { client_behind(&parts.headers, proxies).or(peer) } else { peer };
        Self { base: host.map(|host| format!("{scheme}://{host}")), client }
    }
}

/// The first of possibly several comma-separated values, without the quotes some proxies add: the outermost proxy's.
fn first<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    let value = value.split(',').next()?.trim().trim_matches('"');
    (!value.is_empty()).then_some(value)
}

/// The last address in `X-Forwarded-For` that is not a trusted proxy: everything before it is the client's own claim.
fn client_behind(headers: &HeaderMap, proxies: &TrustedProxies) -> Option<IpAddr> {
    let values: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    let mut outermost = None;
    for hop in values.iter().flat_map(|value| value.split(',')).rev() {
        let hop = hop.trim().trim_matches('"');
        let address = hop.parse().or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip())).ok()?;
        outermost = Some(address);
        if !proxies.contains(address) {
            break;
        }
    }
    outermost
}

/// Whether a text is a host with an optional port. Nothing else may enter a header that clients parse.
fn is_host(host: &str) -> bool {
    (1..=255).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']'))
}
