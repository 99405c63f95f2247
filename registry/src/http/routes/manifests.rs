//! `/v2/<name>/manifests/<tag or digest>`: read, push and delete manifests and tags (distribution-spec end-3, end-7,
//! end-9).

use axum::body::Body;
use axum::response::Response;
use berth_crds::access::{Action, Change, Guard};
use berth_crds::digest::{Algorithm, Digest};
use berth_crds::name::TagName;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::Digest as _;

use crate::auth::Caller;
use crate::http::api::{self, Api, Asked, DOCKER_CONTENT_DIGEST};
use crate::http::error::{Code, Problem};
use crate::http::{body, warning};
use crate::oci::media_type;
use crate::storage::{DeleteError, ManifestPush, Reference, Room, StoredManifest, TagPush};

/// Largest manifest, in bytes: what clients accept as well.
const LIMIT: usize = 4 * 1024 * 1024;
/// Most `tag` parameters of one push.
const TAGS: usize = 100;

/// Names the manifest that a pushed one is now listed under.
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// Names a tag that a push by digest has set.
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// GET: the bytes of the push, with its media type. `Accept` is a hint that changes nothing: one manifest has one
/// form, and a client that cannot read it is told more by the form than by a 404.
pub(in crate::http) async fn get(api: &Api, asked: &Asked, reference: &str) -> Result<Response, Problem> {
    let manifest = find(api, asked, reference).await?;
    if api::not_modified(&asked.parts.headers, &manifest.digest) {
        return Ok(without_body(StatusCode::NOT_MODIFIED, &manifest));
    }
    let mut response = Response::new(Body::from(manifest.bytes.clone()));
    describe(response.headers_mut(), &manifest);
    Ok(response)
}

/// HEAD: always answered here, with the exact length (protocol rule R6).
pub(in crate::http) async fn head(api: &Api, asked: &Asked, reference: &str) -> Result<Response, Problem> {
    let manifest = find(api, asked, reference).await?;
    let unchanged = api::not_modified(&asked.parts.headers, &manifest.digest);
    Ok(without_body(if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK }, &manifest))
}

/// PUT: a manifest under a tag, or under its digest and any number of `tag` parameters.
pub(in crate::http) async fn push(api: &Api, asked: &Asked, reference: &str, body: Body) -> Result<Response, Problem> {
    let caller = api.permit(&asked.parts, &asked.image, &Action::Push).await?;
    let target = reference_to_write(reference)?;
    let named = parameter_tags(asked)?;
    let tag = match &target {
        Reference::Tag(tag) => Some(tag),
        Reference::Digest(_) => None,
    };
    let tags = guarded(api, asked, &caller, tag.into_iter().chain(&named)).await?;
    let (bytes, room) = read(api, asked, body).await?;
    let digest = match target {
        Reference::Digest(digest) => digest,
        Reference::Tag(_) => sha256(&bytes),
    };
    let push = ManifestPush {
        digest,
        media_type: content_type(&asked.parts.headers),
        bytes,
        tags,
        lenient: api.configuration.accepts_missing_children(asked.image.repository()),
    };
    let (storage, image) = (api.storage.clone(), asked.image.clone());
    let push = async move {
        let pushed = storage.push_manifest(&image, push).await;
        drop(room);
        pushed
    };
    let pushed = api.to_the_end(push).await??;

    let mut response = api::created(&format!("/v2/{}/manifests/{}", asked.image, pushed.digest), &pushed.digest);
    let headers = response.headers_mut();
    if let Some(subject) = &pushed.subject {
        api::put(headers, OCI_SUBJECT, subject.to_string());
    }
    for tag in &named {
        if let Ok(value) = HeaderValue::try_from(tag.as_str()) {
            headers.append(OCI_TAG, value);
        }
    }
    let missing = |child: &Digest| format!("the index lists {child}, which is not here: pulling that part will fail");
    warning::add(headers, pushed.missing.iter().map(missing));
    Ok(response)
}

/// DELETE: a tag alone, or by digest a manifest with all of its tags.
pub(in crate::http) async fn delete(api: &Api, asked: &Asked, reference: &str) -> Result<Response, Problem> {
    let caller = api.permit(&asked.parts, &asked.image, &Action::DeleteOne { guard: Guard::default() }).await?;
    let Some(target) = reference_to_read(reference)? else { return Err(Problem::manifest_unknown(reference)) };
    let tags = match &target {
        Reference::Tag(tag) => vec![tag.clone()],
        Reference::Digest(digest) => api.storage.tags_of(&asked.image, digest).await?,
    };
    let guards = tags.iter().map(|tag| api.configuration.guard(asked.image.repository(), tag));
    let guard = guards.fold(Guard::default(), Guard::and);
    if tags.len() > 1 {
        api.access.demand(&caller, &asked.image, &Action::DeleteMany { guard }).await?;
    } else if guard != Guard::default() {
        api.access.demand(&caller, &asked.image, &Action::DeleteOne { guard }).await?;
    }
    let (storage, image) = (api.storage.clone(), asked.image.clone());
    let deleted = api
        .to_the_end(async move {
            match &target {
                Reference::Tag(tag) => storage.delete_tag(&image, tag).await,
                Reference::Digest(digest) => storage.delete_manifest(&image, digest).await,
            }
        })
        .await?;
    match deleted {
        Ok(()) => Ok(api::empty(StatusCode::ACCEPTED)),
        Err(DeleteError::Unknown) => Err(Problem::manifest_unknown(reference)),
        Err(cause) => Err(cause.into()),
    }
}

