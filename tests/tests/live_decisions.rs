//! A token proves who and bounds what; what is allowed is decided anew on every request.
//!
//! Credentials are held while visibility flips, roles go, users and deploy tokens are revoked, and every route is asked
//! again with the very same credential. Nothing waits: what is in force is swapped between two requests.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use berth_crds::configuration::{Configuration, DeployTokenEntry, RepositoryEntry, Source};
use berth_crds::kinds::{Access as Openness, DeletionPolicy, Indexes, Scope, Visibility};
use berth_registry::auth::users::{self, Users};
use berth_registry::auth::{Access, Clock, Keys, Settings, TrustedProxies, UsersAuthority, deploy_token, token_router};
use berth_registry::configuration::{Current, Loaded};
use berth_registry::http::{self as registry_http, Api};
use berth_registry::metrics::{self, HttpMetrics};
use berth_registry::storage::{self, Storage};
use berth_registry::store::memory::MemoryStore;
use berth_tests::images::Image;
use bytes::Bytes;
use jiff::SignedDuration;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};
use tokio_util::task::TaskTracker;

/// The repository everything happens in. Each round of requests has an image of its own below it.
const REPOSITORY: &str = "team-a/shop";
const ROUNDS: usize = 12;

/// What a route does, as far as rights go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Delete,
}

/// One request of the Distribution API, and the statuses it has when it is allowed.
struct Route {
    name: &'static str,
    kind: Kind,
    method: Method,
    path: String,
    media_type: &'static str,
    body: Bytes,
    allowed: StatusCode,
}

/// Content of one round's image, and sessions begun while that was allowed.
struct Prepared {
    path: String,
    image: Image,
    /// Locations of open uploads.
    uploads: Vec<String>,
}

/// A registry whose configuration and users are in the test's hands.
struct World {
    base: String,
    client: reqwest::Client,
    current: Current,
    users: Arc<UsersAuthority>,
    hash: String,
    deploy_token: String,
    deploy_token_entry: DeployTokenEntry,
}

/// What a request shows: the value of `Authorization`.
type Held = Option<String>;

const PASSWORD: &str = "correct horse";

impl World {
    async fn start() -> Self {
        let hash = users::hash_password(PASSWORD).unwrap();
        let made = deploy_token::generate();
        let deploy_token_entry = DeployTokenEntry {
            name: "ci".to_owned(),
            id: made.sha256[..16].to_owned(),
            scopes: vec![Scope::WriteRegistry],
            expires_at: None,
            sha256: made.sha256,
        };
        let configuration = configuration(Visibility::Private, Openness::Enabled, vec![deploy_token_entry.clone()]);
        let current = Current::new(Loaded::of(configuration)).unwrap();
        let clock = Clock::system();
        let users = Arc::new(UsersAuthority::new(users_with(&hash, Some("developer")), clock.clone()));

        let store = Arc::new(MemoryStore::new());
        let keys = Arc::new(Keys::open(store.clone(), clock.clone()).await.unwrap());
        let settings = Settings {
            service: "registry.berth.dev".parse().unwrap(),
            token_ttl: SignedDuration::from_mins(5),
            session_ttl: SignedDuration::from_hours(24),
            trusted_proxies: TrustedProxies::default(),
            tls: false,
        };
        let access = Arc::new(Access::new(settings, keys, current.document(), users.clone(), clock));
        let api = Api {
            storage: Storage::new(store, storage::Settings::default()),
            access: Arc::clone(&access),
            configuration: current.clone(),
            tasks: TaskTracker::new(),
        };
        let router = registry_http::router(api, token_router(access), HttpMetrics::register(&mut metrics::registry()));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = registry_http::server::Server::start(address, router).await.unwrap();
        let base = format!("http://{}", server.address());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { base, client, current, users, hash, deploy_token: made.token, deploy_token_entry }
    }

    fn configure(&self, visibility: Visibility, access: Openness) {
        let tokens = vec![self.deploy_token_entry.clone()];
        self.current.document().store(Arc::new(configuration(visibility, access, tokens)));
    }

    fn revoke_deploy_tokens(&self) {
        let document = configuration(Visibility::Private, Openness::Enabled, Vec::new());
        self.current.document().store(Arc::new(document));
    }

