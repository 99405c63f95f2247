//! The operator's identity service as an authority: TokenReview and SubjectAccessReview behind a Unix socket.
//!
//! The registry holds no Kubernetes credential; the operator beside it in the pod answers the two questions of
//! [`berth_crds::wire::identity`] (DESIGN §1). Answers are remembered for the times of DESIGN §4; while the
//! service is away, what it last allowed goes on being allowed for the life of a token.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use berth_crds::access::Permission;
use berth_crds::name::RepositoryName;
use berth_crds::wire::identity::{
    AUTHENTICATE, AUTHORIZE, AuthenticateRequest, AuthenticateResponse, AuthorizeRequest, AuthorizeResponse, User,
};
use moka::Expiry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::authority::{Authenticated, AuthenticationError, Authority, AuthorityError, Credential};
use super::clock::Clock;

/// How long an answer holds, by what it says (DESIGN §4).
const AUTHENTICATED: Duration = Duration::from_secs(60);
const ALLOWED: Duration = Duration::from_secs(30);
const REFUSED: Duration = Duration::from_secs(5);
/// Clients give a login 15 seconds.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest token that is sent on, in bytes.
const LONGEST_TOKEN: usize = 16 * 1024;

/// A client of the identity service.
#[derive(Debug)]
pub struct IdentityService {
    client: reqwest::Client,
    clock: Clock,
    authentications: moka::future::Cache<[u8; 32], Answer<Option<Authenticated>>>,
    authorizations: moka::future::Cache<AuthorizeRequest, Answer<bool>>,
    /// What was allowed within the life of a token, for the time without the service.
    allowed_lately: moka::future::Cache<AuthorizeRequest, ()>,
    key: [u8; 32],
}

/// Something remembered, and for how long.
#[derive(Clone, Debug)]
struct Answer<T> {
    says: T,
    holds: Duration,
}

/// Lets every [`Answer`] live as long as it holds.
struct AsLongAsItHolds;

impl<K, T> Expiry<K, Answer<T>> for AsLongAsItHolds {
    fn expire_after_create(&self, _: &K, answer: &Answer<T>, _: Instant) -> Option<Duration> {
        Some(answer.holds)
    }
}

/// Why there is no identity service at a place.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("--identity \"{0}\" is not a socket: write unix:PATH, such as unix:/run/berth/identity.sock")]
    Place(String),
    #[error("no HTTP client for the identity service: {0}")]
    Client(#[from] reqwest::Error),
}

impl IdentityService {
    /// A client of the service at `unix:PATH`. The socket need not exist yet. `token_ttl` is the longest life of a
    /// registry token.
    ///
    /// # Errors
    /// [`IdentityError::Place`] for anything but a Unix socket.
    pub fn at(place: &str, token_ttl: Duration, clock: Clock) -> Result<Self, IdentityError> {
        let path = place.strip_prefix("unix:").filter(|path| !path.is_empty());
        let path: PathBuf = path.ok_or_else(|| IdentityError::Place(place.to_owned()))?.into();
        let client = reqwest::Client::builder().unix_socket(Path::new(&path)).timeout(TIMEOUT).no_proxy().build()?;
        Ok(Self {
            client,
            clock,
            authentications: moka::future::Cache::builder().max_capacity(10_000).expire_after(AsLongAsItHolds).build(),
            authorizations: moka::future::Cache::builder().max_capacity(100_000).expire_after(AsLongAsItHolds).build(),
            allowed_lately: moka::future::Cache::builder().max_capacity(100_000).time_to_live(token_ttl).build(),
            key: rand::random(),
        })
    }

    /// As if the times of all remembered answers had passed.
    #[cfg(test)]
    pub(super) fn forget_answers(&self) {
        self.authentications.invalidate_all();
        self.authorizations.invalidate_all();
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str, question: &impl Serialize) -> Result<T, AuthorityError> {
        let failed = |error: reqwest::Error| AuthorityError(format!("identity service: {error}"));
        let request = self.client.post(format!("http://identity{path}")).json(question);
        let response = request.send().await.map_err(failed)?.error_for_status().map_err(failed)?;
        response.json().await.map_err(failed)
    }

