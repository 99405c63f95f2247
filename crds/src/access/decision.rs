//! The decision itself: site, subject, action in; allow, deny or questions out.

use super::{Audience, Permission, Subject, TokenGrant, audience};
use crate::kinds::{Access, Visibility};
use crate::name::RepositoryName;

/// What is asked about: a repository as the configuration in force describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub repository: RepositoryName,
    pub visibility: Visibility,
    pub access: Access,
}

impl Site {
    /// A path without a ContainerRepository. It is decided like a private repository, so who would not be allowed there
    /// learns nothing; who is allowed gets 404 NAME_UNKNOWN from the caller (DESIGN §3 "Names").
    pub fn absent(repository: RepositoryName) -> Self {
        Self { repository, visibility: Visibility::default(), access: Access::default() }
    }
}

/// What somebody wants to do in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read manifests, blobs, referrers, tags of a known image.
    Pull,
    /// See the repository and its images in listings and the catalog.
    List,
    /// Write what no tag names: upload sessions, blobs, mounts (the target), manifests by digest.
    Push,
    /// Point a tag at a manifest.
    PushTag { guard: Guard, change: Change },
    /// Delete one tag, or a manifest with at most one; `guard` is that tag's.
    DeleteOne { guard: Guard },
    /// Delete several tags, a manifest with several tags, an image, a repository; `guard` is [`Guard::and`] of all tags.
    DeleteMany { guard: Guard },
    /// Change quota, adoption, aliases.
    Administer,
}

/// What pushing a tag does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The tag does not exist.
    Create,
    /// The tag names this very digest already.
    Repeat,
    /// The tag names another digest.
    Move,
}

/// The rules that protect a tag, by name; both may apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Rule that demands the verb on `protectedtags`.
    pub protected: Option<String>,
    /// Rule that lets nobody move or delete the tag.
    pub immutable: Option<String>,
}

impl Guard {
    /// What protects two tags together: the first rule of each sort.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { protected: self.protected.or(other.protected), immutable: self.immutable.or(other.immutable) }
    }
}

/// What follows for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    Deny(Denial),
    /// Membership decides: put the questions to the authority in this order. The first no ends in its own denial; when
    /// all are answered with yes, `then` holds. [`Decision::settle`] does exactly that.
    IfPermitted {
        questions: Vec<Question>,
        then: Result<(), Denial>,
    },
}

/// One question to the authority about the asking user, in the site's repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub permission: Permission,
    /// What to answer the user when the authority says no, or does not know.
    pub otherwise: Denial,
}

/// Which answer of DESIGN §4 a refused request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// 401 with a challenge: credentials might help.
    Unauthorized,
    /// 401 `insufficient_scope`, with the body of an absent path: credentials were shown, and grant no such right here,
    /// or the path must not be known to exist.
    Hidden,
    /// 403 DENIED with the refusal's text: the asker may know why.
    Forbidden(Refusal),
}

/// Why somebody with the right is refused all the same. The texts are for the asker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "the repository {repository} is disabled: nobody can pull, push or delete until the RegistryVisibility that \
         disables it is changed; `kubectl get crepo` shows which one decides"
    )]
    Disabled { repository: RepositoryName },
    #[error(
        "the tag is immutable (rule \"{rule}\" of the repository {repository}) and can be neither moved nor deleted: \
         push another tag, or have an owner change the rule"
    )]
    ImmutableTag { rule: String, repository: RepositoryName },
    #[error(
        "the tag is protected (rule \"{rule}\" of the repository {repository}): it takes {needed}, which maintainers \
         and owners have"
    )]
    ProtectedTag { rule: String, repository: RepositoryName, needed: Permission },
}

impl Decision {
    /// The decision once the authority has answered; `may` is asked at most once per question, in order.
    ///
    /// # Errors
    /// The denial to answer with.
    pub fn settle(self, mut may: impl FnMut(Permission) -> bool) -> Result<(), Denial> {
        match self {
            Self::Allow => Ok(()),
            Self::Deny(denial) => Err(denial),
            Self::IfPermitted { questions, then } => {
                for Question { permission, otherwise } in questions {
                    if !may(permission) {
                        return Err(otherwise);
                    }
                }
                then
            }
        }
    }

    fn ask(permission: Permission) -> Self {
        Self::ask_then(permission, Ok(()))
    }

    fn ask_then(permission: Permission, then: Result<(), Denial>) -> Self {
        Self::IfPermitted { questions: vec![Question { permission, otherwise: Denial::Hidden }], then }
    }
}

