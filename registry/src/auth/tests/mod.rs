//! The whole room together, in process: real keys in an in-memory store, a users file, a configuration that is swapped
//! while tokens are held.

#![allow(clippy::unwrap_used)]

mod challenges;
mod decisions;
mod endpoint;
mod identity;
mod keys;
mod passwords;
mod revocation;
mod uploads;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arc_swap::ArcSwap;
use argon2::password_hash::PasswordHasher as _;
use argon2::{Algorithm, Argon2, Params, Version};
use axum::body::Body;
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_crds::access::{Action, Guard};
use berth_crds::configuration::{Configuration, DeployTokenEntry, RepositoryEntry, Source};
use berth_crds::kinds::{Access as Openness, DeletionPolicy, Indexes, Scope as TokenScope, Visibility};
use berth_crds::name::{ImageName, RepositoryName};
use http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tower::ServiceExt as _;

use super::clock::TestClock;
use super::users::Users;
use super::*;
use crate::store::memory::MemoryStore;

pub(super) const SERVICE: &str = "registry.berth.dev";
const HOST_NAME: &str = "registry.example.com";
const READ_TOKEN: &str = "berth_reader00_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const WRITE_TOKEN: &str = "berth_writer00_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// A registry's access room with everything that moves in the hands of the test.
struct Bed {
    time: TestClock,
    store: MemoryStore,
    keys: Arc<Keys>,
    configuration: Arc<ArcSwap<Configuration>>,
    users: Arc<UsersAuthority>,
    access: Arc<Access>,
}

impl Bed {
    /// Repositories of `team-a` in every state, users with every role there, and an outsider.
    async fn new() -> Self {
        Self::with_proxies("").await
    }

    async fn with_proxies(proxies: &str) -> Self {
        let time = TestClock::new();
        let store = MemoryStore::new();
        let keys = Arc::new(Keys::open(Arc::new(store.clone()), time.clock()).await.unwrap());
        let configuration = Arc::new(ArcSwap::from_pointee(configuration(&[
            ("team-a/public", Visibility::Public, Openness::Enabled),
            ("team-a/internal", Visibility::Internal, Openness::Enabled),
            ("team-a/private", Visibility::Private, Openness::Enabled),
            ("team-a/members", Visibility::Public, Openness::MembersOnly),
            ("team-a/disabled", Visibility::Public, Openness::Disabled),
        ])));
        let users = Arc::new(UsersAuthority::new(users(USERS), time.clock()));
        let settings = Settings {
            service: SERVICE.parse().unwrap(),
            token_ttl: SignedDuration::from_mins(5),
            session_ttl: SignedDuration::from_hours(24),
            trusted_proxies: proxies.parse().unwrap(),
            tls: false,
        };
        let access = Access::new(settings, Arc::clone(&keys), Arc::clone(&configuration), users.clone(), time.clock());
        Self { time, store, keys, configuration, users, access: Arc::new(access) }
    }

    /// Changes one repository's entry in the configuration in force.
    fn change(&self, repository: &str, change: impl FnOnce(&mut RepositoryEntry)) {
        let mut changed = Configuration::clone(&self.configuration.load());
        change(changed.repositories.get_mut(&repository.parse().unwrap()).unwrap());
        self.configuration.store(Arc::new(changed));
    }

    fn remove(&self, repository: &str) {
        let mut changed = Configuration::clone(&self.configuration.load());
        changed.repositories.remove(&repository.parse::<RepositoryName>().unwrap()).unwrap();
        self.configuration.store(Arc::new(changed));
    }