    /// Gives `member` this role, none, or (`remove_member`) no entry at all. The password stays the same.
    fn give_member(&self, role: Option<&str>) {
        self.users.replace(users_with(&self.hash, role));
    }

    fn remove_member(&self) {
        let text = format!("users: [{{name: owner, password: \"{}\", roles: {{team-a: owner}}}}]", self.hash);
        self.users.replace(Users::parse(&text).unwrap());
    }

    /// A registry token of a login (or of nobody) for every round's image and the catalog.
    async fn token(&self, login: Option<(&str, &str)>) -> Held {
        let mut request = self.client.get(format!("{}/token", self.base)).query(&[("scope", "registry:catalog:*")]);
        for round in 0..ROUNDS {
            request = request.query(&[("scope", format!("repository:{REPOSITORY}/r{round}:*"))]);
        }
        if let Some((name, password)) = login {
            request = request.basic_auth(name, Some(password));
        }
        let answer: serde_json::Value = request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
        Some(format!("Bearer {}", answer["token"].as_str().unwrap()))
    }

    /// Content for a round, pushed by the owner, and open uploads begun by `holder` or, where it may not, by the owner.
    async fn prepare(&self, round: usize, holder: &Held) -> anyhow::Result<Prepared> {
        let path = format!("{REPOSITORY}/r{round}");
        let image = Image::small(round as u64, 1);
        let owner = basic("owner", PASSWORD);
        for blob in image.blobs() {
            let uri = format!("/v2/{path}/blobs/uploads/?digest={}", blob.digest);
            let pushed = self.send(&owner, Method::POST, &uri, "application/octet-stream", blob.bytes.clone()).await?;
            anyhow::ensure!(pushed.status() == StatusCode::CREATED, "{uri}: {}", pushed.status());
        }
        for tag in ["one", "two"] {
            let uri = format!("/v2/{path}/manifests/{tag}");
            let (media_type, bytes) = (image.manifest.media_type.clone(), image.manifest.bytes.clone());
            let pushed = self.send(&owner, Method::PUT, &uri, &media_type, bytes).await?;
            anyhow::ensure!(pushed.status() == StatusCode::CREATED, "{uri}: {}", pushed.status());
        }
        let mut uploads = Vec::new();
        for _ in 0..4 {
            let uri = format!("/v2/{path}/blobs/uploads/");
            let mut begun = self.send(holder, Method::POST, &uri, "", Bytes::new()).await?;
            if begun.status() != StatusCode::ACCEPTED {
                begun = self.send(&owner, Method::POST, &uri, "", Bytes::new()).await?;
            }
            let location = begun.headers().get(LOCATION).context("no Location")?;
            uploads.push(location.to_str()?.to_owned());
        }
        Ok(Prepared { path, image, uploads })
    }

    async fn send(
        &self,
        held: &Held,
        method: Method,
        path: &str,
        media_type: &str,
        body: Bytes,
    ) -> reqwest::Result<reqwest::Response> {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).body(body);
        if !media_type.is_empty() {
            request = request.header(CONTENT_TYPE, media_type);
        }
        if let Some(held) = held {
            request = request.header(AUTHORIZATION, held);
        }
        request.send().await
    }

    /// Asks every route, and compares what happens with what each kind of route shall get.
    async fn every_route(&self, when: &str, held: &Held, prepared: &Prepared, expected: impl Fn(Kind) -> Expected) {
        let mut mistakes = Vec::new();
        for route in routes(prepared) {
            let sent = self.send(held, route.method.clone(), &route.path, route.media_type, route.body.clone()).await;
            let answer = sent.unwrap();
            let seen = Seen::of(&answer);
            let expected = match expected(route.kind) {
                Expected::Allowed => Seen { status: route.allowed, error: None },
                Expected::Challenge => Seen { status: StatusCode::UNAUTHORIZED, error: None },
                Expected::InvalidToken => Seen::challenged("invalid_token"),
                Expected::InsufficientScope => Seen::challenged("insufficient_scope"),
                Expected::Denied => Seen { status: StatusCode::FORBIDDEN, error: None },
            };
            if seen != expected {
                let body = answer.text().await.unwrap();
                mistakes.push(format!("{}: {seen:?} instead of {expected:?} {body}", route.name));
            }
        }
        assert!(mistakes.is_empty(), "{when}:\n{}", mistakes.join("\n"));
    }

    /// The images that the catalog shows, or what happened instead.
    async fn catalog(&self, held: &Held) -> Result<usize, Seen> {
        let answer = self.send(held, Method::GET, "/v2/_catalog", "", Bytes::new()).await.unwrap();
        if answer.status() != StatusCode::OK {
            return Err(Seen::of(&answer));
        }
        let page: serde_json::Value = answer.json().await.unwrap();
        Ok(page["repositories"].as_array().unwrap().len())
    }

    async fn ping(&self, held: &Held) -> Seen {
        Seen::of(&self.send(held, Method::GET, "/v2/", "", Bytes::new()).await.unwrap())
    }
}

