//! The whole room in process: real storage over memory, real access with three users, requests through every layer.
//! One file per endpoint, each with tables of good and bad input.

#![allow(clippy::unwrap_used)]

mod base;
mod blobs;
mod bodies;
mod catalog;
mod manifests;
mod referrers;
mod tags;
mod uploads;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_crds::access::{Memberships, Permission, Place, Role};
use berth_crds::configuration::{Configuration, RepositoryEntry, Source};
use berth_crds::digest::{Algorithm, Digest};
use berth_crds::kinds::{Access as Openness, DeletionPolicy, Indexes, Protection, TagRule, Visibility};
use berth_crds::name::RepositoryName;
use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::*;
use crate::auth::authority::{Authenticated, AuthenticationError, Authority, AuthorityError, Credential};
use crate::auth::{self, Access, Clock, Keys, User};
use crate::configuration::{Current, Loaded};
use crate::metrics;
use crate::oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use crate::storage::{Settings, Storage};
use crate::store::memory::MemoryStore;

/// Members of `team-a` by name; the password is the name. `guest` is a user without any role.
const MEMBERS: [(&str, Option<Role>); 4] = [
    ("reporter", Some(Role::Reporter)),
    ("developer", Some(Role::Developer)),
    ("maintainer", Some(Role::Maintainer)),
    ("guest", None),
];

#[derive(Debug)]
struct Members;

impl Members {
    fn roles_of(name: &str) -> Option<Memberships> {
        let (_, role) = MEMBERS.iter().find(|(member, _)| *member == name)?;
        Some(Memberships::new(role.map(|role| (Place::Namespace("team-a".to_owned()), role))))
    }
}

#[async_trait]
impl Authority for Members {
    async fn authenticate(&self, credential: Credential<'_>) -> Result<Authenticated, AuthenticationError> {
        match credential.name {
            Some(name) if name == credential.secret && Self::roles_of(name).is_some() => {
                Ok(Authenticated { user: User { name: name.to_owned(), ..User::default() }, expires: None })
            }
            _ => Err(AuthenticationError::Refused),
        }
    }

    async fn stands(&self, user: &User) -> Result<bool, AuthorityError> {
        Ok(Self::roles_of(&user.name).is_some())
    }

    async fn may(&self, user: &User, at: &RepositoryName, permission: Permission) -> Result<bool, AuthorityError> {
        Ok(Self::roles_of(&user.name).is_some_and(|roles| roles.may(at, permission)))
    }

    async fn may_in_namespace(&self, user: &User, at: &str, permission: Permission) -> Result<bool, AuthorityError> {
        Ok(Self::roles_of(&user.name).is_some_and(|roles| roles.may_in_namespace(at, permission)))
    }
}

/// A registry in process.
struct Bed {
    router: Router,
    storage: Storage,
    store: MemoryStore,
    tasks: TaskTracker,
}

impl Bed {
    /// `team-a/shop` is private and has a protected and an immutable tag rule, `team-a/open` is public, `team-a/strict`
    /// wants whole indexes.
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let store = MemoryStore::new();
        let clock = Clock::system();
        let keys = Arc::new(Keys::open(Arc::new(store.clone()), clock.clone()).await.unwrap());
        let storage = Storage::new(Arc::new(store.clone()), settings);
        let configuration = Current::new(Loaded::of(configuration())).unwrap();
        let rules = auth::Settings {
            service: "registry.berth.dev".parse().unwrap(),
            token_ttl: jiff::SignedDuration::from_mins(5),
            session_ttl: jiff::SignedDuration::from_hours(24),
            trusted_proxies: "".parse().unwrap(),
            tls: false,
        };
        let access = Arc::new(Access::new(rules, keys, configuration.document(), Arc::new(Members), clock));
        let tasks = TaskTracker::new();
        let api = Api { storage: storage.clone(), access: Arc::clone(&access), configuration, tasks: tasks.clone() };
        let http = HttpMetrics::register(&mut metrics::registry());
        let beside = auth::token_router(access).route("/panic", axum::routing::get(panics));
        Self { router: router(api, beside, http), storage, store, tasks }
    }

    /// Sends a request as `developer`, who may push to `team-a`.
    async fn send(&self, request: Asking) -> Answered {
        let response = self.router.clone().oneshot(request.request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answered { status: parts.status, headers: parts.headers, bytes }
    }

    /// Pushes a blob at once and names its digest.
    async fn push_blob(&self, image: &str, content: &[u8]) -> Digest {
        let digest = sha256(content);
        let path = format!("/v2/{image}/blobs/uploads/?digest={digest}");
        let answer = self.send(post(&path).body(content.to_vec())).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        digest
    }

    /// Pushes an image with a config and a layer of its own under a tag, and gives its bytes and digest.
    async fn push_image(&self, image: &str, tag: &str, salt: &str) -> (Vec<u8>, Digest) {
        let config = format!("{{\"salt\":\"{salt}\"}}").into_bytes();
        let layer = format!("layer of {salt}").into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        self.push_blob(image, &config).await;
        self.push_blob(image, &layer).await;
        let bytes = manifest.to_string().into_bytes();
        let answer = self.push_manifest(image, tag, OCI_MANIFEST, &bytes).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let digest = sha256(&bytes);
        (bytes, digest)
    }

    async fn push_manifest(&self, image: &str, reference: &str, media_type: &str, bytes: &[u8]) -> Answered {
        let path = format!("/v2/{image}/manifests/{reference}");
        self.send(put(&path).header("content-type", media_type).body(bytes.to_vec())).await
    }

    /// Whether a request has got as far as the storage and no further.
    fn under_way(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// How many objects the store holds, keys of the replica aside.
    fn objects(&self) -> usize {
        self.store.snapshot().keys().filter(|key| !key.starts_with("meta/")).count()
    }
}

async fn panics() -> &'static str {
    panic!("a mistake of ours")
}

