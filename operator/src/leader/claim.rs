//! Who leads: a decision over a Lease and what was seen of it before. No clock is compared with another machine's.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt as _;

/// A Lease not renewed for this long, as we have seen it, may be taken.
pub(super) const DURATION: Duration = Duration::from_secs(15);
/// How often a leader renews, and others look.
pub(super) const RENEWAL: Duration = Duration::from_secs(3);
/// One request; short, so that a slow server does not eat the time in which a leader must have stopped.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);
/// A leader that could not renew for this long stops acting, before anybody else may begin.
pub(super) const ABANDON: Duration = Duration::from_secs(8);

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nobody holds it, it is ours already, or its holder has not renewed it for [`DURATION`].
    Take,
    /// Somebody else holds it.
    Wait,
}

/// A state of the Lease, and for how long it has been the same before our own eyes.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    resource_version: Option<String>,
    unchanged: Duration,
}

impl Sight {
    /// Takes in what the Lease looks like `passed` after the last look.
    pub(super) fn look(&mut self, lease: &Lease, passed: Duration) {
        let version = lease.resource_version();
        if version == self.resource_version {
            self.unchanged = self.unchanged.saturating_add(passed);
        } else {
            *self = Self { resource_version: version, unchanged: Duration::ZERO };
        }
    }

    pub(super) fn claim(&self, lease: &Lease, me: &str) -> Claim {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        if holder.is_empty() || holder == me || self.unchanged >= DURATION { Claim::Take } else { Claim::Wait }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use kube::api::ObjectMeta;

    use super::*;

    fn lease(holder: &str, version: &str) -> Lease {
        let metadata = ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() };
        let spec = LeaseSpec { holder_identity: Some(holder.to_owned()), ..LeaseSpec::default() };
        Lease { metadata, spec: Some(spec) }
    }

    #[test]
    fn a_lease_is_taken_when_free_or_ours_or_seen_unchanged_for_its_duration() {
        let mut sight = Sight::default();
        let theirs = lease("other", "1");
        sight.look(&theirs, Duration::from_secs(100));
        assert_eq!(sight.claim(&theirs, "me"), Claim::Wait, "the first look says nothing about its age");
        sight.look(&theirs, DURATION - Duration::from_secs(1));
        assert_eq!(sight.claim(&theirs, "me"), Claim::Wait);
        let renewed = lease("other", "2");
        sight.look(&renewed, Duration::from_secs(1));
        assert_eq!(sight.claim(&renewed, "me"), Claim::Wait, "renewed just in time");
        sight.look(&renewed, DURATION);
        assert_eq!(sight.claim(&renewed, "me"), Claim::Take);
        assert_eq!(Sight::default().claim(&lease("", "3"), "me"), Claim::Take, "given up");
        assert_eq!(Sight::default().claim(&lease("me", "3"), "me"), Claim::Take);
    }

    #[test]
    fn a_leader_gives_up_before_anybody_may_take_over() {
        // It notices after its pause and one request that is not answered.
        assert!(ABANDON + RENEWAL + TIMEOUT < DURATION);
    }
}
