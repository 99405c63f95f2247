//! The authority: who proves users to be who they are, and knows their roles.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use berth_crds::access::Permission;
use berth_crds::name::RepositoryName;
use berth_crds::wire::identity::User;
use jiff::Timestamp;

/// Knows users and what they may do. Three of them exist: the users file, the operator's identity service, and
/// [`Nobody`].
#[async_trait]
pub trait Authority: std::fmt::Debug + Send + Sync + 'static {
    /// Proves a user by a credential.
    ///
    /// # Errors
    /// [`AuthenticationError::Refused`] for a wrong, expired or unknown one.
    async fn authenticate(&self, credential: Credential<'_>) -> Result<Authenticated, AuthenticationError>;

    /// Whether a user proven earlier is still the same user. Asked on every request that shows a registry token.
    async fn stands(&self, user: &User) -> Result<bool, AuthorityError>;

    /// Whether a user may do something to a repository, at this moment or up to 30 seconds ago.
    async fn may(
        &self,
        user: &User,
        repository: &RepositoryName,
        permission: Permission,
    ) -> Result<bool, AuthorityError>;

    /// Whether a user may do something in a whole namespace (run its policies).
    async fn may_in_namespace(
        &self,
        user: &User,
        namespace: &str,
        permission: Permission,
    ) -> Result<bool, AuthorityError>;
}

/// A credential to be proven.
#[derive(Clone, Copy)]
pub struct Credential<'a> {
    /// The user name of a Basic header or form; `None` for a bare token.
    pub name: Option<&'a str>,
    /// A password, or the token of a cluster identity (then the name says nothing).
    pub secret: &'a str,
    /// Where it comes from, for lockouts.
    pub client: Option<IpAddr>,
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("name", &self.name).field("client", &self.client).finish_non_exhaustive()
    }
}

/// A user, proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    pub user: User,
    /// When the credential ends; nothing issued for it lives longer.
    pub expires: Option<Timestamp>,
}

/// Why a credential proves nobody.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthenticationError {
    #[error("the credential is wrong, unknown or expired")]
    Refused,
    #[error("too many failures with this user name; locked for {} s", .retry_after.as_secs())]
    Locked { retry_after: Duration },
    #[error(transparent)]
    Unavailable(#[from] AuthorityError),
}

/// The authority cannot be asked at the moment.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the authority did not answer: {0}")]
pub struct AuthorityError(pub String);

/// The authority of a registry without `--users` and `--identity`: it knows nobody. What is Public can be read, and
/// deploy tokens work.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

#[async_trait]
impl Authority for Nobody {
    async fn authenticate(&self, _: Credential<'_>) -> Result<Authenticated, AuthenticationError> {
        Err(AuthenticationError::Refused)
    }

    async fn stands(&self, _: &User) -> Result<bool, AuthorityError> {
        Ok(false)
    }

    async fn may(&self, _: &User, _: &RepositoryName, _: Permission) -> Result<bool, AuthorityError> {
        Ok(false)
    }

    async fn may_in_namespace(&self, _: &User, _: &str, _: Permission) -> Result<bool, AuthorityError> {
        Ok(false)
    }
}