async fn find(api: &Api, asked: &Asked, reference: &str) -> Result<StoredManifest, Problem> {
    api.permit(&asked.parts, &asked.image, &Action::Pull).await?;
    let unknown = || Problem::manifest_unknown(reference);
    let target = reference_to_read(reference)?.ok_or_else(unknown)?;
    api.storage.get_manifest(&asked.image, &target).await?.ok_or_else(unknown)
}

/// A reference in the path of a read. `None` for what cannot exist: a tag outside the grammar, a digest of an
/// algorithm nobody can push.
fn reference_to_read(text: &str) -> Result<Option<Reference>, Problem> {
    if text.contains(':') {
        return match api::digest_to_read(text, Problem::manifest_unknown) {
            Ok(digest) => Ok(Some(Reference::Digest(digest))),
            Err(problem) => Err(problem),
        };
    }
    Ok(text.parse().ok().map(Reference::Tag))
}

fn reference_to_write(text: &str) -> Result<Reference, Problem> {
    if text.contains(':') {
        api::digest_to_write(text).map(Reference::Digest)
    } else {
        api::tag_to_write(text).map(Reference::Tag)
    }
}

/// The tags that a push by digest is to set as well; one that is invalid refuses them all, before anything is written.
fn parameter_tags(asked: &Asked) -> Result<Vec<TagName>, Problem> {
    let mut tags: Vec<TagName> = Vec::new();
    for text in asked.query.values("tag") {
        let tag = api::tag_to_write(text)?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if tags.len() > TAGS {
        return Err(Problem::new(
            StatusCode::URI_TOO_LONG,
            Code::ManifestInvalid,
            format!(
                "{} tags at once are too many, at most {TAGS}: push the same manifest again with the rest",
                tags.len()
            ),
        ));
    }
    Ok(tags)
}

/// What a push may do to each tag: a protected one needs a further right, an immutable one can only be created, which
/// the storage sees to where it looks at the tag anyway.
async fn guarded(
    api: &Api,
    asked: &Asked,
    caller: &Caller,
    tags: impl Iterator<Item = &TagName>,
) -> Result<Vec<TagPush>, Problem> {
    let mut pushes: Vec<TagPush> = Vec::new();
    for tag in tags {
        if pushes.iter().any(|push| push.name == *tag) {
            continue;
        }
        let guard = api.configuration.guard(asked.image.repository(), tag);
        let immutable = guard.immutable.is_some();
        if guard != Guard::default() {
            let push = Action::PushTag { guard, change: Change::Create };
            api.access.demand(caller, &asked.image, &push).await?;
        }
        pushes.push(TagPush { name: tag.clone(), immutable });
    }
    Ok(pushes)
}

/// The body, once there is memory for it: many pushes at once wait, as those of blobs do.
async fn read(api: &Api, asked: &Asked, body: Body) -> Result<(Bytes, Room), Problem> {
    let too_large = || Problem::manifest_too_large(LIMIT);
    let declared = body::declared_length(&asked.parts.headers);
    let most = declared.map_or(Some(LIMIT), |length| usize::try_from(length).ok().filter(|length| *length <= LIMIT));
    let room = api.storage.reserve(most.ok_or_else(too_large)?).await;
    let bytes = body::read(body, LIMIT).await.map_err(|cause| Problem::manifest_cut(&cause))?;
    Ok((bytes.ok_or_else(too_large)?, room))
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type::essence(value.unwrap_or_default())
}

fn sha256(bytes: &[u8]) -> Digest {
    let hex = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes));
    Digest::new(Algorithm::Sha256, hex).expect("SHA-256 has 64 hexadecimal characters")
}

fn without_body(status: StatusCode, manifest: &StoredManifest) -> Response {
    let mut response = api::empty(status);
    describe(response.headers_mut(), manifest);
    response
}

fn describe(headers: &mut HeaderMap, manifest: &StoredManifest) {
    api::put(headers, CONTENT_TYPE, &manifest.media_type);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(manifest.bytes.len()));
    api::put(headers, ETAG, api::etag(&manifest.digest));
    api::put(headers, DOCKER_CONTENT_DIGEST, manifest.digest.to_string());
}
