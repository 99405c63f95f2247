//! The identity service's client against a small fake of the operator's side, on a real socket.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::routing::post;
use berth_crds::access::Permission;

use super::*;
use crate::auth::authority::{AuthenticationError, Authority as _, Credential as Proof};
use crate::auth::identity::IdentityService;
use berth_crds::wire::identity::{AuthenticateRequest, AuthenticateResponse, AuthorizeRequest, AuthorizeResponse};

/// Three parts like every JWT; the fake knows it by its text.
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjaSJ9.c2ln";
const OTHER: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln";

/// What the cluster knows, and how often it was asked.
#[derive(Debug, Default)]
struct Cluster {
    authenticated: AtomicU64,
    authorized: AtomicU64,
    /// Verbs the ServiceAccount has on images of team-a.
    verbs: Mutex<Vec<&'static str>>,
    expires: Mutex<Option<Timestamp>>,
    last: Mutex<Option<AuthorizeRequest>>,
}

fn ci() -> User {
    User {
        name: "system:serviceaccount:team-a:ci".to_owned(),
        uid: "8a3b".to_owned(),
        groups: vec!["system:serviceaccounts".to_owned(), "system:authenticated".to_owned()],
        extra: BTreeMap::from([("authentication.kubernetes.io/pod-name".to_owned(), vec!["build-1".to_owned()])]),
    }
}

async fn authenticate(
    State(cluster): State<Arc<Cluster>>,
    Json(request): Json<AuthenticateRequest>,
) -> Json<AuthenticateResponse> {
    cluster.authenticated.fetch_add(1, Ordering::SeqCst);
    let known = request.token == TOKEN;
    let expires = *cluster.expires.lock().unwrap();
    Json(AuthenticateResponse { user: known.then(ci), expires: expires.filter(|_| known) })
}

async fn authorize(
    State(cluster): State<Arc<Cluster>>,
    Json(request): Json<AuthorizeRequest>,
) -> Json<AuthorizeResponse> {
    cluster.authorized.fetch_add(1, Ordering::SeqCst);
    let verbs = cluster.verbs.lock().unwrap().clone();
    let allowed = request.namespace == "team-a" && verbs.contains(&request.verb.as_str());
    *cluster.last.lock().unwrap() = Some(request);
    Json(AuthorizeResponse { allowed })
}