fn configuration() -> Configuration {
    let entry = |visibility, indexes, tags: Vec<TagRule>| RepositoryEntry {
        source: Source::default(),
        namespace_uid: None,
        adopt: false,
        labels: BTreeMap::new(),
        visibility,
        access: Openness::Enabled,
        decided_by: Vec::new(),
        overruled: Vec::new(),
        tags,
        quota: None,
        indexes,
        undo_window: None,
        deploy_tokens: Vec::new(),
        deletion_policy: DeletionPolicy::Retain,
        governed_by: None,
    };
    let rule =
        |name: &str, pattern: &str, rule| TagRule { name: name.to_owned(), matching: vec![pattern.to_owned()], rule };
    let rules =
        vec![rule("releases", "^v[0-9]", Protection::Immutable), rule("trunk", "^main$", Protection::Protected)];
    let repositories = [
        ("team-a/shop", entry(Visibility::Private, Indexes::Lenient, rules)),
        ("team-a/open", entry(Visibility::Public, Indexes::Lenient, Vec::new())),
        ("team-a/strict", entry(Visibility::Private, Indexes::Strict, Vec::new())),
    ];
    let named = repositories.into_iter().map(|(name, entry)| (name.parse().unwrap(), entry));
    Configuration::new(named.collect(), BTreeMap::new())
}

/// A request in the making, by `developer` unless said otherwise.
struct Asking {
    request: Request<Body>,
}

fn ask(method: Method, path: &str) -> Asking {
    let request = Request::builder().method(method).uri(path).header("host", "registry.test").body(Body::empty());
    Asking { request: request.unwrap() }.by("developer")
}

fn get(path: &str) -> Asking {
    ask(Method::GET, path)
}

fn head(path: &str) -> Asking {
    ask(Method::HEAD, path)
}

fn post(path: &str) -> Asking {
    ask(Method::POST, path)
}

fn put(path: &str) -> Asking {
    ask(Method::PUT, path)
}

fn patch(path: &str) -> Asking {
    ask(Method::PATCH, path)
}

fn delete(path: &str) -> Asking {
    ask(Method::DELETE, path)
}

impl Asking {
    fn by(self, name: &str) -> Self {
        self.header("authorization", &format!("Basic {}", STANDARD.encode(format!("{name}:{name}"))))
    }

    fn by_nobody(mut self) -> Self {
        self.request.headers_mut().remove(AUTHORIZATION);
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.request.headers_mut().insert(name, value.parse().unwrap());
        self
    }

    /// A body with its length, as most clients send it.
    fn body(self, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let length = bytes.len().to_string();
        self.header("content-length", &length).stream(vec![Ok(bytes)])
    }

    /// A body in pieces, possibly broken.
    fn stream(mut self, pieces: Vec<Result<Vec<u8>, std::io::Error>>) -> Self {
        *self.request.body_mut() = Body::from_stream(futures::stream::iter(pieces));
        self
    }
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Answered {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    /// Status, code and message of the first error; panics when the answer is not shaped as errors have to be.
    fn error(&self) -> (u16, String, String) {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        let body = self.json();
        let first = &body["errors"][0];
        let text = |key: &str| first[key].as_str().unwrap().to_owned();
        (self.status.as_u16(), text("code"), text("message"))
    }

    #[track_caller]
    fn assert_error(&self, status: u16, code: &str, message: &str) {
        let (actual_status, actual_code, actual_message) = self.error();
        assert_eq!((actual_status, actual_code.as_str()), (status, code), "{actual_message}");
        assert!(actual_message.contains(message), "{actual_message:?} lacks {message:?}");
    }

    fn location(&self) -> String {
        let location = self.headers[LOCATION].to_str().unwrap().to_owned();
        assert!(location.starts_with("/v2/"), "relative to the origin: {location}");
        location
    }
}

fn sha256(content: &[u8]) -> Digest {
    use sha2::Digest as _;
    Digest::new(Algorithm::Sha256, data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(content))).unwrap()
}

fn sha512(content: &[u8]) -> Digest {
    use sha2::Digest as _;
    Digest::new(Algorithm::Sha512, data_encoding::HEXLOWER.encode(&sha2::Sha512::digest(content))).unwrap()
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": sha256(content), "size": content.len() })
}