/// What a kind of route shall get.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Allowed,
    /// 401 to somebody who showed nothing.
    Challenge,
    InvalidToken,
    InsufficientScope,
    Denied,
}

/// What a route got: the status and the error of its challenge.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: StatusCode,
    error: Option<String>,
}

impl Seen {
    fn of(answer: &reqwest::Response) -> Self {
        let challenge = answer.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let error = challenge.and_then(|value| value.split_once("error=\"")).map(|(_, rest)| rest.trim_matches('"'));
        Self { status: answer.status(), error: error.map(str::to_owned) }
    }

    fn challenged(error: &str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, error: Some(error.to_owned()) }
    }
}

fn basic(name: &str, password: &str) -> Held {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    Some(format!("Basic {encoded}"))
}

fn users_with(hash: &str, member: Option<&str>) -> Users {
    let roles: BTreeMap<&str, &str> = member.map(|role| ("team-a", role)).into_iter().collect();
    let users = serde_json::json!({ "users": [
        { "name": "owner", "password": hash, "roles": { "team-a": "owner" } },
        { "name": "member", "password": hash, "roles": roles },
        { "name": "outsider", "password": hash, "roles": { "team-b": "owner" } },
    ]});
    Users::parse(&users.to_string()).unwrap()
}

fn configuration(visibility: Visibility, access: Openness, deploy_tokens: Vec<DeployTokenEntry>) -> Configuration {
    let entry = RepositoryEntry {
        source: Source::default(),
        namespace_uid: None,
        adopt: false,
        labels: BTreeMap::new(),
        visibility,
        access,
        decided_by: Vec::new(),
        overruled: Vec::new(),
        tags: Vec::new(),
        quota: None,
        indexes: Indexes::default(),
        undo_window: None,
        deploy_tokens,
        deletion_policy: DeletionPolicy::default(),
        governed_by: None,
    };
    Configuration::new(BTreeMap::from([(REPOSITORY.parse().unwrap(), entry)]), BTreeMap::new())
}

