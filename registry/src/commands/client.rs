//! A client of a running registry's `/api/v1`.
//!
//! A password or token goes along as Basic authentication. Where there is none, the registry's Bearer challenge is
//! answered as container tools do: the 401 names the token endpoint and the scope, and the token is used until the
//! registry refuses it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use clap::Args;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::{Method, StatusCode};
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use url::{Host, Url};

use super::challenge::Challenge;
use super::exit::Failure;
use super::login::{Credential, Login, LoginArgs};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence of the registry. A run says something at least every five seconds.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a replica that is behind is asked again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two such questions.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest line of a stream of events, in bytes: a defence against an endless one.
const MAX_LINE: usize = 8 * 1024 * 1024;

/// Which registry, and who asks.
#[derive(Args, Clone, Debug)]
pub struct ConnectionArgs {
    /// The registry, such as https://registry.example.com. Without a scheme: https, or http for this machine.
    #[arg(long, value_name = "URL", env = "BERTH_REGISTRY", value_parser = parse_registry, help_heading = "Registry")]
    pub registry: Option<Url>,
    #[command(flatten)]
    pub login: LoginArgs,
}

/// Reads a registry's address; a bare host means https, except on this machine, where nobody listens in.
fn parse_registry(text: &str) -> Result<Url, String> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        let local = Url::parse(&format!("http://{text}")).is_ok_and(|url| is_local(&url));
        format!("{}://{text}", if local { "http" } else { "https" })
    };
    let url = Url::parse(&with_scheme).map_err(|error| format!("not an address: {error}"))?;
    match (url.scheme(), url.host_str(), url.path()) {
        ("http" | "https", Some(_), "/") if url.query().is_none() => Ok(url),
        ("http" | "https", Some(_), path) => {
            Err(format!("give the registry alone, without \"{path}\", such as {}", url.origin().ascii_serialization()))
        }
        (scheme, ..) => Err(format!("\"{scheme}\" is not a scheme of a registry: use https or http")),
    }
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A registry as one caller sees it.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    login: Login,
    token: Mutex<Option<String>>,
}

impl Client {
    /// Prepares to talk; nothing is sent yet.
    ///
    /// # Errors
    /// [`Failure`] when no registry is named or the login cannot be read.
    pub fn new(connection: &ConnectionArgs) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("berth-registry/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            // A redirect would carry the question elsewhere; the API never sends one.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::invalid(format!("no HTTP client could be made: {error}")))?;
        let base = connection.registry.clone();
        let base = base.ok_or_else(|| Failure::invalid("give --registry URL, or set BERTH_REGISTRY"))?;
        let login = Login::find(&connection.login, &base)?;
        Ok(Self { http, base, login, token: Mutex::new(None) })
    }

