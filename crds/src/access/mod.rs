//! Who may do what: one pure decision for every request (DESIGN §3 "Visibility", §4).
//!
//! [`decide`] knows a repository's visibility and access, who asks and for what. It never asks anybody: where the answer
//! depends on membership, it returns the questions, and the caller puts them to an authority (the users file, or
//! Kubernetes RBAC behind the identity socket) and hands the answers to [`Decision::settle`].
//!
//! Three rules hold everywhere:
//! - *Unknown is denied.* Only what a table row allows is allowed.
//! - *A denial tells nothing that the asker may not know.* [`Denial::Hidden`] is answered exactly like an absent path;
//!   the reasons of [`Refusal`] are given only after the question about the right itself was answered with yes.
//! - *Disabled stops everybody*, owners and deploy tokens included.

mod cluster_roles;
mod decision;
mod installation_roles;
mod permission;
mod role;
mod subject;
mod tags;

pub use cluster_roles::{RUNNER, aggregated_roles, cluster_role, cluster_roles};
pub use decision::{Action, Change, Decision, Denial, Guard, Question, Refusal, Site, decide, decide_run};
pub use installation_roles::{CLEANUP_NAME, OPERATOR_NAME, files as role_files};
pub use permission::{Permission, Resource, Verb};
pub use role::{Memberships, Place, Role, RoleError};
pub use subject::{Subject, TokenGrant};
pub use tags::TagRules;

use crate::kinds::{Access, Visibility};

/// Who may see and pull, as visibility and access say together (DESIGN §3, the table's rows).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// Everybody, also without signing in.
    Everyone,
    /// Everybody whose identity is proven. A deploy token proves no identity.
    SignedIn,
    /// Whom the authority grants `get` on images.
    Members,
    /// Nobody, owners included.
    Nobody,
}

/// The audience of a repository.
pub const fn audience(visibility: Visibility, access: Access) -> Audience {
    match (visibility, access) {
        (_, Access::Disabled) => Audience::Nobody,
        (_, Access::MembersOnly) | (Visibility::Private, Access::Enabled) => Audience::Members,
        (Visibility::Internal, Access::Enabled) => Audience::SignedIn,
        (Visibility::Public, Access::Enabled) => Audience::Everyone,
    }
}

/// The most restrictive of several wishes, each axis for itself, or `None` without any (DESIGN §3): so no edit of labels,
/// no deletion of a newer object and no clock can publish anything.
pub fn strictest(wishes: impl IntoIterator<Item = (Visibility, Access)>) -> Option<(Visibility, Access)> {
    wishes.into_iter().reduce(|(visibility, access), (other_visibility, other_access)| {
        (visibility.max(other_visibility), access.max(other_access))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VISIBILITIES: [Visibility; 3] = [Visibility::Public, Visibility::Internal, Visibility::Private];
    const ACCESSES: [Access; 3] = [Access::Enabled, Access::MembersOnly, Access::Disabled];

    #[test]
    fn every_pair_has_the_audience_of_the_table() {
        use Audience::{Everyone, Members, Nobody, SignedIn};
        let rows = [
            (Visibility::Public, [Everyone, Members, Nobody]),
            (Visibility::Internal, [SignedIn, Members, Nobody]),
            (Visibility::Private, [Members, Members, Nobody]),
        ];
        for (visibility, row) in rows {
            for (access, expected) in ACCESSES.into_iter().zip(row) {
                assert_eq!(audience(visibility, access), expected, "{visibility:?} × {access:?}");
            }
        }
    }

    #[test]
    fn the_most_restrictive_wish_wins_each_axis_for_itself_in_any_order() {
        assert_eq!(strictest([]), None);
        let mixed = [(Visibility::Private, Access::Enabled), (Visibility::Public, Access::Disabled)];
        assert_eq!(strictest(mixed), Some((Visibility::Private, Access::Disabled)));
        for one in VISIBILITIES.into_iter().zip(ACCESSES) {
            for other in VISIBILITIES.into_iter().zip(ACCESSES) {
                let both = strictest([one, other]).expect("two wishes");
                assert_eq!(Some(both), strictest([other, one]));
                assert!(audience(both.0, both.1) >= audience(one.0, one.1), "another object never widens");
            }
        }
    }
}