/// Every route of an image, those that destroy what others need last.
fn routes(prepared: &Prepared) -> Vec<Route> {
    let Prepared { path, image, uploads } = prepared;
    let manifest = &image.manifest;
    let blob = image.blobs().next().unwrap();
    let base = format!("/v2/{path}");
    let with_query = |location: &str, query: &str| format!("{location}&{query}");
    let mut routes = Vec::new();
    let mut add = |name, kind, method, path: String, media_type, body: &Bytes, allowed: u16| {
        let allowed = StatusCode::from_u16(allowed).unwrap();
        routes.push(Route { name, kind, method, path, media_type, body: body.clone(), allowed });
    };
    let nothing = Bytes::new();
    let binary = "application/octet-stream";
    let oci = "application/vnd.oci.image.manifest.v1+json";
    let (by_tag, by_digest) = (format!("{base}/manifests/one"), format!("{base}/manifests/{}", manifest.digest));
    let blob_path = format!("{base}/blobs/{}", blob.digest);
    let begin = format!("{base}/blobs/uploads/");

    use Kind::{Delete, Read, Write};
    add("HEAD manifest by tag", Read, Method::HEAD, by_tag.clone(), "", &nothing, 200);
    add("GET manifest by tag", Read, Method::GET, by_tag.clone(), "", &nothing, 200);
    add("HEAD manifest by digest", Read, Method::HEAD, by_digest.clone(), "", &nothing, 200);
    add("GET manifest by digest", Read, Method::GET, by_digest.clone(), "", &nothing, 200);
    add("HEAD blob", Read, Method::HEAD, blob_path.clone(), "", &nothing, 200);
    add("GET blob", Read, Method::GET, blob_path.clone(), "", &nothing, 200);
    add("GET tags", Read, Method::GET, format!("{base}/tags/list"), "", &nothing, 200);
    add("GET referrers", Read, Method::GET, format!("{base}/referrers/{}", manifest.digest), "", &nothing, 200);

    add("POST upload", Write, Method::POST, begin.clone(), "", &nothing, 202);
    let whole = format!("{begin}?digest={}", blob.digest);
    add("POST upload with the whole blob", Write, Method::POST, whole, binary, &blob.bytes, 201);
    let mount = format!("{begin}?mount={}&from={path}", blob.digest);
    add("POST mount", Write, Method::POST, mount, "", &nothing, 201);
    add("GET upload", Write, Method::GET, uploads[0].clone(), "", &nothing, 204);
    add("HEAD upload", Write, Method::HEAD, uploads[0].clone(), "", &nothing, 204);
    add("PATCH upload", Write, Method::PATCH, uploads[1].clone(), binary, &blob.bytes, 202);
    let close = with_query(&uploads[2], &format!("digest={}", blob.digest));
    add("PUT upload", Write, Method::PUT, close, binary, &blob.bytes, 201);
    add("DELETE upload", Write, Method::DELETE, uploads[3].clone(), "", &nothing, 204);
    add("PUT manifest by tag", Write, Method::PUT, by_tag.clone(), oci, &manifest.bytes, 201);
    let tagged = format!("{by_digest}?tag=one");
    add("PUT manifest by digest with a tag", Write, Method::PUT, tagged, oci, &manifest.bytes, 201);

    add("DELETE tag", Delete, Method::DELETE, format!("{base}/manifests/two"), "", &nothing, 202);
    add("DELETE manifest", Delete, Method::DELETE, by_digest, "", &nothing, 202);
    add("DELETE blob", Delete, Method::DELETE, blob_path, "", &nothing, 202);
    routes
}

/// Reads as said, writes as said, deletes as said.
fn each(read: Expected, write: Expected, delete: Expected) -> impl Fn(Kind) -> Expected {
    move |kind| match kind {
        Kind::Read => read,
        Kind::Write => write,
        Kind::Delete => delete,
    }
}

#[tokio::test]
async fn a_members_token_on_every_route_while_the_role_and_the_user_go() {
    use Expected::{Allowed, Denied, InsufficientScope, InvalidToken};
    let world = World::start().await;
    let held = world.token(Some(("member", PASSWORD))).await;
    let mut rounds = Vec::new();
    for round in 0..7 {
        rounds.push(world.prepare(round, &held).await.unwrap());
    }
    let all = |expected| each(expected, expected, expected);

    assert_eq!(world.catalog(&held).await, Ok(7));
    world.every_route("developer", &held, &rounds[0], all(Allowed)).await;
    assert_eq!(world.catalog(&held).await, Ok(6), "the round deleted its image");

    world.give_member(Some("reporter"));
    let reads_only = each(Allowed, InsufficientScope, InsufficientScope);
    world.every_route("lowered to reporter", &held, &rounds[1], reads_only).await;

    world.give_member(None);
    world.every_route("without a role", &held, &rounds[2], all(InsufficientScope)).await;
    assert_eq!(world.catalog(&held).await, Ok(0), "signed in, and nothing to see");
    assert_eq!(world.ping(&held).await.status, StatusCode::OK);

    world.give_member(Some("developer"));
    world.every_route("role given back", &held, &rounds[3], all(Allowed)).await;

    world.configure(Visibility::Private, Openness::Disabled);
    world.every_route("disabled", &held, &rounds[4], all(Denied)).await;
    assert_eq!(world.catalog(&held).await, Ok(0));

    world.configure(Visibility::Public, Openness::MembersOnly);
    world.every_route("members only", &held, &rounds[5], all(Allowed)).await;

    world.remove_member();
    world.every_route("no user any more", &held, &rounds[6], all(InvalidToken)).await;
    assert_eq!(world.ping(&held).await, Seen::challenged("invalid_token"));
    assert_eq!(world.catalog(&held).await, Err(Seen::challenged("invalid_token")));
}

