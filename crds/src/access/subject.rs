//! Who asks.

use crate::kinds::Scope;
use crate::name::RepositoryName;

/// Who asks, as far as access decisions care. Built anew for every request from what the credential proves *now*: a
/// revoked or expired deploy token must not become a [`Subject::DeployToken`], a bad credential is an error (401) and
/// never [`Subject::Anonymous`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// No credentials were shown.
    Anonymous,
    /// Somebody whose identity is proven: a user of the users file, or a ServiceAccount.
    User {
        /// The name for logs and for the authority.
        name: String,
    },
    /// The holder of a deploy token. Proves no identity: it is not signed in, and has nothing but its token's scopes.
    DeployToken(TokenGrant),
}

/// What a deploy token grants: its scopes, in its one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenGrant {
    pub repository: RepositoryName,
    /// The token's name in its repository.
    pub name: String,
    pub scopes: Vec<Scope>,
}

impl TokenGrant {
    /// Whether the token reads; writing includes reading (DESIGN §4).
    pub fn reads(&self) -> bool {
        !self.scopes.is_empty()
    }

    pub fn writes(&self) -> bool {
        self.scopes.contains(&Scope::WriteRegistry)
    }
}
