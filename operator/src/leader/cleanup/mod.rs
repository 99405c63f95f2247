//! Cleanup in the cluster: a CronJob for each policy, its Jobs, and what they report.
//!
//! ```text
//! policies ─▶ CronJob ─▶ Job (suspended) ─▶ resumed ─▶ Pod: registry cleanup ─▶ its last message ─▶ status.lastRun
//!    └─ annotation ────▶ Job (suspended) ─────┘
//! ```
//!
//! | File | Is |
//! |---|---|
//! | `cron_job` | the CronJob of a policy |
//! | `request` | the Job of a run that somebody asked for |
//! | `decision` | what to write, from what is there |
//! | `last_run` | what became of the last run |

mod cron_job;
mod decision;
mod last_run;
mod request;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::watch;

use super::MANAGER;
use crate::configuration::State;
use crate::deadline::within;
use crate::index::Key;
use crate::status::LastRun;
use crate::watching::Observed;
use cron_job::POLICY_NAME;
use decision::{Action, Write, decide, known};

/// Changes that come together are looked at together.
const TOGETHER: Duration = Duration::from_millis(50);
/// Until a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// However quiet it is, everything is looked at this often: a watch may have missed something.
const LOOK: Duration = Duration::from_secs(60);
/// A write that no watch has shown for this long is made again.
const FORGET: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(10);

/// What Jobs are made with: flags of `operator run`.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Image with the `registry` binary.
    pub(crate) image: String,
    /// Address under which Pods reach the registry.
    pub(crate) registry: String,
    /// Audience of the token that the registry takes.
    pub(crate) audience: String,
    /// Where CronJobs and Jobs are.
    pub(crate) namespace: String,
    /// Most Jobs that run at once.
    pub(crate) max_concurrent_runs: usize,
}

/// What the task needs.
pub(super) struct Cleanup {
    pub(super) client: Client,
    pub(super) observed: Observed,
    pub(super) state: watch::Receiver<Option<State>>,
    pub(super) settings: Settings,
    pub(super) runs: watch::Sender<BTreeMap<Key, LastRun>>,
}

/// What the watches have shown.
struct Seen {
    cron_jobs: Store<CronJob>,
    jobs: Store<Job>,
    pods: Store<Pod>,
}

impl Seen {
    /// Whether each was listed once: what is not there is known from then on.
    fn is_complete(&self) -> bool {
        let ready =
            |listed: Option<Result<(), _>>| matches!(listed, Some(Ok::<(), reflector::store::WriterDropped>(())));
        ready(self.cron_jobs.wait_until_ready().now_or_never())
            && ready(self.jobs.wait_until_ready().now_or_never())
            && ready(self.pods.wait_until_ready().now_or_never())
    }
}

impl Cleanup {
    /// Runs until it is dropped.
    pub(super) async fn run(mut self) {
        let (cron_jobs, cron_job_events) = self.follow::<CronJob>();
        let (jobs, job_events) = self.follow::<Job>();
        let (pods, pod_events) = self.follow::<Pod>();
        let seen = Seen { cron_jobs, jobs, pods };
        let mut events = futures::stream::select_all([cron_job_events, job_events, pod_events]);
        // Writes that succeeded, until a watch shows them: what is seen may be behind.
        let mut written: HashMap<String, (Option<String>, Instant)> = HashMap::new();
        loop {
            let compiled_at = self.state.borrow_and_update().as_ref().map(|state| state.compiled_at);
            let mut failed = false;
            for write in self.due(&seen, &mut written) {
                match within(TIMEOUT, self.write(&write)).await {
                    Ok(()) => drop(written.insert(write.name, (write.basis, Instant::now()))),
                    Err(error) => {
                        failed = true;
                        let name = &write.name;
                        tracing::warn!(name, %error, "a CronJob or Job of a policy is not written; trying again");
                    }
                }
            }
            let pause = if failed { AGAIN } else { LOOK };
            let compiles = self.state.wait_for(|state| state.as_ref().map(|state| state.compiled_at) != compiled_at);
            tokio::select! {
                _ = events.next() => {}
                changed = compiles => if changed.is_err() { std::future::pending().await },
                () = tokio::time::sleep(pause) => {}
            }
            let more = async { while events.next().await.is_some() {} };
            let _ = tokio::time::timeout(TOGETHER, more).await;
        }
    }

