//! The status of a CleanupPolicy.

use berth_crds::kinds::conditions::{self, ConditionType};
use berth_crds::kinds::{CleanupPolicy, CleanupPolicyStatus, ConditionReason, RunResult, RunSummary};
use berth_crds::schedule::Slots;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{View, set_conditions};
use crate::index::{Kept, Key, Watermark};
use jiff::Timestamp;

/// What is known of a run that has ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LastRun {
    /// When its Job was made, by the clock of the API server.
    pub(crate) created: Timestamp,
    pub(crate) summary: RunSummary,
    /// Whether the run itself said how it ended: that is not replaced by what the Job alone tells.
    pub(crate) told: bool,
    /// What `summary` cannot say, such as why there is no report.
    pub(crate) message: Option<String>,
}

impl LastRun {
    pub(crate) fn ended(&self) -> Option<Timestamp> {
        self.summary.completion_time.as_ref().map(|time| time.0)
    }

    /// Whether the status should say this instead of `before`. Jobs are forgotten sooner than a status, and may be left
    /// from a policy of the same name.
    fn is_news(&self, policy: &CleanupPolicy, before: Option<&RunSummary>) -> bool {
        let of_this_policy = policy.metadata.creation_timestamp.as_ref().is_none_or(|time| time.0 <= self.created);
        of_this_policy
            && before.is_none_or(|before| {
                if before.id == self.summary.id {
                    self.told
                } else {
                    before.completion_time.as_ref().map(|time| time.0) <= self.ended()
                }
            })
    }
}

/// `None` while what was compiled is an older state of the object: the next one is on its way.
pub(crate) fn policy_status(key: &Key, kept: &Kept<CleanupPolicy>, view: &View<'_>) -> Option<CleanupPolicyStatus> {
    let object = &kept.object;
    let before = object.status.clone().unwrap_or_default();
    let outcome = view.outcome("CleanupPolicy", key, object.metadata.generation)?;
    let own = Watermark { policies: kept.since, ..Watermark::default() };
    let enforcement = view.enforcement(own, outcome);
    let mut conditions = set_conditions(&before.conditions, outcome, kept.problem.as_deref(), &enforcement, view.now);
    let news = view.runs.get(key).filter(|run| run.is_news(object, before.last_run.as_ref()));
    let last_run = news.map(|run| run.summary.clone()).or_else(|| before.last_run.clone());
    // What was said of a run stays when its Job is gone.
    let told = news.map_or_else(
        || message_of(&before.conditions, ConditionType::LastRunSucceeded).filter(|_| last_run.is_some()),
        |run| run.message.clone(),
    );
    let (holds, reason, message) = succeeded(last_run.as_ref());
    conditions::set(
        &mut conditions,
        ConditionType::LastRunSucceeded,
        holds,
        reason,
        told.unwrap_or(message),
        outcome.generation,
        view.now,
    );
    if object.spec.suspend && is_true(&conditions, ConditionType::Ready) {
        let message = "the schedule is suspended; plans and dry runs still work";
        let (reason, generation) = (ConditionReason::Suspended, outcome.generation);
        conditions::set(&mut conditions, ConditionType::Ready, Some(true), reason, message, generation, view.now);
    }
    Some(CleanupPolicyStatus {
        observed_generation: outcome.generation,
        next_run_time: (outcome.accepted && !object.spec.suspend).then(|| next_run(key, object, view)).flatten(),
        last_run,
        conditions,
    })
}

/// A function of the schedule and the moment alone: nothing that is edited elsewhere moves it.
fn next_run(key: &Key, object: &CleanupPolicy, view: &View<'_>) -> Option<Time> {
    let slots = Slots::of(&object.spec.schedule, &format!("{}/{}", key.namespace, key.name)).ok()?;
    slots.next(view.now).map(Time)
}

fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    conditions.iter().any(|condition| condition.type_ == kind.as_str() && condition.status == "True")
}

fn message_of(conditions: &[Condition], kind: ConditionType) -> Option<String> {
    conditions.iter().find(|condition| condition.type_ == kind.as_str()).map(|condition| condition.message.clone())
}

fn succeeded(run: Option<&RunSummary>) -> (Option<bool>, ConditionReason, String) {
    let Some(run) = run else {
        return (None, ConditionReason::NeverRun, "no run has ended so far".to_owned());
    };
    let kept = run.kept;
    let deleted = run.deleted;
    match run.result {
        RunResult::Completed | RunResult::Unfinished if run.dry_run => {
            let would = run.would_delete.unwrap_or_default();
            let message = format!("a dry run: {would} tags would have been deleted, {kept} kept");
            let unfinished = run.result == RunResult::Unfinished;
            let reason = if unfinished { ConditionReason::Unfinished } else { ConditionReason::Completed };
            (Some(true), reason, message)
        }
        RunResult::Completed => {
            (Some(true), ConditionReason::Completed, format!("{deleted} tags deleted, {kept} kept"))
        }
        RunResult::NothingToDo => (Some(true), ConditionReason::NothingToDo, format!("no tag had to go, {kept} kept")),
        RunResult::Unfinished => {
            let message = format!("{deleted} tags deleted before a limit was reached; the next run goes on");
            (Some(true), ConditionReason::Unfinished, message)
        }
        RunResult::Failed => {
            let message = format!("run {} failed after {deleted} deletions: see the log of its Job", run.id);
            (Some(false), ConditionReason::Failed, message)
        }
    }
}
