//! Slowing down guessing: after repeated failures a user name is locked for the client it is tried from.
//!
//! The lock is on the pair of name and client address, so that nobody can lock somebody else out from elsewhere and one
//! stale password in a build farm does not lock its neighbours out. What protects a name against many addresses is the
//! cost of a check and the few that run at once.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::clock::Clock;
use super::origin::mask;

/// Failures before the first lock. Clients try a password up to twice per login (POST, then GET), so this is at least
/// five logins.
const FREE_FAILURES: u32 = 10;
/// First lock; each further failure doubles it.
const FIRST_LOCK: SignedDuration = SignedDuration::from_secs(5);
const LONGEST_LOCK: SignedDuration = SignedDuration::from_mins(15);
/// Failures are forgotten this long after the last one.
const MEMORY: Duration = Duration::from_secs(30 * 60);

/// Failed logins by user name and client. Bounded; the oldest are forgotten first.
#[derive(Debug)]
pub(super) struct Lockouts {
    clock: Clock,
    failures: moka::future::Cache<(String, Option<IpAddr>), Arc<Mutex<Failures>>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Failures {
    count: u32,
    locked_until: Option<Timestamp>,
}

impl Failures {
    fn locked_for(self, now: Timestamp) -> Option<Duration> {
        let left = self.locked_until?.duration_since(now);
        if left.is_positive() { Duration::try_from(left).ok() } else { None }
    }

    fn one_more(self, now: Timestamp) -> Self {
        let count = self.count.saturating_add(1);
        let over = count.checked_sub(FREE_FAILURES);
        let lock = |over: u32| FIRST_LOCK.checked_mul(1 << over.min(16)).unwrap_or(LONGEST_LOCK).min(LONGEST_LOCK);
        Self { count, locked_until: over.map(|over| now + lock(over)) }
    }
}

impl Lockouts {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, failures: moka::future::Cache::builder().max_capacity(10_000).time_to_idle(MEMORY).build() }
    }

    /// How long this name is still locked for this client.
    pub(super) async fn locked_for(&self, name: &str, client: Option<IpAddr>) -> Option<Duration> {
        let failures = self.failures.get(&key(name, client)).await?;
        let failures = *failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.locked_for(self.clock.now())
    }

    pub(super) async fn failed(&self, name: &str, client: Option<IpAddr>) {
        let entry = self.failures.entry(key(name, client)).or_default().await.into_value();
        let mut failures = entry.lock().unwrap_or_else(PoisonError::into_inner);
        *failures = failures.one_more(self.clock.now());
        if let Some(time) = failures.locked_for(self.clock.now()) {
            tracing::warn!(
                user = name,
                ?client,
                seconds = time.as_secs(),
                "wrong passwords: the name is locked for a while"
            );
        }
    }

    pub(super) async fn succeeded(&self, name: &str, client: Option<IpAddr>) {
        self.failures.invalidate(&key(name, client)).await;
    }
}

/// Names are cut, so that memory is bounded by their number; an IPv6 client has its whole /64.
fn key(name: &str, client: Option<IpAddr>) -> (String, Option<IpAddr>) {
    let client = client.map(|address| match address.to_canonical() {
        v6 @ IpAddr::V6(_) => mask(v6, 64),
        v4 => v4,
    });
    (name.chars().take(128).collect(), client)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::auth::clock::TestClock;

    #[tokio::test]
    async fn repeated_failures_lock_the_name_for_that_client_only_and_longer_each_time() {
        let time = TestClock::new();
        let lockouts = Lockouts::new(time.clock());
        let here = Some("192.0.2.1".parse().unwrap());
        let there = Some("192.0.2.2".parse().unwrap());
        for _ in 1..FREE_FAILURES {
            lockouts.failed("alice", here).await;
        }
        assert_eq!(lockouts.locked_for("alice", here).await, None);
        lockouts.failed("alice", here).await;
        assert_eq!(lockouts.locked_for("alice", here).await, Some(Duration::from_secs(5)));
        assert_eq!(lockouts.locked_for("alice", there).await, None);
        assert_eq!(lockouts.locked_for("bob", here).await, None);

        time.advance(SignedDuration::from_secs(5));
        assert_eq!(lockouts.locked_for("alice", here).await, None);
        lockouts.failed("alice", here).await;
        assert_eq!(lockouts.locked_for("alice", here).await, Some(Duration::from_secs(10)));
        for _ in 0..40 {
            lockouts.failed("alice", here).await;
        }
        assert_eq!(lockouts.locked_for("alice", here).await, Some(Duration::from_secs(15 * 60)));
    }

    #[tokio::test]
    async fn a_success_forgets_the_failures() {
        let lockouts = Lockouts::new(TestClock::new().clock());
        for _ in 0..FREE_FAILURES {
            lockouts.failed("alice", None).await;
        }
        lockouts.succeeded("alice", None).await;
        lockouts.failed("alice", None).await;
        assert_eq!(lockouts.locked_for("alice", None).await, None);
    }

    #[tokio::test]
    async fn a_client_cannot_shed_a_lock_by_moving_within_its_network() {
        let lockouts = Lockouts::new(TestClock::new().clock());
        for host in 0..FREE_FAILURES {
            lockouts.failed("alice", Some(format!("2001:db8::{host}").parse().unwrap())).await;
        }
        assert!(lockouts.locked_for("alice", Some("2001:db8::ffff".parse().unwrap())).await.is_some());
        assert!(lockouts.locked_for("alice", Some("2001:db8:0:1::1".parse().unwrap())).await.is_none());
    }
}