/// The fake service, the client, and the folder of their socket.
struct Pair {
    cluster: Arc<Cluster>,
    service: Arc<IdentityService>,
    server: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Pair {
    fn new(verbs: &[&'static str], time: &TestClock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.sock");
        let cluster = Arc::new(Cluster::default());
        *cluster.verbs.lock().unwrap() = verbs.to_vec();
        let routes = axum::Router::new()
            .route("/v1/authenticate", post(authenticate))
            .route("/v1/authorize", post(authorize))
            .with_state(Arc::clone(&cluster));
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let place = format!("unix:{}", path.display());
        let service = Arc::new(IdentityService::at(&place, Duration::from_secs(300), time.clock()).unwrap());
        Self { cluster, service, server, _folder: folder }
    }

    async fn prove(&self, secret: &str) -> Result<User, AuthenticationError> {
        let proof = Proof { name: Some("anything"), secret, client: None };
        self.service.authenticate(proof).await.map(|proven| proven.user)
    }

    async fn may(&self, permission: Permission) -> Result<bool, String> {
        let repository = "team-a/shop".parse().unwrap();
        self.service.may(&ci(), &repository, permission).await.map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn a_cluster_token_is_proven_by_the_service_once_a_minute_and_any_user_name_does() {
    let pair = Pair::new(&["get"], &TestClock::new());
    let all_at_once = (0..20).map(|_| pair.prove(TOKEN));
    for user in futures::future::join_all(all_at_once).await {
        assert_eq!(user.unwrap(), ci());
    }
    assert_eq!(pair.cluster.authenticated.load(Ordering::SeqCst), 1, "one flight, then memory");
    for _ in 0..3 {
        assert!(matches!(pair.prove(OTHER).await, Err(AuthenticationError::Refused)));
    }
    assert_eq!(pair.cluster.authenticated.load(Ordering::SeqCst), 2, "a refusal is remembered for seconds");
    for no_token in ["", "password", "a.b", "a.b.c", &format!("{TOKEN}.x"), &"x".repeat(20_000)] {
        assert!(matches!(pair.prove(no_token).await, Err(AuthenticationError::Refused)), "{no_token:.20}");
    }
    assert_eq!(pair.cluster.authenticated.load(Ordering::SeqCst), 2, "what is no token is no question");
}

#[tokio::test]
async fn a_question_of_rights_carries_the_whole_identity_and_the_words_of_rbac() {
    let pair = Pair::new(&["get", "update", "create"], &TestClock::new());
    assert_eq!(pair.may(Permission::PUSH).await, Ok(true));
    let asked = pair.cluster.last.lock().unwrap().take().unwrap();
    let User { name, uid, groups, extra } = ci();
    let expected = AuthorizeRequest {
        user: name,
        uid,
        groups,
        extra,
        namespace: "team-a".to_owned(),
        name: "shop".to_owned(),
        resource: "containerrepositories".to_owned(),
        subresource: "images".to_owned(),
        verb: "update".to_owned(),
    };
    assert_eq!(asked, expected);
    assert!(pair.service.may_in_namespace(&ci(), "team-a", Permission::RUN_POLICY).await.unwrap());
    let asked = pair.cluster.last.lock().unwrap().take().unwrap();
    assert_eq!((asked.name.as_str(), asked.resource.as_str()), ("", "cleanuppolicies"));
    assert_eq!((asked.subresource.as_str(), asked.verb.as_str()), ("runs", "create"));
}

#[tokio::test]
async fn answers_are_remembered_and_simultaneous_questions_are_one() {
    let pair = Pair::new(&["get"], &TestClock::new());
    let all_at_once = (0..20).map(|_| pair.may(Permission::PULL));
    assert!(futures::future::join_all(all_at_once).await.into_iter().all(|answer| answer == Ok(true)));
    assert_eq!(pair.may(Permission::PUSH).await, Ok(false));
    assert_eq!(pair.may(Permission::PUSH).await, Ok(false));
    assert_eq!(pair.cluster.authorized.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_service_that_is_away_is_no_refusal() {
    let pair = Pair::new(&["get"], &TestClock::new());
    assert_eq!(pair.may(Permission::PULL).await, Ok(true));
    pair.server.abort();
    drop(std::fs::remove_file(pair._folder.path().join("identity.sock")));
    assert!(matches!(pair.prove(TOKEN).await, Err(AuthenticationError::Unavailable(_))));
    assert!(pair.may(Permission::PUSH).await.is_err());
    // The remembered answer has ended; what was allowed within the life of a token still holds.
    pair.service.forget_answers();
    assert_eq!(pair.may(Permission::PULL).await, Ok(true));
    assert!(pair.may(Permission::PUSH).await.is_err());
}

/// A registry whose members are the cluster's.
async fn bed_with(pair: &Pair) -> Bed {
    let bed = Bed::new().await;
    let settings = Settings {
        service: SERVICE.parse().unwrap(),
        token_ttl: SignedDuration::from_mins(5),
        session_ttl: SignedDuration::from_hours(24),
        trusted_proxies: TrustedProxies::default(),
        tls: false,
    };
    let authority = pair.service.clone();
    let access = Access::new(settings, bed.keys.clone(), bed.configuration.clone(), authority, bed.time.clock());
    Bed { access: Arc::new(access), ..bed }
}

#[tokio::test]
async fn a_cluster_token_works_in_all_five_places() {
    let pair = Pair::new(&["get", "update"], &TestClock::new());
    let bed = bed_with(&pair).await;
    let image = "team-a/private";
    assert_eq!(bed.push(&Credential::bearer(TOKEN), image).await, "ok");
    assert_eq!(bed.push(&Credential::Basic("x".to_owned(), TOKEN.to_owned()), image).await, "ok");
    let basic = Credential::Basic(String::new(), TOKEN.to_owned());
    let token = Credential::bearer(bed.token(&basic, &["repository:team-a/private:*"]).await);
    assert_eq!(bed.push(&token, image).await, "ok");
    let scope = ("scope", "repository:team-a/private:pull,push");
    for form in [
        vec![("grant_type", "password"), ("username", "x"), ("password", TOKEN), scope],
        vec![("grant_type", "refresh_token"), ("refresh_token", TOKEN), scope],
    ] {
        let (status, answer) = bed.post_token(&form).await;
        assert_eq!((status, answer["scope"].as_str()), (StatusCode::OK, Some(scope.1)));
    }
    assert_eq!(bed.pull(&Credential::bearer(OTHER), "team-a/public").await, "401 invalid_token");
    assert_eq!(bed.pull(&Credential::user("reporter"), "team-a/public").await, "401 invalid_token");
}

#[tokio::test]
async fn who_may_push_and_not_pull_learns_that_a_path_is_free_and_reads_nothing() {
    let pair = Pair::new(&["update"], &TestClock::new());
    let bed = bed_with(&pair).await;
    let credential = Credential::bearer(TOKEN);
    assert_eq!(bed.pull(&credential, "team-a/absent").await, "404 NAME_UNKNOWN");
    assert_eq!(bed.pull(&credential, "team-a/private").await, "401 insufficient_scope");
    assert_eq!(bed.pull(&credential, "team-b/absent").await, "401 insufficient_scope");
}

#[tokio::test]
async fn a_registry_token_ends_no_later_than_the_cluster_token_it_was_given_for() {
    let pair = Pair::new(&["get"], &TestClock::new());
    let bed = bed_with(&pair).await;
    *pair.cluster.expires.lock().unwrap() = Some(bed.time.clock().now() + SignedDuration::from_secs(70));
    let (_, answer) = bed.ask_token(&Credential::Basic("x".to_owned(), TOKEN.to_owned()), &[]).await;
    assert_eq!(answer["expires_in"], 70);
}

#[tokio::test]
async fn a_service_that_is_away_makes_members_wait_and_nobody_else() {
    let pair = Pair::new(&["get"], &TestClock::new());
    let bed = bed_with(&pair).await;
    pair.server.abort();
    drop(std::fs::remove_file(pair._folder.path().join("identity.sock")));
    assert_eq!(bed.pull(&Credential::Nothing, "team-a/public").await, "ok");
    assert_eq!(bed.pull(&Credential::deploy(READ_TOKEN), "team-a/private").await, "ok");
    assert_eq!(bed.pull(&Credential::bearer(TOKEN), "team-a/private").await, "503 UNAVAILABLE");
    let (status, _) = bed.ask_token(&Credential::Basic("x".to_owned(), TOKEN.to_owned()), &[]).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn a_place_that_is_no_socket_is_refused() {
    for place in ["", "unix:", "/run/x.sock", "http://x"] {
        let error = IdentityService::at(place, Duration::from_secs(300), Clock::system()).unwrap_err().to_string();
        assert!(error.contains("unix:PATH"), "{error}");
    }
}