/// Decides one request, from the configuration in force now: DESIGN §3's table of visibility and §4's of roles.
pub fn decide(site: &Site, subject: &Subject, action: &Action) -> Decision {
    if site.access == Access::Disabled {
        return decide_disabled(site, subject);
    }
    let reads = matches!(action, Action::Pull | Action::List);
    match (subject, audience(site.visibility, site.access)) {
        (_, Audience::Everyone) if reads => Decision::Allow,
        (Subject::Anonymous, _) => Decision::Deny(Denial::Unauthorized),
        (Subject::User { .. }, Audience::SignedIn) if reads => Decision::Allow,
        (Subject::User { .. }, _) => decide_member(site, action),
        (Subject::DeployToken(grant), _) => decide_token(site, grant, action),
    }
}

/// Decides who may start a run of a policy. The question is about the policy's namespace, not about one repository: a
/// run deletes only what the policy's object says, which somebody with `deletecollection` on images has applied.
pub fn decide_run(subject: &Subject) -> Decision {
    match subject {
        Subject::Anonymous => Decision::Deny(Denial::Unauthorized),
        Subject::User { .. } => Decision::ask(Permission::RUN_POLICY),
        Subject::DeployToken(_) => Decision::Deny(Denial::Hidden),
    }
}

/// Nobody gets in; only who could see the repository otherwise learns that it is there and disabled.
fn decide_disabled(site: &Site, subject: &Subject) -> Decision {
    let disabled = Denial::Forbidden(Refusal::Disabled { repository: site.repository.clone() });
    match subject {
        Subject::Anonymous => Decision::Deny(Denial::Unauthorized),
        Subject::User { .. } => Decision::ask_then(Permission::PULL, Err(disabled)),
        Subject::DeployToken(grant) if grant.repository == site.repository && grant.reads() => Decision::Deny(disabled),
        Subject::DeployToken(_) => Decision::Deny(Denial::Hidden),
    }
}

/// What the authority has to be asked about a user.
fn decide_member(site: &Site, action: &Action) -> Decision {
    match action {
        Action::Pull => Decision::ask(Permission::PULL),
        Action::List => Decision::ask(Permission::LIST),
        Action::Push => Decision::ask(Permission::PUSH),
        Action::Administer => Decision::ask(Permission::ADMINISTER),
        Action::PushTag { guard, change } => {
            guarded(site, guard, *change == Change::Move, Permission::PUSH, Permission::PUSH_PROTECTED)
        }
        Action::DeleteOne { guard } => {
            guarded(site, guard, true, Permission::DELETE_ONE, Permission::DELETE_ONE_PROTECTED)
        }
        Action::DeleteMany { guard } => {
            guarded(site, guard, true, Permission::DELETE_MANY, Permission::DELETE_MANY_PROTECTED)
        }
    }
}

/// A change to guarded tags: the plain right first, so that the guard is told only to who has it.
fn guarded(site: &Site, guard: &Guard, alters: bool, plain: Permission, protected: Permission) -> Decision {
    if let (Some(rule), true) = (&guard.immutable, alters) {
        return Decision::ask_then(plain, Err(immutable(site, rule)));
    }
    let mut questions = vec![Question { permission: plain, otherwise: Denial::Hidden }];
    if let Some(rule) = &guard.protected {
        questions.push(Question { permission: protected, otherwise: protected_tag(site, rule, protected) });
    }
    Decision::IfPermitted { questions, then: Ok(()) }
}

/// A deploy token has what its scopes say in its own repository, and never deletes. It has no role, so a protected tag
/// is out of its reach (GitLab lets deploy tokens pass there; an unknown level must deny).
fn decide_token(site: &Site, grant: &TokenGrant, action: &Action) -> Decision {
    let here = grant.repository == site.repository;
    match action {
        Action::Pull | Action::List if here && grant.reads() => Decision::Allow,
        Action::Push if here && grant.writes() => Decision::Allow,
        Action::PushTag { guard, change } if here && grant.writes() => match (&guard.immutable, &guard.protected) {
            (Some(rule), _) if *change == Change::Move => Decision::Deny(immutable(site, rule)),
            (_, Some(rule)) => Decision::Deny(protected_tag(site, rule, Permission::PUSH_PROTECTED)),
            _ => Decision::Allow,
        },
        _ => Decision::Deny(Denial::Hidden),
    }
}

fn immutable(site: &Site, rule: &str) -> Denial {
    Denial::Forbidden(Refusal::ImmutableTag { rule: rule.to_owned(), repository: site.repository.clone() })
}

fn protected_tag(site: &Site, rule: &str, needed: Permission) -> Denial {
    let repository = site.repository.clone();
    Denial::Forbidden(Refusal::ProtectedTag { rule: rule.to_owned(), repository, needed })
}
