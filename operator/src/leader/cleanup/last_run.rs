//! The last run of each policy, from its Jobs and from what their Pods said at their end.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_crds::cleanup::bounded;
use berth_crds::kinds::{RunResult, RunSummary};
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use serde::Deserialize;

use super::cron_job::{CONTAINER, JOB_UID, policy_of};
use super::request::{REQUEST, Request};
use crate::index::Key;
use crate::status::LastRun;

/// What `registry cleanup` leaves when it has no report.
#[derive(Deserialize)]
struct Trouble {
    error: String,
}

/// How a Job ended, once it has.
pub(super) fn end_of(job: &Job) -> Option<&JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_deref().unwrap_or_default();
    conditions
        .iter()
        .find(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True")
}

/// For each policy the run that ended last, of those whose Jobs are there.
pub(super) fn last_runs(jobs: &[Arc<Job>], pods: &[Arc<Pod>]) -> BTreeMap<Key, LastRun> {
    let mut runs: BTreeMap<Key, LastRun> = BTreeMap::new();
    for job in jobs {
        let (Some(key), Some(run)) = (policy_of(job.as_ref()), run(job, pods)) else { continue };
        let later = |before: &LastRun| before.ended() < run.ended();
        if runs.get(&key).is_none_or(later) {
            runs.insert(key, run);
        }
    }
    runs
}

/// The run of a Job that has ended.
fn run(job: &Job, pods: &[Arc<Pod>]) -> Option<LastRun> {
    let end = end_of(job)?;
    let uid = job.uid()?;
    let created = job.creation_timestamp()?.0;
    let mut ends: Vec<&ContainerStateTerminated> =
        pods.iter().filter(|pod| pod.labels().get(JOB_UID) == Some(&uid)).filter_map(|pod| termination(pod)).collect();
    // The newest first: an earlier Pod tells why another was needed.
    ends.sort_by_key(|end| std::cmp::Reverse(end.finished_at.as_ref().map(|time| time.0)));
    let reports = ends.iter().filter_map(|end| serde_json::from_str::<RunSummary>(end.message.as_deref()?).ok());
    if let Some(report) = reports.into_iter().find(|report| report.id == uid) {
        return Some(LastRun { created, summary: bounded(report), told: true, message: None });
    }
    let succeeded = end.type_ == "Complete";
    let last_words = ends.iter().find_map(|end| words(end));
    let message = if succeeded {
        format!("Job {} succeeded, and its report is lost: registry plan show {uid} tells what it did", job.name_any())
    } else {
        let reason = end.reason.as_deref().unwrap_or("Failed");
        let why = last_words.clone().or_else(|| end.message.clone()).unwrap_or_default();
        format!("Job {} failed ({reason}): {why}", job.name_any())
    };
    let began = Time(job.status.as_ref()?.start_time.as_ref().map_or(created, |time| time.0));
    let ended = Time(end.last_transition_time.as_ref().map_or(created, |time| time.0));
    let result = if succeeded { RunResult::Completed } else { RunResult::Failed };
    let summary = RunSummary {
        dry_run: job.labels().get(REQUEST).is_some_and(|request| request == Request::DryRun.word()),
        ..RunSummary::ended(uid, began, ended, result)
    };
    Some(LastRun { created, summary, told: last_words.is_some(), message: Some(message) })
}

fn termination(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    statuses.iter().find(|status| status.name == CONTAINER)?.state.as_ref()?.terminated.as_ref()
}

/// What a container said instead of a report: its error, or else the end of its log.
fn words(end: &ContainerStateTerminated) -> Option<String> {
    let message = end.message.as_deref().map(str::trim).filter(|message| !message.is_empty())?;
    Some(serde_json::from_str::<Trouble>(message).map_or_else(|_| message.to_owned(), |trouble| trouble.error))
}