#[tokio::test]
async fn a_deploy_token_and_a_registry_token_of_it_on_every_route_until_it_is_revoked() {
    use Expected::{Allowed, Denied, InsufficientScope, InvalidToken};
    let world = World::start().await;
    let of_it = world.token(Some(("any name", &world.deploy_token))).await;
    let itself = basic("any name", &world.deploy_token);
    let bearer = Some(format!("Bearer {}", world.deploy_token));
    for (number, held) in [of_it, itself, bearer].into_iter().enumerate() {
        world.configure(Visibility::Private, Openness::Enabled);
        let round = async |of: usize| world.prepare(number * 4 + of, &held).await.unwrap();
        let rounds = [round(0).await, round(1).await, round(2).await, round(3).await];
        let never_deletes = || each(Allowed, Allowed, InsufficientScope);
        world.every_route("valid", &held, &rounds[0], never_deletes()).await;
        world.configure(Visibility::Private, Openness::MembersOnly);
        world.every_route("members only", &held, &rounds[1], never_deletes()).await;
        world.configure(Visibility::Private, Openness::Disabled);
        world.every_route("disabled", &held, &rounds[2], each(Denied, Denied, Denied)).await;
        world.revoke_deploy_tokens();
        let revoked = each(InvalidToken, InvalidToken, InvalidToken);
        world.every_route("revoked", &held, &rounds[3], revoked).await;
        assert_eq!(world.ping(&held).await, Seen::challenged("invalid_token"));
        assert_eq!(world.catalog(&held).await, Err(Seen::challenged("invalid_token")));
    }
}

#[tokio::test]
async fn strangers_tokens_on_every_route_while_visibility_flips() {
    use Expected::{Allowed, Challenge, InsufficientScope};
    let world = World::start().await;
    world.configure(Visibility::Public, Openness::Enabled);
    let outsider = world.token(Some(("outsider", PASSWORD))).await;
    let anonymous = world.token(None).await;
    let nothing: Held = None;
    let mut rounds = Vec::new();
    for round in 0..6 {
        rounds.push(world.prepare(round, &nothing).await.unwrap());
    }
    let refused = || each(InsufficientScope, InsufficientScope, InsufficientScope);
    let reads = || each(Allowed, InsufficientScope, InsufficientScope);
    let flips = [
        (Visibility::Public, Openness::Enabled, [true, true]),
        (Visibility::Internal, Openness::Enabled, [false, true]),
        (Visibility::Private, Openness::Enabled, [false, false]),
        (Visibility::Public, Openness::MembersOnly, [false, false]),
        (Visibility::Public, Openness::Disabled, [false, false]),
        (Visibility::Public, Openness::Enabled, [true, true]),
    ];
    for ((visibility, access, [anonymous_reads, outsider_reads]), round) in flips.into_iter().zip(&rounds) {
        world.configure(visibility, access);
        let when = |who: &str| format!("{who} at {visibility:?} × {access:?}");
        let without = each(if anonymous_reads { Allowed } else { Challenge }, Challenge, Challenge);
        world.every_route(&when("nobody"), &nothing, round, without).await;
        if anonymous_reads {
            world.every_route(&when("anonymous"), &anonymous, round, reads()).await;
        } else {
            world.every_route(&when("anonymous"), &anonymous, round, refused()).await;
        }
        if outsider_reads {
            world.every_route(&when("outsider"), &outsider, round, reads()).await;
        } else {
            world.every_route(&when("outsider"), &outsider, round, refused()).await;
        }
        assert_eq!(world.catalog(&anonymous).await, Ok(if anonymous_reads { rounds.len() } else { 0 }));
        assert_eq!(world.catalog(&outsider).await, Ok(if outsider_reads { rounds.len() } else { 0 }));
        assert_eq!(world.ping(&nothing).await, Seen { status: StatusCode::UNAUTHORIZED, error: None });
    }
}
