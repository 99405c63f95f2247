//! `/v2/<name>/blobs/<digest>`: read, check and delete blobs (distribution-spec end-2, end-10).

use axum::body::Body;
use axum::response::Response;
use berth_crds::access::{Action, Guard};
use berth_crds::digest::Digest;
use futures::StreamExt as _;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::http::api::{self, Api, Asked, DOCKER_CONTENT_DIGEST};
use crate::http::error::Problem;
use crate::http::range::{self, Wanted};
use crate::storage::{BlobError, BlobReader};
use crate::store::ByteRange;

/// HEAD: always answered here, with the exact length (protocol rule R6).
pub(in crate::http) async fn head(api: &Api, asked: &Asked, digest: &str) -> Result<Response, Problem> {
    let digest = permitted_digest(api, asked, digest).await?;
    let size = size_of(api, asked, &digest).await?;
    Ok(without_body(asked, &digest, size))
}

/// GET: the whole blob, or the one range asked for.
pub(in crate::http) async fn get(api: &Api, asked: &Asked, digest: &str) -> Result<Response, Problem> {
    let digest = permitted_digest(api, asked, digest).await?;
    if api::not_modified(&asked.parts.headers, &digest) {
        let size = size_of(api, asked, &digest).await?;
        return Ok(without_body(asked, &digest, size));
    }
    let range = match range::wanted(&asked.parts.headers, &api::etag(&digest)) {
        Wanted::Whole => None,
        Wanted::Part(range) => Some(range),
        Wanted::Impossible => return Err(Problem::range(size_of(api, asked, &digest).await?)),
    };
    let reader = api.storage.get_blob(&asked.image, &digest, range).await.map_err(|cause| named(cause, &digest))?;
    Ok(with_body(&digest, reader, range.is_some()))
}

/// DELETE: from this image only.
pub(in crate::http) async fn delete(api: &Api, asked: &Asked, digest: &str) -> Result<Response, Problem> {
    api.permit(&asked.parts, &asked.image, &Action::DeleteOne { guard: Guard::default() }).await?;
    let digest = api::digest_to_read(digest, Problem::blob_unknown)?;
    let (storage, image, target) = (api.storage.clone(), asked.image.clone(), digest.clone());
    let deleted = api.to_the_end(async move { storage.delete_blob(&image, &target).await }).await?;
    deleted.map_err(|cause| named(cause, &digest))?;
    Ok(api::empty(StatusCode::ACCEPTED))
}

async fn permitted_digest(api: &Api, asked: &Asked, digest: &str) -> Result<Digest, Problem> {
    api.permit(&asked.parts, &asked.image, &Action::Pull).await?;
    api::digest_to_read(digest, Problem::blob_unknown)
}

async fn size_of(api: &Api, asked: &Asked, digest: &Digest) -> Result<u64, Problem> {
    api.storage.head_blob(&asked.image, digest).await.map_err(|cause| named(cause, digest))
}

fn named(cause: BlobError, digest: &Digest) -> Problem {
    match cause {
        BlobError::Unknown => Problem::blob_unknown(&digest.to_string()),
        other => other.into(),
    }
}

fn without_body(asked: &Asked, digest: &Digest, size: u64) -> Response {
    let unchanged = api::not_modified(&asked.parts.headers, digest);
    let mut response = api::empty(if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    describe(response.headers_mut(), digest, size);
    response
}

fn with_body(digest: &Digest, reader: BlobReader, asked_for_a_part: bool) -> Response {
    // A range that happens to cover everything is still answered as a range: resuming clients insist on it.
    let range = match reader.range {
        None if asked_for_a_part => ByteRange::new(0, reader.size.saturating_sub(1)),
        range => range,
    };
    let mut response = Response::new(Body::from_stream(reader.body.map(|chunk| {
        // The status is out already: all that is left is to cut the answer short, which its length gives away.
        chunk.inspect_err(|error| tracing::error!(%error, "a blob could not be read to its end"))
    })));
    describe(response.headers_mut(), digest, range.map_or(reader.size, ByteRange::length));
    if let Some(range) = range {
        let value = format!("bytes {}-{}/{}", range.first(), range.last(), reader.size);
        api::put(response.headers_mut(), CONTENT_RANGE, value);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

fn describe(headers: &mut HeaderMap, digest: &Digest, length: u64) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    api::put(headers, ETAG, api::etag(digest));
    api::put(headers, DOCKER_CONTENT_DIGEST, digest.to_string());
}
