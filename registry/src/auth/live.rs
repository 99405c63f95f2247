//! The decision of this moment: the configuration in force, the authority, and nothing a token says.

use std::sync::Arc;

use berth_crds::access::{self, Action, Decision, Denial, Guard, Permission, Site, TokenGrant};
use berth_crds::configuration::{Configuration, RepositoryEntry};
use berth_crds::name::{ImageName, RepositoryName};
use jiff::Timestamp;

use super::authority::{Authority, AuthorityError};
use super::deploy_token;
use super::scope::{ScopeAction, ScopeActions};
use super::subject::{DeployTokenId, Subject};

/// What decisions are made from.
pub(super) struct Live<'a> {
    pub(super) configuration: Arc<Configuration>,
    pub(super) authority: &'a dyn Authority,
    pub(super) now: Timestamp,
}

/// How a subject stands towards an action at this moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Allowed,
    /// Would be allowed, were there a ContainerRepository.
    NoRepository,
    Denied(Denial),
    /// The subject is no more: a deploy token that was revoked or has expired, a user who was removed or whose
    /// password was changed.
    Revoked,
}

impl Live<'_> {
    /// Whether a subject proven earlier still is one.
    pub(super) async fn stands(&self, subject: &Subject) -> Result<bool, AuthorityError> {
        Ok(self.current(subject).await?.is_some())
    }

    pub(super) async fn standing(
        &self,
        subject: &Subject,
        image: &ImageName,
        action: &Action,
    ) -> Result<Standing, AuthorityError> {
        let repository = image.repository();
        let Some(current) = self.current(subject).await? else { return Ok(Standing::Revoked) };
        let entry = self.configuration.repositories.get(repository);
        let site = entry.map_or_else(|| Site::absent(repository.clone()), |entry| site_of(repository, entry));
        let outcome = self.settle(subject, repository, access::decide(&site, &current, action)).await?;
        let outcome = match outcome {
            // Who may create content at a path may also be told that there is none: clients look before they push,
            // and a 401 there would end the push (protocol quirk Q6). Asked whether or not there is something, so
            // that the time it takes does not tell.
            Err(Denial::Hidden) if *action == Action::Pull => {
                let absent = Site::absent(repository.clone());
                let creates =
                    self.settle(subject, repository, access::decide(&absent, &current, &Action::Push)).await?;
                if entry.is_none() { creates } else { Err(Denial::Hidden) }
            }
            outcome => outcome,
        };
        Ok(match (outcome, entry) {
            (Ok(()), Some(_)) => Standing::Allowed,
            (Ok(()), None) => Standing::NoRepository,
            (Err(denial), _) => Standing::Denied(denial),
        })
    }

    /// The scope actions a subject could use on an image at this moment: what a token may be given.
    pub(super) async fn grantable(
        &self,
        subject: &Subject,
        image: &ImageName,
        asked: &ScopeActions,
    ) -> Result<ScopeActions, AuthorityError> {
        let mut granted = Vec::new();
        for scope_action in asked.iter() {
            let action = match scope_action {
                ScopeAction::Pull => Action::Pull,
                ScopeAction::Push => Action::Push,
                ScopeAction::Delete => Action::DeleteOne { guard: Guard::default() },
            };
            if matches!(self.standing(subject, image, &action).await?, Standing::Allowed | Standing::NoRepository) {
                granted.push(scope_action);
            }
        }
        Ok(granted.into_iter().collect())
    }

    /// Whether a subject may run the policies of a namespace.
    pub(super) async fn may_run(&self, subject: &Subject, namespace: &str) -> Result<bool, AuthorityError> {
        let Some(current) = self.current(subject).await? else { return Ok(false) };
        match (access::decide_run(&current), subject) {
            (Decision::Allow, _) => Ok(true),
            (Decision::IfPermitted { questions, then: Ok(()) }, Subject::User(user)) => {
                for question in questions {
                    if !self.authority.may_in_namespace(user, namespace, question.permission).await? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The subject as decisions see it, from what holds now; `None` when it is no more.
    async fn current(&self, subject: &Subject) -> Result<Option<access::Subject>, AuthorityError> {
        Ok(match subject {
            Subject::Anonymous => Some(access::Subject::Anonymous),
            Subject::User(user) => {
                let stands = self.authority.stands(user).await?;
                stands.then(|| access::Subject::User { name: user.name.clone() })
            }
            Subject::DeployToken(DeployTokenId { repository, id }) => {
                let entry = deploy_token::current(&self.configuration, repository, id, self.now);
                entry.map(|entry| {
                    access::Subject::DeployToken(TokenGrant {
                        repository: repository.clone(),
                        name: entry.name.clone(),
                        scopes: entry.scopes.clone(),
                    })
                })
            }
        })
    }

    /// Puts a decision's questions to the authority, as [`Decision::settle`] does where the answers are at hand.
    async fn settle(
        &self,
        subject: &Subject,
        repository: &RepositoryName,
        decision: Decision,
    ) -> Result<Result<(), Denial>, AuthorityError> {
        let (questions, then) = match decision {
            Decision::Allow => return Ok(Ok(())),
            Decision::Deny(denial) => return Ok(Err(denial)),
            Decision::IfPermitted { questions, then } => (questions, then),
        };
        for question in questions {
            // Only users have permissions; decisions ask for nobody else's.
            let permitted = match subject {
                Subject::User(user) => self.authority.may(user, repository, question.permission).await?,
                Subject::Anonymous | Subject::DeployToken(_) => false,
            };
            if !permitted {
                return Ok(Err(question.otherwise));
            }
        }
        Ok(then)
    }
}

fn site_of(repository: &RepositoryName, entry: &RepositoryEntry) -> Site {
    Site { repository: repository.clone(), visibility: entry.visibility, access: entry.access }
}

/// What to tell somebody who may do something to an image, but not this.
pub(super) fn missing_right(action: &Action, repository: &RepositoryName) -> String {
    let (what, needed) = match action {
        Action::Pull => ("pulling", Permission::PULL),
        Action::List => ("listing", Permission::LIST),
        Action::Push | Action::PushTag { .. } => ("pushing", Permission::PUSH),
        Action::DeleteOne { .. } => ("deleting a tag", Permission::DELETE_ONE),
        Action::DeleteMany { .. } => ("deleting more than one tag at once", Permission::DELETE_MANY),
        Action::Administer => ("administering", Permission::ADMINISTER),
    };
    format!("{what} in {repository} takes {needed}, which you do not have: ask an owner of the namespace")
}
