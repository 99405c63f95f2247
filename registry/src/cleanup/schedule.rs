//! The schedule of `registry serve --manifests`: due policies run by themselves (DESIGN §1, §6). In a cluster CronJobs
//! do this, and the schedule is off.
//!
//! A policy is due at the slots of its schedule. Only the latest slot that has passed ever runs: after a long downtime
//! one run does what all the missed ones would have done. A slot that passed before the policy was first seen, or while
//! it was suspended, is not made up for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use berth_crds::configuration::Policy;
use berth_crds::kinds::Schedule;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::claims::{Claim, Claims};
use super::names::{PolicyName, RunId};
use super::run::{Runs, Start};
use super::state::{Phase, RunState};
use crate::configuration::Current;
use crate::store::StoreError;

/// Between two looks at the schedules: how late a run may start, and how soon a new policy is noticed. A look costs no
/// request unless a slot has passed.
const LOOK: Duration = Duration::from_secs(15);
/// Policies that one replica runs at once.
const AT_ONCE: usize = 2;
/// A replica that claimed a slot and has said nothing for the run's timeout and this long is taken to be dead.
const LEASE_MARGIN: Duration = Duration::from_secs(5 * 60);
/// Between two attempts at a run that failed.
const RETRY: SignedDuration = SignedDuration::from_mins(2);

/// Starts runs when they come due. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Scheduler {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    runs: Runs,
    configuration: Current,
    claims: Claims,
    permits: Semaphore,
    /// What this replica knows, so that a look costs no request: per policy and schedule.
    known: Mutex<BTreeMap<(PolicyName, String), Known>>,
    running: Mutex<BTreeSet<PolicyName>>,
}

/// What is known of one schedule of a policy.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Every slot up to here is settled: run, or not to be run.
    settled: Timestamp,
    /// After a failure: not before this.
    not_before: Option<Timestamp>,
}