    /// The registry's address, without the slash at its end.
    pub fn registry(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// GET of a JSON document; `query` is encoded.
    ///
    /// # Errors
    /// [`Failure`] with the exit code that fits the answer (DESIGN §7).
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Failure> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let answer = self.send(Method::GET, url, None).await?;
        let answer = self.accept(answer).await?;
        let bytes = answer.bytes().await.map_err(|error| self.broken(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| self.not_ours(&error))
    }

    /// POST of a JSON document, answered by JSON lines. A replica that is behind (412) is asked again for up to a
    /// minute: another one may answer, or this one may catch up.
    ///
    /// # Errors
    /// As [`Client::get`]; later the stream's items.
    pub async fn post<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Events<T>, Failure> {
        let body: Bytes = serde_json::to_vec(body)
            .map_err(|error| Failure::invalid(format!("the request could not be written: {error}")))?
            .into();
        let begin = tokio::time::Instant::now();
        let answer = loop {
            let answer = self.send(Method::POST, self.url(path)?, Some(body.clone())).await?;
            if answer.status() != StatusCode::PRECONDITION_FAILED || begin.elapsed() > PATIENCE {
                break self.accept(answer).await?;
            }
            tokio::time::sleep(PAUSE).await;
        };
        let registry = self.registry();
        let chunks = answer.bytes_stream().map(move |chunk| chunk.map_err(|error| broken(&registry, &error))).boxed();
        Ok(Events { chunks, buffer: BytesMut::new(), registry: self.registry(), item: std::marker::PhantomData })
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        self.base.join(path).map_err(|error| Failure::invalid(format!("\"{path}\" is not a path: {error}")))
    }

    /// Sends a request and answers one challenge.
    ///
    /// A password goes along from the start: the routes of `/api/v1` take it as it is, and some take nothing else,
    /// because a registry token is for images only. Anonymous callers and identity tokens take the way by `/token`.
    async fn send(&self, method: Method, url: Url, body: Option<Bytes>) -> Result<reqwest::Response, Failure> {
        let credential = self.login.credential()?;
        if let Some(Credential::Basic { username, password }) = &credential {
            let authorization = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
            return self.once(&method, &url, body, Some(&authorization)).await;
        }
        let known = self.token.lock().await.clone();
        let first = self.once(&method, &url, body.clone(), known.as_deref()).await?;
        let challenge = (first.status() == StatusCode::UNAUTHORIZED).then(|| Challenge::of(first.headers())).flatten();
        let Some(challenge) = challenge else { return Ok(first) };
        let authorization = format!("Bearer {}", self.fetch_token(&challenge, credential).await?);
        *self.token.lock().await = Some(authorization.clone());
        self.once(&method, &url, body, Some(&authorization)).await
    }

    async fn once(
        &self,
        method: &Method,
        url: &Url,
        body: Option<Bytes>,
        authorization: Option<&str>,
    ) -> Result<reqwest::Response, Failure> {
        let mut request = self.http.request(method.clone(), url.clone());
        if let Some(body) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.send().await.map_err(|error| self.broken(&error))
    }

    /// Gets a token from the endpoint a challenge names: OAuth 2's refresh grant for an identity token, distribution's
    /// token specification for nobody.
    async fn fetch_token(&self, challenge: &Challenge, credential: Option<Credential>) -> Result<String, Failure> {
        /// The specification names the field twice: as its own and as OAuth 2's.
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let Challenge { realm, service, scope } = challenge;
        if self.base.scheme() == "https" && realm.scheme() != "https" && credential.is_some() {
            return Err(Failure::invalid(format!(
                "{} names the token endpoint {realm}, which is not https: the login is not sent there",
                self.registry()
            )));
        }
        let mut parameters: Vec<(&str, &str)> = Vec::new();
        parameters.extend(service.as_deref().map(|service| ("service", service)));
        let request = match &credential {
            Some(Credential::Identity(token)) => {
                parameters.extend(scope.as_deref().map(|scope| ("scope", scope)));
                parameters.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "berth-registry"),
                    ("refresh_token", token),
                ]);
                self.http.post(realm.clone()).form(&parameters)
            }
            _ => {
                // Several scopes of one challenge are parameters of their own.
                parameters.extend(scope.iter().flat_map(|scope| scope.split(' ')).map(|scope| ("scope", scope)));
                let mut url = realm.clone();
                url.query_pairs_mut().extend_pairs(&parameters);
                self.http.get(url)
            }
        };
        let answer = request.send().await.map_err(|error| self.broken(&error))?;
        let answer = self.accept(answer).await?;
        let bytes = answer.bytes().await.map_err(|error| self.broken(&error))?;
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|error| self.not_ours(&error))?;
        let token = answer.token.or(answer.access_token);
        token.ok_or_else(|| Failure::invalid(format!("{realm} gave no token")))
    }

    async fn accept(&self, answer: reqwest::Response) -> Result<reqwest::Response, Failure> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let headers = answer.headers().clone();
        let body = answer.bytes().await.unwrap_or_default();
        Err(self.refusal(status, &headers, &body))
    }

    /// What a refusal means for the caller.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        let registry = self.registry();
        let said = registry_message(body).unwrap_or_else(|| format!("{registry} answered {status}"));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let advice = if matches!(self.login, Login::Anonymous) {
                    format!(
                        "\nYou are not logged in at {registry}: use podman login or docker login, --username with \
                         --password-stdin, or --token-file."
                    )
                } else {
                    String::new()
                };
                Failure::not_permitted(format!("not permitted: {said}{advice}"))
            }
            StatusCode::PRECONDITION_FAILED => Failure::temporary(said),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Failure::temporary(said),
            status if status.is_server_error() => {
                let id = headers.get("x-request-id").and_then(|id| id.to_str().ok());
                let id = id.map(|id| format!(" (request {id})")).unwrap_or_default();
                Failure::temporary(format!("{said}{id}"))
            }
            _ => Failure::invalid(said),
        }
    }

    fn broken(&self, error: &reqwest::Error) -> Failure {
        broken(&self.registry(), error)
    }

    fn not_ours(&self, error: &serde_json::Error) -> Failure {
        Failure::invalid(format!("{} did not answer as a Berth registry does: {error}", self.registry()))
    }
}

