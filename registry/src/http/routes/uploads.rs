//! `/v2/<name>/blobs/uploads/`: begin, continue, close and cancel uploads, and mount (distribution-spec end-4 to
//! end-6, end-11, end-13, end-14).
//!
//! A session lives in the token of its Location, not in this process: every replica can go on with it.

use axum::body::Body;
use axum::response::Response;
use berth_crds::access::Action;
use berth_crds::digest::{Algorithm, Digest};
use berth_crds::name::ImageName;
use http::header::{LOCATION, RANGE};
use http::{HeaderName, StatusCode};

use crate::auth::{Caller, Upload};
use crate::http::api::{self, Api, Asked};
use crate::http::body;
use crate::http::error::{Code, Problem};
use crate::http::range;
use crate::storage::{ChunkRange, UploadError, UploadState};

/// Names the session.
const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// POST: a new session, a whole blob at once (`?digest=`), or a blob taken from another image (`?mount=`).
pub(in crate::http) async fn begin(api: &Api, asked: &Asked, body: Body) -> Result<Response, Problem> {
    if asked.query.has("mount") {
        return mount(api, asked).await;
    }
    let caller = api.permit(&asked.parts, &asked.image, &Action::Push).await?;
    let Some(digest) = asked.query.get("digest") else { return fresh(api, asked, &caller) };
    let digest = api::digest_to_write(digest)?;
    let upload = api.access.begin_upload(api.storage.begin_upload(Some(digest.algorithm())));
    close(api, asked, &caller, upload, digest, body).await
}

/// PATCH: more bytes.
pub(in crate::http) async fn append(api: &Api, asked: &Asked, session: &str, body: Body) -> Result<Response, Problem> {
    let (caller, upload) = resume(api, asked, session).await?;
    let (range, declared) = chunk(asked)?;
    let (storage, image, state) = (api.storage.clone(), asked.image.clone(), upload.state.clone());
    let body = body::incoming(body);
    let appended = api.to_the_end(async move { storage.append(&image, state, range, declared, body).await }).await?;
    match appended {
        Ok(state) => located(api, &asked.image, &caller, &upload.advanced_to(state), StatusCode::ACCEPTED),
        Err(cause) => Err(failed(api, &asked.image, &caller, &upload, cause)),
    }
}

/// PUT: the last bytes, if any, and the digest that closes the session.
pub(in crate::http) async fn finish(api: &Api, asked: &Asked, session: &str, body: Body) -> Result<Response, Problem> {
    let (caller, upload) = resume(api, asked, session).await?;
    let digest = api::digest_to_write(asked.query.get("digest").unwrap_or_default())?;
    close(api, asked, &caller, upload, digest, body).await
}

/// GET and HEAD: where the session stands; also asked with an older Location, and with the digest of a failed close.
pub(in crate::http) async fn status(api: &Api, asked: &Asked, session: &str) -> Result<Response, Problem> {
    let (caller, upload) = resume(api, asked, session).await?;
    let state = api.storage.upload_status(&asked.image, upload.state.clone()).await?;
    located(api, &asked.image, &caller, &upload.advanced_to(state), StatusCode::NO_CONTENT)
}

/// DELETE: gives the session up. Needs the right to push, not to delete: clients cancel what they do not need.
pub(in crate::http) async fn cancel(api: &Api, asked: &Asked, session: &str) -> Result<Response, Problem> {
    let (_, upload) = resume(api, asked, session).await?;
    let (storage, image) = (api.storage.clone(), asked.image.clone());
    api.to_the_end(async move { storage.cancel_upload(&image, upload.state).await }).await??;
    Ok(api::empty(StatusCode::NO_CONTENT))
}

/// A refused or impossible mount becomes an upload, never an error (protocol rule R2): containerd gives the whole
/// push up on 403 and 404.
async fn mount(api: &Api, asked: &Asked) -> Result<Response, Problem> {
    let named = asked.query.get("from");
    let from: Option<ImageName> = named.and_then(|name| name.parse().ok());
    let caller = api.access.authorize_mount(&asked.parts, &asked.image, from.as_ref()).await?;
    api::identified(&asked.parts, &caller);
    api.refuse_while_waiting()?;
    let digest: Option<Digest> = asked.query.get("mount").and_then(|digest| digest.parse().ok());
    // A source that cannot exist here (another registry's) is not the same as naming none.
    let elsewhere = named.is_some() && from.is_none();
    if let Some(digest) = digest
        && !elsewhere
    {
        let sources = sources(api, asked, &caller, from.as_ref(), &digest).await?;
        let (storage, image) = (api.storage.clone(), asked.image.clone());
        let mounted = api.to_the_end(async move { storage.mount(&image, &digest, &sources).await }).await??;
        if let Some(blob) = mounted {
            return Ok(api::created(&blob_path(&asked.image, &blob.digest), &blob.digest));
        }
    }
    fresh(api, asked, &caller)
}