    /// Watches our objects of one kind.
    fn follow<K>(&self) -> (Store<K>, futures::stream::BoxStream<'static, ()>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let (store, writer) = reflector::store();
        let api = Api::<K>::namespaced(self.client.clone(), &self.settings.namespace);
        let ours = watcher(api, watcher::Config::default().labels(POLICY_NAME));
        let events = kube::runtime::reflector(writer, ours.default_backoff()).map(|event| {
            if let Err(error) = event {
                tracing::warn!(kind = %K::kind(&()), %error, "the watch is interrupted and goes on");
            }
        });
        (store, events.boxed())
    }

    /// Publishes the last runs, and says what to write.
    fn due(&self, seen: &Seen, written: &mut HashMap<String, (Option<String>, Instant)>) -> Vec<Write> {
        if !seen.is_complete() {
            return Vec::new();
        }
        let jobs = seen.jobs.state();
        let runs = last_run::last_runs(&jobs, &seen.pods.state());
        self.runs.send_if_modified(|before| {
            let changed = *before != runs;
            *before = runs;
            changed
        });
        let policies = match &*self.state.borrow() {
            Some(state) => known(&self.observed.index(), state),
            None => return Vec::new(),
        };
        let mut due = decide(&policies, &seen.cron_jobs.state(), &jobs, &self.settings);
        let bases: HashMap<&str, &Option<String>> =
            due.iter().map(|write| (write.name.as_str(), &write.basis)).collect();
        written.retain(|name, (basis, at)| {
            bases.get(name.as_str()).is_some_and(|now| *now == basis) && at.elapsed() < FORGET
        });
        due.retain(|write| !written.contains_key(&write.name));
        due
    }

    async fn write(&self, write: &Write) -> Result<(), kube::Error> {
        let name = &write.name;
        let cron_jobs = || Api::<CronJob>::namespaced(self.client.clone(), &self.settings.namespace);
        let jobs = || Api::<Job>::namespaced(self.client.clone(), &self.settings.namespace);
        let written = match &write.action {
            Action::Apply(wanted) => {
                tracing::info!(name, "a CronJob is written");
                let parameters = PatchParams::apply(MANAGER).force();
                cron_jobs().patch(name, &parameters, &Patch::Apply(wanted)).await.map(drop)
            }
            Action::DeleteCronJob => {
                tracing::info!(name, "a CronJob is deleted: its policy is gone or refused");
                cron_jobs().delete(name, &deletion(write)).await.map(drop)
            }
            Action::Create(job) => {
                tracing::info!(name, "a run was asked for");
                let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
                jobs().create(&parameters, job).await.map(drop)
            }
            Action::Resume => {
                tracing::info!(name, "a run may begin");
                let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
                jobs().patch(name, &parameters, &Patch::Merge(json!({"spec": {"suspend": false}}))).await.map(drop)
            }
            Action::DeleteJob => {
                tracing::info!(name, "a Job is deleted: it is not to run, or its request was replaced");
                jobs().delete(name, &deletion(write)).await.map(drop)
            }
        };
        match (&write.action, written) {
            // An earlier attempt, or an earlier leader, made it.
            (Action::Create(_), Err(kube::Error::Api(status))) if status.is_already_exists() => Ok(()),
            (Action::Create(_) | Action::Apply(_), result) => result,
            // Somebody deleted it meanwhile.
            (_, Err(kube::Error::Api(status))) if status.is_not_found() => Ok(()),
            (_, result) => result,
        }
    }
}

/// What an object owns goes after it. Only the state that was decided about is deleted, nothing that came in its place.
fn deletion(write: &Write) -> DeleteParams {
    DeleteParams::background().preconditions(Preconditions { resource_version: write.basis.clone(), uid: None })
}
