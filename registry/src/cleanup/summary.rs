//! What a run did, in numbers: the report, and the plan with what became of it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use berth_crds::cleanup::{Action, Plan, Reason, Verdict, bounded};
use berth_crds::kinds::{RepositoryRun, RunResult, RunSummary};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::names::RunId;
use super::store::{Done, Head, Outcome};

/// The report of a run that has ended.
pub(super) fn report(run: &RunId, head: &Head, plan: &Plan, done: &Done, end: Timestamp) -> RunSummary {
    let mut by_reason: BTreeMap<String, u64> = BTreeMap::new();
    let mut repositories: BTreeMap<&str, RepositoryRun> = BTreeMap::new();
    let (mut deleted, mut kept, mut open, mut planned) = (0, 0, 0, 0);
    let mut would_delete = head.dry_run.then_some(0);
    for image in &plan.images {
        let repository = image.image.repository().as_str();
        let run = repositories.entry(repository).or_insert_with(|| RepositoryRun {
            repository: repository.to_owned(),
            deleted: 0,
            would_delete: head.dry_run.then_some(0),
            kept: 0,
        });
        for verdict in &image.verdicts {
            let outcome = done.outcomes.get(&(image.image.clone(), verdict.tag.clone()));
            planned += u64::from(verdict.action == Action::Delete);
            let (fate, reason) = fate(verdict, outcome, head);
            *by_reason.entry(reason.as_str().to_owned()).or_default() += 1;
            match fate {
                Fate::Deleted => match (&mut would_delete, &mut run.would_delete) {
                    (Some(all), Some(here)) => {
                        *all += 1;
                        *here += 1;
                    }
                    _ => {
                        deleted += 1;
                        run.deleted += 1;
                    }
                },
                Fate::Kept => {
                    kept += 1;
                    run.kept += 1;
                }
                Fate::Open => open += 1,
                Fate::Gone => {}
            }
        }
    }
    let deletions = |run: &RepositoryRun| run.would_delete.unwrap_or(run.deleted);
    let mut repositories: Vec<RepositoryRun> = repositories.into_values().filter(|run| deletions(run) > 0).collect();
    repositories.sort_by_key(|run| Reverse(deletions(run)));
    let result = match () {
        () if open > 0 => RunResult::Unfinished,
        () if planned == 0 => RunResult::NothingToDo,
        () => RunResult::Completed,
    };
    let report = RunSummary {
        id: run.to_string(),
        start_time: whole_second(head.start_time),
        completion_time: Some(whole_second(end)),
        result,
        dry_run: head.dry_run,
        deleted,
        would_delete,
        kept,
        by_reason,
        // What is freed depends on layers that other tags share; only the collector knows.
        bytes: None,
        repositories,
        more: 0,
        plan: Some(run.to_string()),
    };
    bounded(report)
}

/// A time as Kubernetes writes it, so that a report reads back as it was written.
pub(super) fn whole_second(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// Where a tag is after the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Deleted,
    Kept,
    /// Left for a later run.
    Open,
    /// Removed by somebody else.
    Gone,
}

fn fate(verdict: &Verdict, outcome: Option<&Outcome>, head: &Head) -> (Fate, Reason) {
    match (verdict.action, outcome) {
        (Action::Keep, _) => (Fate::Kept, verdict.reason),
        // A saved plan is done when its deletions are; it says nothing about a later one.
        (Action::Later, _) if head.saved => (Fate::Kept, verdict.reason),
        (Action::Later, _) => (Fate::Open, verdict.reason),
        (Action::Delete, None) if head.dry_run => (Fate::Deleted, verdict.reason),
        (Action::Delete, None) => (Fate::Open, Reason::LimitReached),
        (Action::Delete, Some(Outcome::Deleted)) => (Fate::Deleted, verdict.reason),
        (Action::Delete, Some(Outcome::Gone)) => (Fate::Gone, Reason::Gone),
        (Action::Delete, Some(Outcome::Changed(_))) => (Fate::Kept, Reason::Changed),
        (Action::Delete, Some(Outcome::Refused(_))) => (Fate::Kept, Reason::Refused),
    }
}

/// The plan with what became of it: verdicts that could not be carried out say why.
pub(super) fn with_outcomes(mut plan: Plan, done: &Done) -> Plan {
    for image in &mut plan.images {
        for verdict in &mut image.verdicts {
            if verdict.action != Action::Delete {
                continue;
            }
            let (reason, message) = match done.outcomes.get(&(image.image.clone(), verdict.tag.clone())) {
                Some(Outcome::Changed(digest)) => (Reason::Changed, format!("it was pushed again and is {digest} now")),
                Some(Outcome::Gone) => (Reason::Gone, "somebody else deleted it first".to_owned()),
                Some(Outcome::Refused(message)) => (Reason::Refused, message.clone()),
                Some(Outcome::Deleted) | None => continue,
            };
            verdict.action = Action::Keep;
            verdict.reason = reason;
            verdict.message = message;
        }
    }
    plan.recount();
    plan
}
