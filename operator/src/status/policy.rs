//! The status of a CleanupPolicy.

use berth_crds::kinds::conditions::{self, ConditionType};
use berth_crds::kinds::{CleanupPolicy, CleanupPolicyStatus, ConditionReason, RunResult, RunSummary};
use berth_crds::schedule::Slots;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{View, set_conditions};
use crate::index::{Kept, Key, Watermark};

/// `None` while what was compiled is an older state of the object: the next one is on its way.
pub(crate) fn policy_status(key: &Key, kept: &Kept<CleanupPolicy>, view: &View<'_>) -> Option<CleanupPolicyStatus> {
    let object = &kept.object;
    let before = object.status.clone().unwrap_or_default();
    let outcome = view.outcome("CleanupPolicy", key, object.metadata.generation)?;
    let own = Watermark { policies: kept.since, ..Watermark::default() };
    let enforcement = view.enforcement(own, outcome);
    let mut conditions = set_conditions(&before.conditions, outcome, kept.problem.as_deref(), &enforcement, view.now);
    let (holds, reason, message) = last_run(before.last_run.as_ref());
    conditions::set(
        &mut conditions,
        ConditionType::LastRunSucceeded,
        holds,
        reason,
        message,
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
        conditions,
        ..before
    })
}

/// The moment that is there already, as long as it is still to come: it is a function of the schedule, and moves only
/// when that does.
fn next_run(key: &Key, object: &CleanupPolicy, view: &View<'_>) -> Option<Time> {
    let slots = Slots::of(&object.spec.schedule, &format!("{}/{}", key.namespace, key.name)).ok()?;
    slots.next(view.now).map(Time)
}

fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    conditions.iter().any(|condition| condition.type_ == kind.as_str() && condition.status == "True")
}

fn last_run(run: Option<&RunSummary>) -> (Option<bool>, ConditionReason, String) {
    let Some(run) = run else {
        return (None, ConditionReason::NeverRun, "no run has ended so far".to_owned());
    };
    let kept = run.kept;
    let deleted = run.deleted;
    match run.result {
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