impl Scheduler {
    /// A schedule over these runs and this configuration.
    pub fn new(runs: Runs, configuration: Current) -> Self {
        let claims = Claims::new(runs.store());
        let inner = Inner {
            runs,
            configuration,
            claims,
            permits: Semaphore::new(AT_ONCE),
            known: Mutex::default(),
            running: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Looks at the schedules until `stop`, then waits for its runs to reach a point where they can go on elsewhere.
    pub async fn run(self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        while !stop.is_cancelled() {
            for due in self.due(Timestamp::now()) {
                let scheduler = self.clone();
                tasks.spawn(async move { scheduler.take(due, Timestamp::now()).await });
            }
            stop.run_until_cancelled(tokio::time::sleep(LOOK)).await;
        }
        tasks.close();
        tasks.wait().await;
    }

    /// One look and everything that follows from it.
    #[cfg(test)]
    pub(super) async fn look(&self, now: Timestamp) {
        for due in self.due(now) {
            self.take(due, now).await;
        }
    }

    /// Settles what a look found, as soon as there is room for it.
    async fn take(&self, due: Due, now: Timestamp) {
        if let Ok(_permit) = self.inner.permits.acquire().await {
            self.settle(&due, now).await;
        }
        self.lock_running().remove(&due.policy);
    }

    /// One look: policies whose latest slot is not known to be settled, and which are not being run here. They are
    /// marked as running until [`Scheduler::settle`] is through.
    fn due(&self, now: Timestamp) -> Vec<Due> {
        let compiled = self.inner.configuration.compiled();
        let mut due = Vec::new();
        for policy in compiled.policies() {
            let Some(one) = self.judge(policy, now) else { continue };
            if self.lock_running().insert(one.policy.clone()) {
                due.push(one);
            }
        }
        due
    }

    fn judge(&self, policy: &Policy, now: Timestamp) -> Option<Due> {
        let Policy { name, entry, slots, .. } = policy;
        let policy: PolicyName = name.parse().ok()?;
        let slot = slots.latest(now)?;
        let schedule = schedule_text(&entry.spec.schedule);
        let known = self.lock_known().get(&(policy.clone(), schedule.clone())).copied();
        if let Some(known) = known
            && (slot <= known.settled || known.not_before.is_some_and(|moment| now < moment))
        {
            return None;
        }
        let timeout: Duration = entry.spec.limits.timeout.into();
        Some(Due { policy, schedule, slot, suspended: entry.spec.suspend, lease: timeout + LEASE_MARGIN })
    }

    /// Runs a slot, finds that somebody else does or did, or lets it pass.
    async fn settle(&self, due: &Due, now: Timestamp) {
        let known = match self.try_settle(due, now).await {
            Ok(Settled::Yes) => Known { settled: due.slot, not_before: None },
            Ok(Settled::Elsewhere) => self.known_before(due, Some(now + RETRY)),
            Ok(Settled::Failed(message)) => {
                tracing::warn!(policy = %due.policy, slot = %due.slot, "the scheduled run failed: {message}");
                self.known_before(due, Some(now + RETRY))
            }
            Err(error) => {
                tracing::warn!(policy = %due.policy, slot = %due.slot, %error, "the slot cannot be looked at");
                self.known_before(due, Some(now + RETRY))
            }
        };
        self.lock_known().insert((due.policy.clone(), due.schedule.clone()), known);
    }

    async fn try_settle(&self, due: &Due, now: Timestamp) -> Result<Settled, StoreError> {
        let Due { policy, schedule, slot, suspended, lease } = due;
        if self.inner.claims.since(policy, schedule, now).await? >= *slot {
            return Ok(Settled::Yes);
        }
        let run = RunId::of_slot(policy, *slot);
        if self.inner.runs.is_finished(&run).await? {
            return Ok(Settled::Yes);
        }
        if *suspended {
            self.inner.claims.pass(policy, schedule, now).await?;
            return Ok(Settled::Yes);
        }
        match self.inner.claims.claim(policy, *slot, *lease).await? {
            Claim::Theirs => return Ok(Settled::Elsewhere),
            Claim::Ours => {}
        }
        tracing::info!(%policy, %slot, %run, "a scheduled run starts");
        let start = Start { run, dry_run: false, minimum_revision: None };
        let mut states = match self.inner.runs.start(policy, start).await {
            Ok(states) => states,
            Err(error) => return Ok(Settled::Failed(error.to_string())),
        };
        // The sender is dropped only after the last state was sent.
        let last: RunState = match states.wait_for(RunState::is_final).await {
            Ok(state) => state.clone(),
            Err(_) => return Ok(Settled::Failed("the run ended without a word".to_owned())),
        };
        match (last.phase, last.failure) {
            (Phase::Finished, _) => {
                self.inner.claims.forget_before(policy, *slot).await?;
                Ok(Settled::Yes)
            }
            (_, failure) => {
                Ok(Settled::Failed(failure.map_or_else(|| "interrupted".to_owned(), |failure| failure.message)))
            }
        }
    }

    fn known_before(&self, due: &Due, not_before: Option<Timestamp>) -> Known {
        let known = self.lock_known().get(&(due.policy.clone(), due.schedule.clone())).copied();
        Known { settled: known.map_or(Timestamp::MIN, |known| known.settled), not_before }
    }

    fn lock_known(&self) -> std::sync::MutexGuard<'_, BTreeMap<(PolicyName, String), Known>> {
        // Every change is one insert: what another thread left behind when it panicked is whole.
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_running(&self) -> std::sync::MutexGuard<'_, BTreeSet<PolicyName>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A policy whose latest slot may have to run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Due {
    policy: PolicyName,
    schedule: String,
    slot: Timestamp,
    suspended: bool,
    lease: Duration,
}

/// What became of a slot.
#[derive(Debug, PartialEq, Eq)]
enum Settled {
    Yes,
    /// Another replica is at it.
    Elsewhere,
    Failed(String),
}

/// A schedule as text, to tell a changed one from the same.
fn schedule_text(schedule: &Schedule) -> String {
    serde_json::to_string(schedule).expect("plain values always serialise")
}
