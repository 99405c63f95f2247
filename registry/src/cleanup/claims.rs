//! Which replica runs a slot of a schedule, and which slots a policy missed.
//!
//! ```text
//! meta/policies/<namespace>!<name>/since.<schedule>     when the policy was first seen with this schedule
//! meta/policies/<namespace>!<name>/slots/<slot>.<term>/…   who runs this slot
//! ```
//!
//! The schedulers that find a slot due agree on one of them ([`Agreement`]), which runs it. What it has not finished
//! when its lease ends, because it died, they agree on anew, in the next term. A scheduler that was only slow may then
//! run the slot beside its successor: both go by the one plan of one run ([`RunId::of_slot`]).
//!
//! [`RunId::of_slot`]: super::names::RunId::of_slot

use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use ulid::Ulid;

use super::agreement::Agreement;
use super::names::PolicyName;
use super::store::policy_folder;
use crate::store::{ListQuery, NewObject, Store, StoreError, read_all};

/// The claims of one scheduler.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    store: Arc<dyn Store>,
    claimant: Ulid,
}

/// Who runs a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Ours,
    Theirs,
}

impl Claims {
    /// The claims of a process that has just started: under a name nobody else has.
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, claimant: Ulid::generate() }
    }

    /// Claims a slot, which is `Ours` for one claimant at a time. A claim older than `lease`, by the store's own clock,
    /// is of a replica that died in the middle.
    pub(super) async fn claim(
        &self,
        policy: &PolicyName,
        slot: Timestamp,
        lease: Duration,
    ) -> Result<Claim, StoreError> {
        let mut term: u32 = 0;
        loop {
            let folder = format!("{}{}.{term:04}", slots_of(policy), text_of(slot));
            let agreement = Agreement::new(Arc::clone(&self.store), &folder);
            let claimant = match agreement.reached().await? {
                Some(agreed) if agreed.age > lease => {
                    term += 1;
                    continue;
                }
                Some(agreed) => agreed.value,
                None => agreement.reach(self.claimant).await?,
            };
            return Ok(if claimant == self.claimant { Claim::Ours } else { Claim::Theirs });
        }
    }

    /// Forgets the claims of slots before this one; nobody runs those any more.
    pub(super) async fn forget_before(&self, policy: &PolicyName, slot: Timestamp) -> Result<(), StoreError> {
        let prefix = slots_of(policy);
        let limit = format!("{prefix}{}", text_of(slot));
        let page = self.store.list(ListQuery::below(&prefix)).await?;
        let old: Vec<String> = page.entries.into_iter().map(|entry| entry.key).filter(|key| *key < limit).collect();
        if old.is_empty() {
            return Ok(());
        }
        self.store.delete_many(&old).await?.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Since when the policy has this schedule; `now` if nobody saw it before. Slots up to then are not missed ones: a
    /// new policy, or a new schedule, first runs when it comes due.
    pub(super) async fn since(
        &self,
        policy: &PolicyName,
        schedule: &str,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let key = since_key(policy, schedule);
        if let Some(object) = self.store.get(&key, None).await? {
            let text = read_all(object.body).await?;
            if let Some(since) = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()) {
                return Ok(since);
            }
        }
        self.pass(policy, schedule, now).await?;
        Ok(now)
    }

    /// Lets every slot up to `now` pass unused: the policy is suspended.
    pub(super) async fn pass(&self, policy: &PolicyName, schedule: &str, now: Timestamp) -> Result<(), StoreError> {
        self.store.put(&since_key(policy, schedule), NewObject::bytes(now.to_string())).await
    }
}

fn slots_of(policy: &PolicyName) -> String {
    format!("{}slots/", policy_folder(policy))
}

/// Schedules are compared by hash: a cron expression does not fit into a key.
fn since_key(policy: &PolicyName, schedule: &str) -> String {
    let hash = HEXLOWER.encode(&Sha256::digest(schedule)[..8]);
    format!("{}since.{hash}", policy_folder(policy))
}

