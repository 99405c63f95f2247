//! `/token`: credentials in, a short registry token out (distribution, docs/content/spec/auth/token.md and oauth.md).

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

use super::access::Access;
use super::credentials::Shown;
use super::prove::Unproven;
use super::refusal::{Kind, Refusal};
use super::scope::{self, Scope};
use super::subject::Caller;
use super::token::{self, NewToken};
use crate::http::identified;

/// Largest form that is read, in bytes.
const MAX_FORM: usize = 64 * 1024;

/// The route `/token`, to be merged into a router.
pub fn router(access: Arc<Access>) -> Router {
    Router::new().route("/token", get(give_token).post(give_token)).with_state(access)
}

/// The answer; `token` and `access_token` are the same for clients of either age.
#[derive(Serialize)]
struct Answer {
    token: String,
    access_token: String,
    /// Seconds from `issued_at`.
    expires_in: i64,
    issued_at: Timestamp,
    /// What was granted; only to POST, which requires it.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

async fn give_token(State(access): State<Arc<Access>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match answer(&access, &parts, body).await {
        Ok(answer) => {
            let body = serde_json::to_vec(&answer).expect("texts and numbers always serialise");
            let mut response = (StatusCode::OK, body).into_response();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn answer(access: &Access, parts: &Parts, body: Body) -> Result<Answer, Refusal> {
    let posted = parts.method == Method::POST;
    let fields = if posted { Fields::posted(parts, body).await? } else { Fields::in_query(parts) };
    // Whoever asks for another registry's token must not get ours to show there.
    if fields.get("service").is_some_and(|service| service != access.service()) {
        let ours = access.service();
        return Err(Kind::BadRequest(format!("this token endpoint serves \"{ours}\" and no other service")).into());
    }
    let proven = if posted { prove_form(access, parts, &fields).await } else { prove_header(access, parts).await };
    let caller = match proven {
        Ok(caller) => caller,
        Err(Unproven::Bad | Unproven::Expired(_)) => return Err(Kind::BadCredentials.into()),
        Err(Unproven::Refused(refusal)) => return Err(refusal),
    };
    identified(parts, &caller);
    let granted = grant(access, &caller, &scope::parse(fields.all("scope"))).await?;
    let issued = access.clock.now();
    let longest = issued + access.token_ttl();
    let expires = caller.expires.map_or(longest, |end| end.min(longest));
    let new = NewToken { service: access.service(), subject: &caller.subject, scopes: &granted, issued, expires };
    let token = token::issue(&access.keys, &new);
    let token = token.map_err(|error| Refusal::unavailable("the signing key of this replica", &error))?;
    Ok(Answer {
        access_token: token.clone(),
        token,
        expires_in: expires.as_second() - issued.as_second(),
        issued_at: issued,
        scope: posted.then(|| scope::join(&granted)),
    })
}

/// What of the scopes asked for the caller could use at this moment. Asking for too much is no error.
async fn grant(access: &Access, caller: &Caller, asked: &[Scope]) -> Result<Vec<Scope>, Refusal> {
    let live = access.live();
    let mut granted = Vec::new();
    for scope in asked {
        match scope {
            // Everybody may look; what it shows is filtered.
            Scope::Catalog => granted.push(Scope::Catalog),
            Scope::Image { image, actions } => {
                let actions = live.grantable(&caller.subject, image, actions).await?;
                if !actions.is_empty() {
                    granted.push(Scope::Image { image: image.clone(), actions });
                }
            }
        }
    }
    Ok(granted)
}

/// GET: Basic, or nothing and anonymous. A bearer token is no way to get another one.
async fn prove_header(access: &Access, parts: &Parts) -> Result<Caller, Unproven> {
    match Shown::by(&parts.headers) {
        Shown::Nothing => Ok(Caller::nobody(access.origin(parts).client)),
        Shown::Basic { name, password } => access.prove_by(parts, Some(&name), &password).await,
        Shown::Bearer(_) | Shown::Unreadable => Err(Unproven::Bad),
    }
}

/// POST: `grant_type=password`, or `refresh_token` with a cluster or deploy token as its value.
async fn prove_form(access: &Access, parts: &Parts, fields: &Fields) -> Result<Caller, Unproven> {
    match (fields.get("grant_type"), fields.get("username"), fields.get("password"), fields.get("refresh_token")) {
        (Some("password"), Some(name), Some(password), _) => access.prove_by(parts, Some(name), password).await,
        (Some("refresh_token"), _, _, Some(token)) => access.prove_by(parts, None, token).await,
        _ => {
            let message = "send grant_type=password with username and password, or grant_type=refresh_token with a \
                           ServiceAccount or deploy token as refresh_token";
            Err(Unproven::Refused(Kind::BadRequest(message.to_owned()).into()))
        }
    }
}

/// Decoded parameters, repeated names kept.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(bytes: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(bytes).into_owned().collect())
    }

    fn in_query(parts: &Parts) -> Self {
        Self::parse(parts.uri.query().unwrap_or_default().as_bytes())
    }

    async fn posted(parts: &Parts, body: Body) -> Result<Self, Refusal> {
        let media_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Kind::BadRequest("send a form (application/x-www-form-urlencoded)".to_owned()).into());
        }
        let read = axum::body::to_bytes(body, MAX_FORM).await;
        let bytes = read.map_err(|_| Kind::BadRequest(format!("the form is cut off or above {MAX_FORM} bytes")))?;
        Ok(Self::parse(&bytes))
    }

    /// The first value of a name.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a name.
    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