/// Images to take the blob from. One that names no source looks only where the caller's own token points: looking
/// everywhere would tell by its time that somebody has the blob (amendment R11), which `--global-dedup` accepts.
async fn sources(
    api: &Api,
    asked: &Asked,
    caller: &Caller,
    from: Option<&ImageName>,
    digest: &Digest,
) -> Result<Vec<ImageName>, Problem> {
    let mut sources = api.access.mount_sources(caller, &asked.image, from).await.unwrap_or_default();
    if from.is_none() && api.storage.settings().global_dedup {
        for image in api.storage.images_with_blob(digest).await? {
            if !sources.contains(&image) && api.access.readable(caller, &image).await.unwrap_or_default() {
                sources.push(image);
            }
        }
    }
    Ok(sources)
}

/// A new session. Nothing is written before its first byte: clients begin sessions just to see whether they may.
fn fresh(api: &Api, asked: &Asked, caller: &Caller) -> Result<Response, Problem> {
    let algorithm = asked.query.get("digest-algorithm").map(algorithm).transpose()?;
    let upload = api.access.begin_upload(api.storage.begin_upload(algorithm));
    located(api, &asked.image, caller, &upload, StatusCode::ACCEPTED)
}

async fn close(
    api: &Api,
    asked: &Asked,
    caller: &Caller,
    upload: Upload,
    digest: Digest,
    body: Body,
) -> Result<Response, Problem> {
    let (range, declared) = chunk(asked)?;
    let (storage, image, state) = (api.storage.clone(), asked.image.clone(), upload.state.clone());
    let body = body::incoming(body);
    let closing = async move { storage.finish(&image, state, range, declared, body, &digest).await };
    match api.to_the_end(closing).await? {
        Ok(blob) => Ok(api::created(&blob_path(&asked.image, &blob.digest), &blob.digest)),
        Err(cause) => Err(failed(api, &asked.image, caller, &upload, cause)),
    }
}

/// Who goes on with which session. A Location that was cut or changed is an unknown session.
async fn resume(api: &Api, asked: &Asked, session: &str) -> Result<(Caller, Upload), Problem> {
    let sealed = asked.query.get("s").unwrap_or_default();
    let (caller, upload) = api.access.authorize_upload(&asked.parts, &asked.image, session, sealed).await?;
    api::identified(&asked.parts, &caller);
    api.refuse_while_waiting()?;
    Ok((caller, upload))
}

/// Where the chunk says it belongs, and how long it says it is.
fn chunk(asked: &Asked) -> Result<(Option<ChunkRange>, Option<u64>), Problem> {
    let range = range::chunk(&asked.parts.headers)
        .map_err(|reason| Problem::new(StatusCode::BAD_REQUEST, Code::BlobUploadInvalid, reason))?;
    let declared = body::declared_length(&asked.parts.headers);
    if let (Some(range), Some(declared)) = (range, declared)
        && (range.last - range.first).checked_add(1) != Some(declared)
    {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            Code::SizeInvalid,
            format!(
                "the Content-Range {}-{} does not have the {declared} bytes that the Content-Length says",
                range.first, range.last
            ),
        ));
    }
    Ok((range, declared))
}

/// A chunk out of order keeps the session usable, and says where it stands so that nobody has to ask.
fn failed(api: &Api, image: &ImageName, caller: &Caller, upload: &Upload, cause: UploadError) -> Problem {
    let UploadError::OutOfOrder(newest) = &cause else { return cause.into() };
    let upload = upload.advanced_to(UploadState::clone(newest));
    let place = match located(api, image, caller, &upload, StatusCode::ACCEPTED) {
        Ok(place) => place,
        Err(problem) => return problem,
    };
    let mut problem = Problem::from(cause);
    for name in [LOCATION, RANGE, DOCKER_UPLOAD_UUID] {
        if let Some(value) = place.headers().get(&name) {
            problem = problem.with(name, value.clone());
        }
    }
    problem
}

/// An answer that says where the session goes on and how far it is.
fn located(
    api: &Api,
    image: &ImageName,
    caller: &Caller,
    upload: &Upload,
    status: StatusCode,
) -> Result<Response, Problem> {
    let sealed = api.access.seal_upload(caller, image, upload)?;
    let state = &upload.state;
    let mut response = api::empty(status);
    let headers = response.headers_mut();
    api::put(headers, LOCATION, format!("/v2/{image}/blobs/uploads/{}?s={sealed}", state.session));
    // Nothing received is 0-0 too: docker cannot read an end before its beginning.
    api::put(headers, RANGE, format!("0-{}", state.offset.saturating_sub(1)));
    api::put(headers, DOCKER_UPLOAD_UUID, &state.session);
    Ok(response)
}

fn algorithm(text: &str) -> Result<Algorithm, Problem> {
    text.parse().map_err(|reason| Problem::digest_invalid(text, &reason))
}

fn blob_path(image: &ImageName, digest: &Digest) -> String {
    format!("/v2/{image}/blobs/{digest}")
}
