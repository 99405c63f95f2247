//! What to do about the CronJobs and Jobs of policies: a pure function from what is known to writes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use berth_crds::kinds::CleanupPolicy;
use berth_crds::manifest::ObjectId;
use berth_crds::schedule::Slots;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::{Resource, ResourceExt as _};
use serde_json::Value;

use super::Settings;
use super::cron_job::{self, cron_job, policy_of};
use super::last_run::end_of;
use super::request::{self, REQUEST, Request};
use crate::configuration::State;
use crate::index::{Index, Key};

/// Annotation with the moment that a Job of a CronJob was due.
pub(super) const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// A policy, and whether it runs.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) policy: Arc<CleanupPolicy>,
    pub(super) standing: Standing,
}

/// Whether a policy runs.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    Accepted(Box<Slots>),
    Refused,
    /// This generation of it has not been judged: what it has stays as it is.
    Pending,
}

/// One request to the API server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Write {
    /// Of the object that is written; names of CronJobs and Jobs never meet.
    pub(super) name: String,
    /// The resourceVersion that the decision is made from; `None` if there was no such object.
    pub(super) basis: Option<String>,
    pub(super) action: Action,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Apply(Box<CronJob>),
    /// Its Jobs go with it.
    DeleteCronJob,
    Create(Box<Job>),
    Resume,
    DeleteJob,
}

/// All policies that stand. One that is being deleted counts as gone.
pub(super) fn known(index: &Index, state: &State) -> BTreeMap<Key, Known> {
    let standing = index.policies.iter().filter(|(_, kept)| kept.object.metadata.deletion_timestamp.is_none());
    standing
        .map(|(key, kept)| {
            let id = ObjectId { kind: "CleanupPolicy", namespace: Some(key.namespace.clone()), name: key.name.clone() };
            let judged = state.outcomes.get(&id);
            let standing = match judged.filter(|outcome| outcome.generation == kept.object.metadata.generation) {
                None => Standing::Pending,
                Some(outcome) if !outcome.accepted => Standing::Refused,
                // What is accepted has a schedule that can be read.
                Some(_) => Slots::of(&kept.object.spec.schedule, &format!("{}/{}", key.namespace, key.name))
                    .map_or(Standing::Refused, |slots| Standing::Accepted(Box::new(slots))),
            };
            (key.clone(), Known { policy: kept.object.clone(), standing })
        })
        .collect()
}

/// Everything that differs from what should be; nothing once it is done.
pub(super) fn decide(
    policies: &BTreeMap<Key, Known>,
    cron_jobs: &[Arc<CronJob>],
    jobs: &[Arc<Job>],
    settings: &Settings,
) -> Vec<Write> {
    let mut writes = Vec::new();
    schedules(policies, cron_jobs, settings, &mut writes);
    requests(policies, jobs, settings, &mut writes);
    waiting(policies, jobs, settings, &mut writes);
    writes
}

/// One CronJob for each accepted policy, none for others.
fn schedules(
    policies: &BTreeMap<Key, Known>,
    cron_jobs: &[Arc<CronJob>],
    settings: &Settings,
    writes: &mut Vec<Write>,
) {
    let there: BTreeMap<String, &Arc<CronJob>> = cron_jobs.iter().map(|object| (object.name_any(), object)).collect();
    for object in cron_jobs.iter().filter(|object| !is_going(object.as_ref())) {
        let Some(key) = policy_of(object.as_ref()).filter(|key| cron_job::name(key) == object.name_any()) else {
            continue;
        };
        if policies.get(&key).is_none_or(|known| matches!(known.standing, Standing::Refused)) {
            writes.push(change(object.as_ref(), Action::DeleteCronJob));
        }
    }
    for known in policies.values() {
        let Standing::Accepted(slots) = &known.standing else { continue };
        let wanted = cron_job(&known.policy, slots, settings);
        match there.get(&wanted.name_any()) {
            Some(object) if is_going(object.as_ref()) || says(object, &wanted) => {}
            Some(object) => writes.push(change(object.as_ref(), Action::Apply(Box::new(wanted)))),
            None => {
                writes.push(Write { name: wanted.name_any(), basis: None, action: Action::Apply(Box::new(wanted)) })
            }
        }
    }
}

