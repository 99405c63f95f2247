//! Runs that somebody asks for, by an annotation of the policy.
//!
//! The Job of a request is also all that is remembered of it: its name follows from the policy and from the annotation's
//! value, and it stays, finished or not, until the annotation has another value. Therefore the CronJob does not own it,
//! whose history would forget it.

use berth_crds::kinds::GROUP;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::ResourceExt as _;

use super::cron_job::{self, short_hash};
use crate::index::Key;

/// Label of the Jobs of requests; its value is [`Request::word`].
pub(super) const REQUEST: &str = "berth.dev/request";

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Run,
    DryRun,
}

impl Request {
    pub(super) const ALL: [Self; 2] = [Self::Run, Self::DryRun];

    /// The annotation that asks for it: any other value asks anew. Setting one takes `create` on `cleanuppolicies/runs`.
    pub(super) fn annotation(self) -> String {
        format!("{GROUP}/{}-requested-at", self.word())
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::DryRun => "dry-run",
        }
    }

    /// Name of the Job that answers a request.
    pub(super) fn job_name(self, policy: &Key, value: &str) -> String {
        format!("{}-{}-{}", cron_job::name(policy), self.word(), &short_hash(value)[..10])
    }
}

/// The Job of a request, from the template of the policy's CronJob.
pub(super) fn job(policy: &Key, request: Request, value: &str, cron_job: &CronJob) -> Job {
    let template = cron_job.spec.as_ref().map(|spec| spec.job_template.clone()).unwrap_or_default();
    let mut job = Job { metadata: template.metadata.unwrap_or_default(), spec: template.spec, status: None };
    job.metadata.name = Some(request.job_name(policy, value));
    job.metadata.namespace.clone_from(&cron_job.metadata.namespace);
    job.labels_mut().insert(REQUEST.to_owned(), request.word().to_owned());
    job.annotations_mut().insert(request.annotation(), value.to_owned());
    let pod = job.spec.as_mut().and_then(|spec| spec.template.spec.as_mut());
    if let (Request::DryRun, Some(pod)) = (request, pod) {
        for container in &mut pod.containers {
            container.args.get_or_insert_default().push("--dry-run".to_owned());
        }
    }
    job
}
