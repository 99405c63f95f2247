//! Roles, and who has which, for installations whose membership is a users file (DESIGN §4).
//!
//! In a cluster these are ClusterRoles and RoleBindings, and this module is not asked.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::permission::{Permission, Resource, Verb};
use crate::name::RepositoryName;

/// A role, from the least to the most powerful; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Reporter,
    Developer,
    Maintainer,
    Owner,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Reporter, Self::Developer, Self::Maintainer, Self::Owner];

    /// Whether the role includes a right: DESIGN §4's table, cell by cell. What no cell grants is not granted.
    pub fn grants(self, permission: Permission) -> bool {
        let least = match (permission.resource, permission.verb) {
            (Resource::Images, Verb::Get | Verb::List) => Self::Reporter,
            (Resource::Images, Verb::Update | Verb::Delete) => Self::Developer,
            (Resource::Images, Verb::DeleteCollection)
            | (Resource::ProtectedTags, Verb::Update | Verb::Delete | Verb::DeleteCollection)
            | (Resource::Runs, Verb::Create) => Self::Maintainer,
            (Resource::Repository, Verb::Administer) => Self::Owner,
            _ => return false,
        };
        self >= least
    }
}

/// Where a role holds: the keys of a user's `roles`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `*`
    Everywhere,
    /// `team-a`: every repository of the namespace, and its policies.
    Namespace(String),
    /// `team-a/shop`: one repository.
    Repository(RepositoryName),
}

/// One user's roles. Where several apply, the most powerful holds: as in RBAC, rules only add.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Memberships(BTreeMap<Place, Role>);

impl Memberships {
    pub fn new(roles: impl IntoIterator<Item = (Place, Role)>) -> Self {
        Self(roles.into_iter().collect())
    }

    /// The role in a repository, if any.
    pub fn in_repository(&self, repository: &RepositoryName) -> Option<Role> {
        let own = self.0.get(&Place::Repository(repository.clone())).copied();
        own.max(self.in_namespace(repository.namespace()))
    }

    /// The role in a whole namespace, which is what its policies ask for.
    pub fn in_namespace(&self, namespace: &str) -> Option<Role> {
        let everywhere = self.0.get(&Place::Everywhere).copied();
        everywhere.max(self.0.get(&Place::Namespace(namespace.to_owned())).copied())
    }

    /// Whether these roles include a right in a repository.
    pub fn may(&self, repository: &RepositoryName, permission: Permission) -> bool {
        self.in_repository(repository).is_some_and(|role| role.grants(permission))
    }

    /// Whether these roles include a right in a whole namespace.
    pub fn may_in_namespace(&self, namespace: &str, permission: Permission) -> bool {
        self.in_namespace(namespace).is_some_and(|role| role.grants(permission))
    }
}

/// Why a key of `roles` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{place}\" is no place for a role: write a namespace, a repository <namespace>/<name>, or \"*\" ({reason})")]
pub struct RoleError {
    place: String,
    reason: String,
}

impl FromStr for Place {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        let refuse = |reason: crate::name::NameError| RoleError { place: text.to_owned(), reason: reason.to_string() };
        match text {
            "*" => Ok(Self::Everywhere),
            _ if text.contains('/') => text.parse().map(Self::Repository).map_err(refuse),
            // A namespace follows the rules of a repository's first segment: try it as one.
            _ => RepositoryName::new(text, "any").map(|_| Self::Namespace(text.to_owned())).map_err(refuse),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere => f.write_str("*"),
            Self::Namespace(namespace) => f.write_str(namespace),
            Self::Repository(repository) => f.write_str(repository.as_str()),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_of_the_role_table() {
        let rows = [
            (Permission::PULL, [true, true, true, true]),
            (Permission::LIST, [true, true, true, true]),
            (Permission::PUSH, [false, true, true, true]),
            (Permission::DELETE_ONE, [false, true, true, true]),
            (Permission::DELETE_MANY, [false, false, true, true]),
            (Permission::RUN_POLICY, [false, false, true, true]),
            (Permission::PUSH_PROTECTED, [false, false, true, true]),
            (Permission::DELETE_ONE_PROTECTED, [false, false, true, true]),
            (Permission::DELETE_MANY_PROTECTED, [false, false, true, true]),
            (Permission::ADMINISTER, [false, false, false, true]),
        ];
        assert_eq!(rows.len(), Permission::ALL.len());
        for (permission, row) in rows {
            assert!(Permission::ALL.contains(&permission));
            for (role, expected) in Role::ALL.into_iter().zip(row) {
                assert_eq!(role.grants(permission), expected, "{role:?}: {permission}");
            }
        }
    }

    #[test]
    fn a_right_outside_the_table_belongs_to_no_role() {
        let verbs =
            [Verb::Get, Verb::List, Verb::Create, Verb::Update, Verb::Delete, Verb::DeleteCollection, Verb::Administer];
        for resource in [Resource::Images, Resource::ProtectedTags, Resource::Runs, Resource::Repository] {
            for permission in verbs.map(|verb| Permission::new(resource, verb)) {
                if !Permission::ALL.contains(&permission) {
                    assert!(!Role::Owner.grants(permission), "{permission}");
                }
            }
        }
    }

    #[test]
    fn the_most_powerful_role_that_applies_holds() {
        let memberships: Memberships = serde_json::from_str(
            r#"{"team-a": "developer", "team-a/low": "reporter", "team-b/shop": "owner", "*": "reporter"}"#,
        )
        .unwrap();
        let role = |repository: &str| memberships.in_repository(&repository.parse().unwrap());
        assert_eq!(role("team-a/shop"), Some(Role::Developer));
        assert_eq!(role("team-a/low"), Some(Role::Developer));
        assert_eq!(role("team-b/shop"), Some(Role::Owner));
        assert_eq!(role("team-b/other"), Some(Role::Reporter));
        assert!(memberships.may(&"team-b/shop".parse().unwrap(), Permission::ADMINISTER));
        assert!(!memberships.may_in_namespace("team-b", Permission::RUN_POLICY), "a repository's owner runs no policy");
        assert_eq!(Memberships::default().in_repository(&"team-a/shop".parse().unwrap()), None);
    }

    #[test]
    fn unknown_roles_and_places_are_refused_with_what_to_write() {
        assert!(serde_json::from_str::<Memberships>(r#"{"team-a": "guest"}"#).is_err());
        for place in ["Team", "team-a/shop/api", "team-a/", "", "team-a/*"] {
            let error = place.parse::<Place>().unwrap_err().to_string();
            assert!(error.contains("<namespace>/<name>"), "{error}");
        }
        for place in ["*", "team-a", "team-a/shop"] {
            assert_eq!(place.parse::<Place>().unwrap().to_string(), place);
        }
    }
}