/// A Job for each request of an accepted policy. One that has ended stays as long as its request stands.
fn requests(policies: &BTreeMap<Key, Known>, jobs: &[Arc<Job>], settings: &Settings, writes: &mut Vec<Write>) {
    let there: BTreeSet<String> = jobs.iter().map(|job| job.name_any()).collect();
    let mut standing = BTreeSet::new();
    for (key, known) in policies {
        for request in Request::ALL {
            let Some(value) = known.policy.annotations().get(&request.annotation()) else { continue };
            let name = request.job_name(key, value);
            if let (Standing::Accepted(slots), false) = (&known.standing, there.contains(&name)) {
                let template = cron_job(&known.policy, slots, settings);
                let job = request::job(key, request, value, &template);
                writes.push(Write { name: name.clone(), basis: None, action: Action::Create(Box::new(job)) });
            }
            standing.insert(name);
        }
    }
    let stale = jobs.iter().filter(|job| job.labels().contains_key(REQUEST) && !standing.contains(&job.name_any()));
    for job in stale.filter(|job| !is_going(job.as_ref())) {
        let policy_is_gone = policy_of(job.as_ref()).is_none_or(|key| !policies.contains_key(&key));
        if policy_is_gone || !is_running(job) {
            writes.push(change(job.as_ref(), Action::DeleteJob));
        }
    }
}

/// Resumes Jobs, the oldest first, as long as fewer than the bound run; removes those that are not to run.
fn waiting(policies: &BTreeMap<Key, Known>, jobs: &[Arc<Job>], settings: &Settings, writes: &mut Vec<Write>) {
    let mut waiting = Vec::new();
    for job in jobs.iter().filter(|job| is_suspended(job) && !is_going(job.as_ref())) {
        let Some(known) = policy_of(job.as_ref()).and_then(|key| policies.get(&key)) else { continue };
        let Standing::Accepted(slots) = &known.standing else { continue };
        let already = |write: &Write| write.name == job.name_any();
        if is_missed(job, known, slots) {
            writes.push(change(job.as_ref(), Action::DeleteJob));
        } else if !writes.iter().any(already) {
            waiting.push(job);
        }
    }
    // The last is the oldest: it is taken first.
    waiting.sort_by_key(|job| Reverse((job.creation_timestamp(), job.name_any())));
    let mut running = jobs.iter().filter(|job| is_running(job)).count();
    while running < settings.max_concurrent_runs
        && let Some(job) = waiting.pop()
    {
        writes.push(change(job.as_ref(), Action::Resume));
        running += 1;
    }
}

/// Whether a scheduled Job that waits is not to run: because its policy was suspended meanwhile, or because its moment is
/// none of the policy's. A Job that somebody made has no such moment.
fn is_missed(job: &Job, known: &Known, slots: &Slots) -> bool {
    let Some(moment) = job.annotations().get(SCHEDULED) else { return false };
    known.policy.spec.suspend || !moment.parse::<Timestamp>().is_ok_and(|moment| slots.contains(moment))
}

fn is_suspended(job: &Job) -> bool {
    end_of(job).is_none() && job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true))
}

fn is_running(job: &Job) -> bool {
    end_of(job).is_none() && !is_suspended(job)
}

fn is_going(object: &impl Resource) -> bool {
    object.meta().deletion_timestamp.is_some()
}

fn change(object: &impl Resource<DynamicType = ()>, action: Action) -> Write {
    Write { name: object.name_any(), basis: object.resource_version(), action }
}

/// Whether `there` says everything that `wanted` says. The API server adds defaults, and others may add labels.
fn says(there: &CronJob, wanted: &CronJob) -> bool {
    // Objects of Kubernetes are plain JSON: what cannot be compared is written.
    let (Ok(there), Ok(wanted)) = (serde_json::to_value(there), serde_json::to_value(wanted)) else { return false };
    covers(&there, &wanted)
}

fn covers(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| there.get(key).is_some_and(|found| covers(found, value)))
        }
        (Value::Array(there), Value::Array(wanted)) => {
            there.len() == wanted.len() && there.iter().zip(wanted).all(|(found, value)| covers(found, value))
        }
        (there, wanted) => there == wanted,
    }
}
