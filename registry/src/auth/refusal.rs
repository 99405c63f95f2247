//! Refusals: why a request goes no further, and the answer its client gets (DESIGN §4).

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use berth_crds::name::RepositoryName;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::scope::{self, Scope};

/// Why a request is refused. [`IntoResponse`] renders the answer, body and challenge included.
#[derive(Debug)]
pub struct Refusal(Box<Kind>);

#[derive(Debug)]
pub(super) enum Kind {
    /// 401 with one Bearer challenge.
    Challenge(Challenge),
    /// 401 of the token endpoint itself, which has no token to ask for.
    BadCredentials,
    /// 403: what no token can mend.
    Denied(String),
    /// 404 for somebody who may create images there as soon as there is a ContainerRepository.
    NoRepository { message: String, manifest: serde_json::Value },
    /// 404: the upload's Location is not one we would go on from.
    UploadUnknown,
    /// 429: too many wrong passwords.
    Locked { retry_after: Duration },
    /// 503: who asks or what they may cannot be found out at the moment.
    Unavailable(String),
    /// 400: a request without a usable `Host` cannot be told where to get a token.
    NoHost,
    /// 400: the token endpoint was asked in a way that is none.
    BadRequest(String),
}

/// The parts of a `WWW-Authenticate: Bearer` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// Absolute URL of the token endpoint, as reachable for whoever asks.
    pub(super) realm: String,
    pub(super) service: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) error: Option<ChallengeError>,
}

/// RFC 6750 §3.1; only present when credentials were shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChallengeError {
    InvalidToken,
    InsufficientScope,
    /// As `InsufficientScope`, for the policies of a namespace and their runs.
    NotForPolicies,
}

impl Challenge {
    /// The same for everything that is refused in this way, whether it exists or not.
    const fn message(&self) -> &'static str {
        match self.error {
            None => "this needs a login: use docker login, or send a user name and password",
            Some(ChallengeError::InvalidToken) => {
                "the user name, password or token is wrong, was revoked or has expired: log in again"
            }
            Some(ChallengeError::InsufficientScope) => {
                "there is no such image, or you may not do this to it: check the name, or ask an owner of its namespace \
                 for the right"
            }
            Some(ChallengeError::NotForPolicies) => {
                "there is no such policy or run, or you may not start and follow runs in this namespace: check the name, \
                 or ask an owner of the namespace for the right (create on cleanuppolicies/runs)"
            }
        }
    }

    /// One header value. The order realm, service, scope, error, no blank after commas, and quotes around every value
    /// are what the strictest client parsers need.
    fn header(&self) -> String {
        let mut header = format!("Bearer realm=\"{}\",service=\"{}\"", self.realm, self.service);
        if !self.scopes.is_empty() {
            header.push_str(&format!(",scope=\"{}\"", scope::join(&self.scopes)));
        }
        match self.error {
            Some(ChallengeError::InvalidToken) => header.push_str(",error=\"invalid_token\""),
            Some(ChallengeError::InsufficientScope | ChallengeError::NotForPolicies) => {
                header.push_str(",error=\"insufficient_scope\"")
            }
            None => {}
        }
        header
    }
}

impl From<Kind> for Refusal {
    fn from(kind: Kind) -> Self {
        Self(Box::new(kind))
    }
}

impl Refusal {
    /// A 403 DENIED with a sentence that tells the caller what to do; for rules a token cannot mend.
    pub fn denied(message: impl Into<String>) -> Self {
        Kind::Denied(message.into()).into()
    }

    /// A 503 for something that does not answer. Why is for the log: it names buckets and sockets.
    pub(super) fn unavailable(what: &str, error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "{what} does not answer");
        Kind::Unavailable(format!("{what} does not answer at the moment: try again")).into()
    }

    /// A 404 for a path without a ContainerRepository, to somebody who may use it once it exists.
    pub(super) fn no_repository(repository: &RepositoryName) -> Self {
        let manifest = json!({
            "apiVersion": "berth.dev/v1alpha1",
            "kind": "ContainerRepository",
            "metadata": { "namespace": repository.namespace(), "name": repository.object_name() },
        });
        let message = format!(
            "there is no repository {repository}: create it with: echo '{manifest}' | kubectl apply -f - (a registry \
             started with --manifests reads the same text from a .yaml file of that directory)"
        );
        Kind::NoRepository { message, manifest }.into()
    }

    pub fn status(&self) -> StatusCode {
        match *self.0 {
            Kind::Challenge(_) | Kind::BadCredentials => StatusCode::UNAUTHORIZED,
            Kind::Denied(_) => StatusCode::FORBIDDEN,
            Kind::NoRepository { .. } | Kind::UploadUnknown => StatusCode::NOT_FOUND,
            Kind::Locked { .. } => StatusCode::TOO_MANY_REQUESTS,
            Kind::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Kind::NoHost | Kind::BadRequest(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// The distribution-spec's error code.
    pub fn code(&self) -> &'static str {
        match *self.0 {
            Kind::Challenge(_) | Kind::BadCredentials => "UNAUTHORIZED",
            Kind::Denied(_) => "DENIED",
            Kind::NoRepository { .. } => "NAME_UNKNOWN",
            Kind::UploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Kind::Locked { .. } => "TOOMANYREQUESTS",
            Kind::Unavailable(_) => "UNAVAILABLE",
            Kind::NoHost | Kind::BadRequest(_) => "UNSUPPORTED",
        }
    }

    /// The sentence the client shows to a person.
    pub fn message(&self) -> String {
        match &*self.0 {
            Kind::Challenge(challenge) => challenge.message().to_owned(),
            Kind::Denied(message)
            | Kind::NoRepository { message, .. }
            | Kind::Unavailable(message)
            | Kind::BadRequest(message) => message.clone(),
            Kind::BadCredentials => "the user name, password or token is wrong or has expired: log in again".to_owned(),
            Kind::UploadUnknown => {
                "the upload session is unknown, belongs to somebody else or has expired: begin a new upload".to_owned()
            }
            Kind::Locked { retry_after } => {
                format!("too many failed logins with this user name: wait {} seconds", retry_after.as_secs().max(1))
            }
            Kind::NoHost => "the request has no usable Host header, so no token endpoint can be named".to_owned(),
        }
    }

    fn detail(&self) -> Option<serde_json::Value> {
        match &*self.0 {
            Kind::Challenge(challenge) if !challenge.scopes.is_empty() => {
                Some(json!({ "scope": scope::join(&challenge.scopes) }))
            }
            Kind::NoRepository { manifest, .. } => Some(json!({ "manifest": manifest })),
            _ => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut error = json!({ "code": self.code(), "message": self.message() });
        if let Some(detail) = self.detail() {
            error["detail"] = detail;
        }
        let body = json!({ "errors": [error] }).to_string();
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match *self.0 {
            Kind::Challenge(challenge) => {
                // The realm is made of a checked host, the scopes of parsed names, the service of a checked setting.
                if let Ok(value) = HeaderValue::try_from(challenge.header()) {
                    headers.insert(WWW_AUTHENTICATE, value);
                }
            }
            Kind::BadCredentials => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"registry\""));
            }
            Kind::Locked { retry_after } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
            }
            Kind::Unavailable(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}
