//! What every route has at hand, and the few things all of them do.

use std::sync::Arc;

use axum::response::Response;
use berth_crds::access::Action;
use berth_crds::digest::{Digest, DigestError};
use berth_crds::name::ImageName;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::error::{Code, Problem};
use super::exchange::Exchange;
use super::query::Query;
use crate::auth::{Access, Caller};
use crate::configuration::Current;
use crate::storage::Storage;

/// Names the content of an answer.
pub(super) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The rooms behind the routes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    pub storage: Storage,
    pub access: Arc<Access>,
    pub configuration: Current,
    /// Work that goes on when its client has left; shutdown waits for it.
    pub tasks: TaskTracker,
}

impl Api {
    /// Asks whether the sender may do this to the image at this moment, and notes for the log who that is.
    pub async fn permit(&self, parts: &Parts, image: &ImageName, action: &Action) -> Result<Caller, Problem> {
        let caller = self.access.authorize(parts, image, action).await?;
        identified(parts, &caller);
        if !matches!(action, Action::Pull | Action::List) {
            self.refuse_while_waiting()?;
        }
        Ok(caller)
    }

    /// 503 for everything that changes something, while the last document is in force (DESIGN §1). To be asked after the
    /// right was: who may not is told that.
    pub(super) fn refuse_while_waiting(&self) -> Result<(), Problem> {
        if self.configuration.accepts_changes() { Ok(()) } else { Err(Problem::waiting()) }
    }

    /// Does something to its end, whatever becomes of the client: a step against the store that is dropped in the
    /// middle leaves bookkeeping half done.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Problem> {
        self.tasks.spawn(work.in_current_span()).await.map_err(|cause| {
            tracing::error!(error = %cause, "a request failed unexpectedly");
            Problem::internal()
        })
    }
}

/// Notes for the access log who is asking.
pub(crate) fn identified(parts: &Parts, caller: &Caller) {
    if let Some(exchange) = parts.extensions.get::<Arc<Exchange>>() {
        exchange.identified(caller);
    }
}

/// A request as the routes take it: everything but the body, the image, the query.
#[derive(Debug)]
pub(super) struct Asked {
    pub parts: Parts,
    pub image: ImageName,
    pub query: Query,
}

impl Asked {
    /// Reads the name out of a path.
    ///
    /// # Errors
    /// 400 NAME_INVALID with a valid name to use instead.
    pub(super) fn new(parts: Parts, name: &str) -> Result<Self, Problem> {
        let image = name.parse().map_err(|reason| Problem::name_invalid(name, &reason))?;
        let query = Query::parse(parts.uri.query());
        Ok(Self { parts, image, query })
    }
}

/// A digest in the path of a read: what cannot exist here is unknown, what is no digest is a mistake.
pub(super) fn digest_to_read(text: &str, unknown: fn(&str) -> Problem) -> Result<Digest, Problem> {
    text.parse().map_err(|reason| match reason {
        DigestError::UnknownAlgorithm(_) => unknown(text),
        _ => Problem::digest_invalid(text, &reason),
    })
}

/// A digest that content is to be stored under.
pub(super) fn digest_to_write(text: &str) -> Result<Digest, Problem> {
    text.parse().map_err(|reason| Problem::digest_invalid(text, &reason))
}

/// An answer without a body. On HEAD and 304 the length is that of the content left out, so it is set by hand.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

/// Puts a header whose text is made of parsed names, digests and numbers, which are ASCII by construction.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: impl AsRef<str>) {
    match HeaderValue::try_from(value.as_ref()) {
        Ok(value) => {
            headers.insert(name, value);
        }
        Err(error) => tracing::error!(%error, header = %name, "a header of ours is not valid"),
    }
}

/// 201 for content that can be read at `path`, which is relative to the origin (protocol rule R4).
pub(super) fn created(path: &str, digest: &Digest) -> Response {
    let mut response = empty(StatusCode::CREATED);
    put(response.headers_mut(), LOCATION, path);
    put(response.headers_mut(), DOCKER_CONTENT_DIGEST, digest.to_string());
    response
}

/// The ETag of content: its quoted digest.
pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether `If-None-Match` names the content: quoted as the RFC has it, bare as old clients write it, or `*`.
pub(super) fn not_modified(headers: &HeaderMap, digest: &Digest) -> bool {
    let digest = digest.to_string();
    let matches = |tag: &str| {
        let tag = tag.trim().trim_start_matches("W/");
        tag == "*" || tag.trim_matches('"') == digest
    };
    let values = headers.get_all(http::header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(matches)
}

/// JSON of ours, never with a charset: clients compare the type literally.
pub(super) fn json(media_type: &'static str, body: &serde_json::Value) -> Response {
    let text = body.to_string();
    let mut response = Response::new(axum::body::Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// 400 for a tag that breaks the grammar.
pub(super) fn tag_to_write(text: &str) -> Result<berth_crds::name::TagName, Problem> {
    text.parse().map_err(|reason: berth_crds::name::NameError| {
        Problem::detailed(
            StatusCode::BAD_REQUEST,
            Code::ManifestInvalid,
            reason.to_string(),
            Some(serde_json::json!({ "tag": text })),
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_knows_every_way_clients_write_a_digest() {
        let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let asked = |value: &str| {
            let headers = HeaderMap::from_iter([(http::header::IF_NONE_MATCH, value.parse().unwrap())]);
            not_modified(&headers, &digest)
        };
        for value in [etag(&digest), digest.to_string(), format!("W/{}", etag(&digest)), format!("\"x\", {digest}")] {
            assert!(asked(&value), "{value}");
        }
        assert!(asked("*"));
        assert!(!asked("\"sha256:b\"") && !asked(""));
        assert!(!not_modified(&HeaderMap::new(), &digest));
    }
}