/// Sorts like the time it names.
fn text_of(slot: Timestamp) -> String {
    slot.strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::memory::{Faults, MemoryStore};

    const LEASE: Duration = Duration::from_secs(900);

    fn policy() -> PolicyName {
        "team-a/nightly".parse().unwrap()
    }

    fn slot() -> Timestamp {
        "2026-11-24T03:00:00Z".parse().unwrap()
    }

    #[tokio::test]
    async fn a_slot_is_claimed_once_and_again_by_its_owner() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let (first, second) = (Claims::new(store.clone()), Claims::new(store));
        assert_eq!(first.claim(&policy(), slot(), LEASE).await.unwrap(), Claim::Ours);
        assert_eq!(second.claim(&policy(), slot(), LEASE).await.unwrap(), Claim::Theirs);
        assert_eq!(first.claim(&policy(), slot(), LEASE).await.unwrap(), Claim::Ours);
        let next = slot() + Duration::from_secs(86_400);
        assert_eq!(second.claim(&policy(), next, LEASE).await.unwrap(), Claim::Ours);
    }

    #[tokio::test]
    async fn a_claim_of_a_dead_replica_is_taken_over() {
        let store = MemoryStore::new();
        let (dead, alive) = (Claims::new(Arc::new(store.clone())), Claims::new(Arc::new(store.clone())));
        assert_eq!(dead.claim(&policy(), slot(), LEASE).await.unwrap(), Claim::Ours);
        store.advance(LEASE - Duration::from_secs(60));
        assert_eq!(alive.claim(&policy(), slot(), LEASE).await.unwrap(), Claim::Theirs);
        store.advance(Duration::from_secs(120));
        assert_eq!(alive.claim(&policy(), slot(), LEASE).await.unwrap(), Claim::Ours);
    }

    /// Every request of one may come before or after any of another's; a failing seed replays.
    #[tokio::test]
    async fn of_several_who_claim_a_slot_at_once_exactly_one_runs_it() {
        for seed in 0..200 {
            let store = MemoryStore::simulated(seed, Faults::NONE);
            let claims = ["one", "two", "three"].map(|name| Claims::new(Arc::new(store.named(name))));
            let (policy, slot) = (policy(), slot());
            let answers = futures::future::join_all(claims.iter().map(|one| one.claim(&policy, slot, LEASE))).await;
            let ours = answers.into_iter().filter(|answer| matches!(answer, Ok(Claim::Ours))).count();
            assert_eq!(ours, 1, "seed {seed}");
        }
    }

    #[tokio::test]
    async fn claims_of_old_slots_are_forgotten() {
        let store = MemoryStore::new();
        let claims = Claims::new(Arc::new(store.clone()));
        for day in 0..3_u64 {
            claims.claim(&policy(), slot() + Duration::from_secs(86_400 * day), LEASE).await.unwrap();
        }
        let last = slot() + Duration::from_secs(86_400 * 2);
        claims.forget_before(&policy(), last).await.unwrap();
        let keys: Vec<String> = store.snapshot().into_keys().collect();
        assert!(!keys.is_empty() && keys.iter().all(|key| key.contains("/slots/20261126T030000Z.")), "{keys:?}");
    }

    #[tokio::test]
    async fn a_schedule_is_dated_when_it_is_first_seen() {
        let claims = Claims::new(Arc::new(MemoryStore::new()));
        let later = slot() + Duration::from_secs(3600);
        assert_eq!(claims.since(&policy(), "cadence 1d", slot()).await.unwrap(), slot());
        assert_eq!(claims.since(&policy(), "cadence 1d", later).await.unwrap(), slot());
        assert_eq!(claims.since(&policy(), "cadence 7d", later).await.unwrap(), later);
        claims.pass(&policy(), "cadence 1d", later).await.unwrap();
        assert_eq!(claims.since(&policy(), "cadence 1d", later).await.unwrap(), later);
    }
}