/// A connection that could not be made is "unreachable"; one that broke is worth a retry.
fn broken(registry: &str, error: &reqwest::Error) -> Failure {
    let cause = innermost(error);
    if error.is_connect() {
        Failure::unreachable(format!("{registry} cannot be reached: {cause}"))
    } else if error.is_timeout() {
        Failure::temporary(format!("{registry} did not answer in time: {cause}"))
    } else {
        Failure::temporary(format!("the connection to {registry} broke: {cause}"))
    }
}

/// The error at the root, which alone says something a person can act on ("connection refused").
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The sentences of an error body in the distribution-spec's form.
fn registry_message(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let messages: Vec<String> = body
        .errors
        .into_iter()
        .map(|entry| if entry.message.is_empty() { entry.code } else { entry.message })
        .filter(|message| !message.is_empty())
        .collect();
    (!messages.is_empty()).then(|| messages.join("\n"))
}

/// JSON lines as they come in.
pub struct Events<T> {
    chunks: BoxStream<'static, Result<Bytes, Failure>>,
    buffer: BytesMut,
    registry: String,
    item: std::marker::PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned> Events<T> {
    /// The next event; `None` at the end of the stream. Empty lines only keep the connection awake.
    ///
    /// # Errors
    /// [`Failure`] when the connection breaks or what came is not an event.
    pub async fn next(&mut self) -> Result<Option<T>, Failure> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return self.parse(&line).map(Some);
            }
            if self.buffer.len() > MAX_LINE {
                return Err(Failure::temporary(format!("{} sent an endless line", self.registry)));
            }
            match self.chunks.next().await {
                Some(chunk) => self.buffer.extend_from_slice(&chunk?),
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                None => {
                    return Err(Failure::temporary(format!(
                        "the connection to {} ended in mid-sentence",
                        self.registry
                    )));
                }
            }
        }
    }

    fn parse(&self, line: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(line).map_err(|error| {
            Failure::invalid(format!("{} sent something this version does not understand: {error}", self.registry))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_host_is_https_and_this_machine_http() {
        for (text, url) in [
            ("registry.example.com", "https://registry.example.com/"),
            ("registry.example.com:5000", "https://registry.example.com:5000/"),
            ("localhost:5000", "http://localhost:5000/"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/"),
            ("[::1]:5000", "http://[::1]:5000/"),
            ("http://registry.example.com", "http://registry.example.com/"),
        ] {
            assert_eq!(parse_registry(text).unwrap().as_str(), url, "{text}");
        }
    }

    #[test]
    fn an_address_with_a_path_or_another_scheme_is_refused_with_advice() {
        assert!(parse_registry("https://r.example/v2/").unwrap_err().contains("such as https://r.example"));
        assert!(parse_registry("ftp://r.example").unwrap_err().contains("use https or http"));
    }

    #[test]
    fn the_registrys_own_sentence_is_passed_on() {
        let body = br#"{"errors":[{"code":"DENIED","message":"you may not"},{"code":"X","message":""}]}"#;
        assert_eq!(registry_message(body).unwrap(), "you may not\nX");
        assert_eq!(registry_message(b"<html>"), None);
        assert_eq!(registry_message(br#"{"errors":[]}"#), None);
    }

    #[tokio::test]
    async fn events_may_be_cut_anywhere() {
        let pieces: Vec<&'static [u8]> = vec![b"{\"a\":1}\n{\"a\"", b":2}\n", b"\n  \n", b"{\"a\":3}\n"];
        let chunks = futures::stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from_static(piece)))).boxed();
        let mut events: Events<serde_json::Value> =
            Events { chunks, buffer: BytesMut::new(), registry: "r".into(), item: std::marker::PhantomData };
        let mut seen = Vec::new();
        while let Some(event) = events.next().await.unwrap() {
            seen.push(event["a"].as_i64().unwrap());
        }
        assert_eq!(seen, [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_stream_that_ends_in_mid_sentence_is_a_temporary_failure() {
        let chunks = futures::stream::iter([Ok(Bytes::from_static(b"{\"a\":"))]).boxed();
        let mut events: Events<serde_json::Value> =
            Events { chunks, buffer: BytesMut::new(), registry: "r".into(), item: std::marker::PhantomData };
        assert_eq!(events.next().await.unwrap_err().exit, super::super::exit::Exit::Temporary);
    }
}