    /// A registry token for a credential, or an anonymous one, as a client would get it.
    async fn token(&self, credential: &Credential, scopes: &[&str]) -> String {
        let (status, answer) = self.ask_token(credential, scopes).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    async fn ask_token(&self, credential: &Credential, scopes: &[&str]) -> (StatusCode, Value) {
        let mut query = format!("/token?service={SERVICE}");
        for scope in scopes {
            let encoded: String = url::form_urlencoded::byte_serialize(scope.as_bytes()).collect();
            write!(query, "&scope={encoded}").unwrap();
        }
        let request = credential.add_to(Request::get(query).header(HOST, HOST_NAME)).body(Body::empty()).unwrap();
        self.send(request).await
    }

    /// `POST /token` with a form.
    async fn post_token(&self, form: &[(&str, &str)]) -> (StatusCode, Value) {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::post("/token")
            .header(HOST, HOST_NAME)
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(Body::from(form))
            .unwrap();
        self.send(request).await
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = token_router(Arc::clone(&self.access)).oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    /// What happens to a request, in a few words.
    async fn outcome(&self, credential: &Credential, image: &str, action: &Action) -> String {
        let authorized = self.access.authorize(&request(credential), &image.parse().unwrap(), action).await;
        match authorized {
            Ok(_) => "ok".to_owned(),
            Err(refusal) => outcome_of(refusal).await,
        }
    }

    async fn pull(&self, credential: &Credential, image: &str) -> String {
        self.outcome(credential, image, &Action::Pull).await
    }

    async fn push(&self, credential: &Credential, image: &str) -> String {
        self.outcome(credential, image, &Action::Push).await
    }

    async fn delete(&self, credential: &Credential, image: &str) -> String {
        self.outcome(credential, image, &delete_one()).await
    }
}

fn delete_one() -> Action {
    Action::DeleteOne { guard: Guard::default() }
}

/// `401`, `401 invalid_token`, `401 insufficient_scope`, `403 DENIED`, `404 NAME_UNKNOWN`, …
async fn outcome_of(refusal: Refusal) -> String {
    let Answer { status, challenge, body } = Answer::of(refusal).await;
    let error =
        challenge.as_deref().and_then(|header| header.split("error=\"").nth(1)).map(|rest| rest.trim_matches('"'));
    match (status, error) {
        (StatusCode::UNAUTHORIZED, None) => "401".to_owned(),
        (StatusCode::UNAUTHORIZED, Some(error)) => format!("401 {error}"),
        _ => format!("{} {}", status.as_u16(), body["errors"][0]["code"].as_str().unwrap()),
    }
}

/// A refusal as the client sees it.
struct Answer {
    status: StatusCode,
    challenge: Option<String>,
    body: Value,
}

impl Answer {
    async fn of(refusal: Refusal) -> Self {
        let response = refusal.into_response();
        let status = response.status();
        let challenges: Vec<String> = response
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect();
        assert!(challenges.len() <= 1, "clients read one challenge only: {challenges:?}");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let challenge = challenges.into_iter().next();
        Self { status, challenge, body: serde_json::from_slice(&bytes).unwrap() }
    }
}

/// What a request shows.
#[derive(Clone, Debug)]
enum Credential {
    Nothing,
    Basic(String, String),
    Bearer(String),
}

impl Credential {
    /// A user of [`USERS`], whose password is the name backwards.
    fn user(name: &str) -> Self {
        Self::Basic(name.to_owned(), name.chars().rev().collect())
    }

    fn deploy(token: &str) -> Self {
        Self::Basic("any name".to_owned(), token.to_owned())
    }

    fn bearer(token: impl Into<String>) -> Self {
        Self::Bearer(token.into())
    }

    fn add_to(&self, request: http::request::Builder) -> http::request::Builder {
        match self {
            Self::Nothing => request,
            Self::Basic(name, password) => {
                request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
            }
            Self::Bearer(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
        }
    }
}

/// A request as routes hand it over.
fn request(credential: &Credential) -> Parts {
    let request = Request::builder().method(Method::GET).uri("/v2/").header(HOST, HOST_NAME);
    credential.add_to(request).body(()).unwrap().into_parts().0
}

fn image(path: &str) -> ImageName {
    path.parse().unwrap()
}

/// Users with the roles their names say, everywhere in `team-a`.
const USERS: &[(&str, &[(&str, &str)])] = &[
    ("reporter", &[("team-a", "reporter")]),
    ("developer", &[("team-a", "developer")]),
    ("maintainer", &[("team-a", "maintainer")]),
    ("owner", &[("team-a", "owner")]),
    ("outsider", &[("team-b", "owner")]),
];

/// A users file, with hashes that are quick to check.
fn users(users: &[(&str, &[(&str, &str)])]) -> Users {
    let mut text = "users:\n".to_owned();
    for (name, roles) in users {
        let password: String = name.chars().rev().collect();
        let roles: BTreeMap<&str, &str> = roles.iter().copied().collect();
        let roles = serde_json::to_string(&roles).unwrap();
        writeln!(text, "- {{name: {name}, password: \"{}\", roles: {roles}}}", quick_hash(&password)).unwrap();
    }
    Users::parse(&text).unwrap()
}

pub(super) fn quick_hash(password: &str) -> String {
    let params = Params::new(8, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password(password.as_bytes()).unwrap().to_string()
}

/// Repositories, each with a deploy token for reading and one for writing.
fn configuration(repositories: &[(&str, Visibility, Openness)]) -> Configuration {
    let entries = repositories.iter().map(|(path, visibility, access)| {
        // The tokens of the tests belong to one repository; the others have none.
        let tokens = if *path == "team-a/private" {
            vec![
                deploy_token_entry("reader", READ_TOKEN, &[TokenScope::ReadRegistry], None),
                deploy_token_entry("writer", WRITE_TOKEN, &[TokenScope::WriteRegistry], None),
            ]
        } else {
            Vec::new()
        };
        let entry = RepositoryEntry {
            source: Source::default(),
            namespace_uid: None,
            adopt: false,
            labels: BTreeMap::new(),
            visibility: *visibility,
            access: *access,
            decided_by: Vec::new(),
            overruled: Vec::new(),
            tags: Vec::new(),
            quota: None,
            indexes: Indexes::default(),
            undo_window: None,
            deploy_tokens: tokens,
            deletion_policy: DeletionPolicy::default(),
            governed_by: None,
        };
        (path.parse().unwrap(), entry)
    });
    Configuration::new(entries.collect(), BTreeMap::new())
}

fn deploy_token_entry(
    name: &str,
    token: &str,
    scopes: &[TokenScope],
    expires_at: Option<Timestamp>,
) -> DeployTokenEntry {
    use sha2::Digest as _;
    let sha256 = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(token));
    DeployTokenEntry { name: name.to_owned(), id: sha256[..16].to_owned(), scopes: scopes.to_vec(), expires_at, sha256 }
}