    async fn review(&self, token: &str) -> Result<Answer<Option<Authenticated>>, AuthorityError> {
        let question = AuthenticateRequest { token: token.to_owned() };
        let AuthenticateResponse { user, expires } = self.ask(AUTHENTICATE, &question).await?;
        let Some(user) = user else { return Ok(Answer { says: None, holds: REFUSED }) };
        let left = expires.map(|end| Duration::try_from(end.duration_since(self.clock.now())).unwrap_or_default());
        let holds = left.map_or(AUTHENTICATED, |left| left.min(AUTHENTICATED));
        Ok(Answer { says: Some(Authenticated { user, expires }), holds })
    }

    /// One flight per question: waiting requests share its answer. A failure is shared too, and not remembered.
    async fn authorize(&self, question: AuthorizeRequest) -> Result<bool, AuthorityError> {
        let load = async {
            let AuthorizeResponse { allowed } = self.ask(AUTHORIZE, &question).await?;
            Ok::<_, AuthorityError>(Answer { says: allowed, holds: if allowed { ALLOWED } else { REFUSED } })
        };
        match self.authorizations.try_get_with_by_ref(&question, load).await {
            Ok(Answer { says: true, .. }) => {
                self.allowed_lately.insert(question, ()).await;
                Ok(true)
            }
            Ok(Answer { says: false, .. }) => {
                self.allowed_lately.invalidate(&question).await;
                Ok(false)
            }
            Err(error) if self.allowed_lately.contains_key(&question) => {
                tracing::warn!(%error, user = question.user, "decided by the last answer");
                Ok(true)
            }
            Err(error) => Err(AuthorityError::clone(&error)),
        }
    }
}

#[async_trait]
impl Authority for IdentityService {
    async fn authenticate(&self, credential: Credential<'_>) -> Result<Authenticated, AuthenticationError> {
        // Passwords are tokens here, and a token has three parts: nothing else is worth a question.
        let token = credential.secret;
        if token.len() > LONGEST_TOKEN || jsonwebtoken::decode_header(token).is_err() {
            return Err(AuthenticationError::Refused);
        }
        let key: [u8; 32] = Sha256::new_with_prefix(self.key).chain_update(token).finalize().into();
        let answer = self.authentications.try_get_with(key, self.review(token)).await;
        let answer = answer.map_err(|error: Arc<AuthorityError>| AuthorityError::clone(&error))?;
        let authenticated = answer.says.ok_or(AuthenticationError::Refused)?;
        match authenticated.expires {
            Some(end) if end <= self.clock.now() => Err(AuthenticationError::Refused),
            _ => Ok(authenticated),
        }
    }

    /// A Pod or ServiceAccount that is gone is noticed when its token is shown again; until then the short life of the
    /// registry token bounds it (DESIGN §4).
    async fn stands(&self, _: &User) -> Result<bool, AuthorityError> {
        Ok(true)
    }

    async fn may(
        &self,
        user: &User,
        repository: &RepositoryName,
        permission: Permission,
    ) -> Result<bool, AuthorityError> {
        self.authorize(question(user, repository.namespace(), repository.object_name(), permission)).await
    }

    async fn may_in_namespace(
        &self,
        user: &User,
        namespace: &str,
        permission: Permission,
    ) -> Result<bool, AuthorityError> {
        self.authorize(question(user, namespace, "", permission)).await
    }
}

fn question(user: &User, namespace: &str, name: &str, permission: Permission) -> AuthorizeRequest {
    AuthorizeRequest {
        user: user.name.clone(),
        uid: user.uid.clone(),
        groups: user.groups.clone(),
        extra: user.extra.clone(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        resource: permission.resource.plural().to_owned(),
        subresource: permission.resource.subresource().to_owned(),
        verb: permission.verb.as_str().to_owned(),
    }
}
