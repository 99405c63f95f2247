//! Who a request comes from.

use std::net::IpAddr;

use berth_crds::name::{ImageName, RepositoryName};
use berth_crds::wire::identity::User;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::scope::{Scope, ScopeAction};

/// Who a credential proved its holder to be. It travels inside a registry token, so that every request can be
/// decided live for exactly this subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Subject {
    /// No credentials were shown.
    Anonymous,
    /// Somebody the authority knows: an entry of the users file, or an identity of the cluster.
    User(User),
    /// The holder of a deploy token, whoever that is.
    DeployToken(DeployTokenId),
}

/// Which deploy token: the one of this repository with this secret. A new secret of the same name is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployTokenId {
    pub repository: RepositoryName,
    /// The token's `id` in the configuration: the beginning of its SHA-256.
    pub id: String,
}

impl Subject {
    /// A name for people: access log and the `sub` claim.
    pub fn name(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::User(user) => user.name.clone(),
            Self::DeployToken(DeployTokenId { repository, id }) => format!("deploy-token:{repository}:{id}"),
        }
    }

    /// What makes two requests the same subject's: unlike groups or the Pod a token was made for, it does not change
    /// from one token of a user to the next.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::User(user) => format!("user:{}:{}", user.uid, user.name),
            Self::DeployToken(DeployTokenId { repository, id }) => format!("deploy-token:{repository}:{id}"),
        }
    }

    pub const fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }
}

/// The sender of one request: a subject, and what bounds it beyond the subject's own rights.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(super) subject: Subject,
    pub(super) bounds: Bounds,
    /// `jti` of the registry token shown, if one was.
    pub(super) token: Option<String>,
    /// When the credential shown ends, if it does.
    pub(super) expires: Option<Timestamp>,
    /// Address of the client behind trusted proxies.
    pub(super) address: Option<IpAddr>,
}

impl Caller {
    /// Somebody who showed no credentials.
    pub(super) const fn nobody(address: Option<IpAddr>) -> Self {
        Self { subject: Subject::Anonymous, bounds: Bounds::Subject, token: None, expires: None, address }
    }

    /// Somebody proven by the credential itself, without a registry token.
    pub(super) const fn direct(subject: Subject, expires: Option<Timestamp>, address: Option<IpAddr>) -> Self {
        Self { subject, bounds: Bounds::Subject, token: None, expires, address }
    }

    /// Whether the request carried no credentials at all; an anonymous registry token is one.
    pub(super) const fn shows_nothing(&self) -> bool {
        self.subject.is_anonymous() && self.token.is_none()
    }

    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Address of the client behind trusted proxies, for the access log; `None` in-process.
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Images whose pulling the caller's own token names; none for callers without a registry token.
    pub(super) fn pullable_by_token(&self) -> Vec<ImageName> {
        let Bounds::Scopes(scopes) = &self.bounds else { return Vec::new() };
        let pull = |scope: &Scope| match scope {
            Scope::Image { image, actions } if actions.contains(ScopeAction::Pull) => Some(image.clone()),
            _ => None,
        };
        scopes.iter().filter_map(pull).collect()
    }
}

/// What a credential allows at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    /// Whatever its subject may: a password, a deploy token or a cluster token used directly.
    Subject,
    /// Only this: a registry token.
    Scopes(Vec<Scope>),
}

impl Bounds {
    pub(super) fn allow(&self, wanted: &Scope) -> bool {
        let Self::Scopes(scopes) = self else { return true };
        match wanted {
            Scope::Catalog => scopes.contains(&Scope::Catalog),
            Scope::Image { image, actions } => scopes.iter().any(|scope| match scope {
                Scope::Image { image: granted, actions: given } => {
                    granted == image && actions.iter().all(|action| given.contains(action))
                }
                Scope::Catalog => false,
            }),
        }
    }
}
