//! Cleanup in the cluster: CronJobs, Jobs, and what they report. There is no node: the tests say what became of Pods.

use crate::support::{eventually, turn, with_conditions};
use berth_crds::kinds::{CleanupPolicy, RunResult};
use berth_tests::control_plane::{ControlPlane, Event};
use berth_tests::pod::{Pod, SYSTEM_NAMESPACE};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

const IMAGE: &str = "registry.example.com/berth/registry:1";
const FLAGS: [&str; 4] = ["--registry-image", IMAGE, "--registry-url", "http://berth.berth-system.svc:5000"];

/// A namespace with a policy, and the operator that runs it.
struct Site {
    plane: &'static ControlPlane,
    client: Client,
    namespace: String,
    _pod: Pod,
}

impl Site {
    async fn start(prefix: &str, flags: &[&str]) -> Self {
        let plane = ControlPlane::shared().await.unwrap();
        let flags: Vec<&str> = FLAGS.iter().chain(flags).copied().collect();
        let pod = Pod::start(plane, "berth-0", &flags).await.unwrap();
        let namespace = plane.namespace(prefix).await.unwrap();
        Self { plane, client: plane.admin().await.unwrap(), namespace, _pod: pod }
    }

    async fn apply_policy(&self, spec: &str) {
        let text = format!(
            "apiVersion: berth.dev/v1alpha1\nkind: CleanupPolicy\nmetadata: {{namespace: {}, name: nightly}}\n\
             spec: {{keep: {{mostRecent: 5}}, remove: {{tagsMatching: ['.*']}}, {spec}}}\n",
            self.namespace
        );
        self.plane.apply(&text).await.unwrap();
    }

    async fn annotate_policy(&self, annotation: &str, value: &str) {
        let policies: Api<CleanupPolicy> = Api::namespaced(self.client.clone(), &self.namespace);
        let annotations = json!({"metadata": {"annotations": {annotation: value}}});
        policies.patch("nightly", &PatchParams::default(), &Patch::Merge(annotations)).await.unwrap();
    }

    fn cron_jobs(&self) -> Api<CronJob> {
        Api::namespaced(self.client.clone(), SYSTEM_NAMESPACE)
    }

    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), SYSTEM_NAMESPACE)
    }

    fn pods(&self) -> Api<v1::Pod> {
        Api::namespaced(self.client.clone(), SYSTEM_NAMESPACE)
    }

    fn ours(&self) -> ListParams {
        ListParams::default()
            .labels(&format!("berth.dev/policy-namespace={},berth.dev/policy-name=nightly", self.namespace))
    }

    /// The CronJob of the policy, once it is as wanted.
    async fn cron_job(&self, is_right: impl Fn(&CronJob) -> bool) -> CronJob {
        eventually("the CronJob", || async {
            let found = self.cron_jobs().list(&self.ours()).await.map_err(|error| error.to_string())?;
            let text = format!("{:?}", found.items);
            found.items.into_iter().find(&is_right).ok_or(text)
        })
        .await
    }

    /// A Job as the CronJob's controller would make it, by the same owner and from the same template.
    async fn make_job(&self, name: &str, annotations: Value) {
        let cron_job = self.cron_job(|_| true).await;
        let template = cron_job.spec.unwrap().job_template;
        let metadata = template.metadata.unwrap();
        let job = json!({"metadata": {"name": name, "labels": metadata.labels, "annotations": annotations},
            "spec": template.spec});
        self.jobs().create(&PostParams::default(), &serde_json::from_value(job).unwrap()).await.unwrap();
    }

    /// The Job once it is as wanted.
    async fn job(&self, name: &str, is_right: impl Fn(&Job) -> bool) -> Job {
        eventually(name, || async {
            let job = self.jobs().get(name).await.map_err(|error| error.to_string())?;
            if is_right(&job) { Ok(job) } else { Err(format!("{:?} {:?}", job.spec, job.status)) }
        })
        .await
    }

    /// Says what a node would say of the Job's newest Pod: how its container ended, and with what message.
    async fn end_pod(&self, job: &Job, exit_code: i32, message: &str) {
        let of_job =
            ListParams::default().labels(&format!("batch.kubernetes.io/controller-uid={}", job.uid().unwrap()));
        let name = eventually("a Pod of the Job", || async {
            let pods = self.pods().list(&of_job).await.map_err(|error| error.to_string())?;
            let pending =
                |pod: &v1::Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Pending"));
            pods.items
                .iter()
                .find(|pod| pending(pod))
                .map(|pod| pod.name_any())
                .ok_or_else(|| format!("{} Pods", pods.items.len()))
        })
        .await;
        let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
        let status = json!({"status": {"phase": phase, "containerStatuses": [{"name": "registry", "image": IMAGE,
            "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": exit_code,
            "finishedAt": "2026-01-01T03:00:00Z", "message": message}}}]}});
        self.pods().patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    /// Requests of the operator for this CronJob or Job. None of its requests was refused for want of a right.
    fn requests(&self, verb: &str, name: &str) -> usize {
        let events = self.plane.audit().unwrap();
        let ours = events.iter().filter(|event| event.username().ends_with(":berth-operator"));
        let ours: Vec<_> = ours.inspect(|event| assert!(!event.denied(), "{event:?}")).collect();
        let about =
            |event: &&&Event| event.verb == verb && event.object_ref.as_ref().is_some_and(|object| object.name == name);
        ours.iter().filter(about).count()
    }

    async fn policy(&self, condition: &str) -> CleanupPolicy {
        with_conditions(&self.client, &self.namespace, "nightly", &[condition]).await
    }
}

fn is_resumed(job: &Job) -> bool {
    job.spec.as_ref().unwrap().suspend == Some(false)
}

fn message(policy: &CleanupPolicy) -> String {
    let conditions = &policy.status.as_ref().unwrap().conditions;
    conditions.iter().find(|condition| condition.type_ == "LastRunSucceeded").unwrap().message.clone()
}

#[tokio::test]
async fn cleanup_has_a_cron_job_that_follows_its_policy() {
    let _turn = turn().await;
    let site = Site::start("schedule", &[]).await;
    site.apply_policy("schedule: {cron: '30 2 * * *', timeZone: Europe/Berlin}").await;
    let made = site.cron_job(|_| true).await;
    let spec = made.spec.as_ref().unwrap();
    assert_eq!((spec.schedule.as_str(), spec.time_zone.as_deref()), ("30 2 * * *", Some("Europe/Berlin")));
    assert_eq!((spec.concurrency_policy.as_deref(), spec.suspend), (Some("Forbid"), Some(false)));
    assert_eq!(made.annotations()["berth.dev/policy"], format!("{}/nightly", site.namespace));

    // Whatever the API server makes of it is what was wanted: this makes the operator look, and changes nothing.
    site.annotate_policy("example.com/looked-at", "again").await;
    site.apply_policy("schedule: {cron: '30 2 * * *', timeZone: Europe/Berlin}, suspend: true").await;
    let suspended = site.cron_job(|found| found.spec.as_ref().unwrap().suspend == Some(true)).await;
    let arguments = |found: &CronJob| {
        let job = found.spec.clone().unwrap().job_template.spec.unwrap();
        job.template.spec.unwrap().containers[0].args.clone().unwrap()
    };
    assert!(arguments(&suspended).contains(&"--minimum-revision=2".to_owned()), "{:?}", arguments(&suspended));
    assert_eq!(site.requests("patch", &made.name_any()), 2, "made, and suspended");

    let policies: Api<CleanupPolicy> = Api::namespaced(site.client.clone(), &site.namespace);
    policies.delete("nightly", &DeleteParams::default()).await.unwrap();
    eventually("no CronJob", || async {
        let left = site.cron_jobs().list(&site.ours()).await.map_err(|error| error.to_string())?;
        if left.items.is_empty() { Ok(()) } else { Err(format!("{} CronJobs", left.items.len())) }
    })
    .await;
}

#[tokio::test]
async fn cleanup_jobs_run_in_turn_and_their_reports_become_the_status() {
    let _turn = turn().await;
    let site = Site::start("turns", &["--max-concurrent-runs", "1"]).await;
    site.apply_policy("schedule: {cron: '30 2 * * *'}").await;
    let first = format!("{}-1", site.namespace);
    let second = format!("{}-2", site.namespace);
    site.make_job(&first, json!({"batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-01T02:30:00Z"})).await;
    let job = site.job(&first, is_resumed).await;
    site.make_job(&second, json!({})).await;
    assert!(!is_resumed(&site.job(&second, |_| true).await), "one at a time");
    let report = json!({"id": job.uid().unwrap(), "startTime": "2026-01-01T02:30:05Z",
        "completionTime": "2026-01-01T02:30:09Z", "result": "Completed", "deleted": 4, "kept": 5, "plan": "some-plan",
        "byReason": {"Expired": 4, "Recent": 5}, "repositories": [{"repository": "turns/shop", "deleted": 4, "kept": 5}]});
    site.end_pod(&job, 0, &report.to_string()).await;
    let policy = site.policy("LastRunSucceeded=True Completed").await;
    let run = policy.status.as_ref().unwrap().last_run.clone().unwrap();
    assert_eq!(serde_json::to_value(&run).unwrap()["byReason"], report["byReason"]);
    assert_eq!((run.id, run.deleted, run.plan.as_deref()), (job.uid().unwrap(), 4, Some("some-plan")));

    // The next has its turn, and cannot do what it should: 78 is no reason to try again.
    let job = site.job(&second, is_resumed).await;
    site.end_pod(&job, 78, r#"{"error": "no policy of this name"}"#).await;
    let policy = site.policy("LastRunSucceeded=False Failed").await;
    assert_eq!(policy.status.as_ref().unwrap().last_run.as_ref().unwrap().result, RunResult::Failed);
    assert_eq!(message(&policy), format!("Job {second} failed (PodFailurePolicy): no policy of this name"));
    assert_eq!((site.requests("patch", &first), site.requests("patch", &second)), (1, 1), "resumed once each");
    site.jobs().delete(&second, &DeleteParams::background()).await.unwrap();
    site.jobs().delete(&first, &DeleteParams::background()).await.unwrap();
}

#[tokio::test]
async fn cleanup_every_second_week_leaves_the_weeks_between_out() {
    let _turn = turn().await;
    let site = Site::start("fortnight", &[]).await;
    site.apply_policy("schedule: {cadence: 14d}").await;
    let spec = serde_json::from_value(json!({"cadence": "14d"})).unwrap();
    let slots = berth_crds::schedule::Slots::of(&spec, &format!("{}/nightly", site.namespace)).unwrap();
    let due = slots.next("2026-01-01T00:00:00Z".parse().unwrap()).unwrap();
    let between = due + std::time::Duration::from_secs(7 * 86_400);
    let (odd, even) = (format!("{}-odd", site.namespace), format!("{}-even", site.namespace));
    let scheduled =
        |moment: jiff::Timestamp| json!({"batch.kubernetes.io/cronjob-scheduled-timestamp": moment.to_string()});
    site.make_job(&odd, scheduled(between)).await;
    site.make_job(&even, scheduled(due)).await;
    site.job(&even, is_resumed).await;
    eventually("the Job of the week between", || async {
        match site.jobs().get_opt(&odd).await.map_err(|error| error.to_string())? {
            None => Ok(()),
            Some(job) => Err(format!("{:?}", job.metadata)),
        }
    })
    .await;
    site.jobs().delete(&even, &DeleteParams::background()).await.unwrap();
}

#[tokio::test]
async fn cleanup_runs_when_an_annotation_asks_for_it() {
    let _turn = turn().await;
    let site = Site::start("asked", &[]).await;
    site.apply_policy("schedule: {cron: '30 2 * * *'}, suspend: true").await;
    site.annotate_policy("berth.dev/dry-run-requested-at", "first").await;
    let asked = |count: usize| {
        let site = &site;
        eventually("Jobs of requests", move || async move {
            let jobs = site.jobs().list(&site.ours()).await.map_err(|error| error.to_string())?.items;
            let names: Vec<String> = jobs.iter().map(|job| job.name_any()).collect();
            if jobs.len() == count && jobs.iter().all(is_resumed) { Ok(jobs) } else { Err(format!("{names:?}")) }
        })
    };
    let job = asked(1).await.remove(0);
    let arguments = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].args.clone().unwrap();
    assert_eq!(arguments.last().unwrap(), "--dry-run");
    let report = json!({"id": job.uid().unwrap(), "startTime": "2026-01-01T02:30:05Z", "dryRun": true, "wouldDelete": 3,
        "completionTime": "2026-01-01T02:30:09Z", "result": "Completed", "kept": 5});
    site.end_pod(&job, 0, &report.to_string()).await;
    let policy = site.policy("LastRunSucceeded=True Completed").await;
    assert_eq!(message(&policy), "a dry run: 3 tags would have been deleted, 5 kept");

    // Another request is another Job, and the same value again is none.
    site.annotate_policy("berth.dev/run-requested-at", "first").await;
    let jobs = asked(2).await;
    site.annotate_policy("berth.dev/run-requested-at", "first").await;
    site.annotate_policy("berth.dev/dry-run-requested-at", "second").await;
    let later = eventually("the new request in place of the old", || async {
        let found = site.jobs().list(&site.ours()).await.map_err(|error| error.to_string())?.items;
        let names: Vec<String> = found.iter().map(|job| job.name_any()).collect();
        if names.len() == 2 && !names.contains(&job.name_any()) { Ok(names) } else { Err(format!("{names:?}")) }
    })
    .await;
    let run = jobs.iter().find(|other| other.name_any() != job.name_any()).unwrap();
    assert!(later.contains(&run.name_any()), "it goes on: {later:?}");
}
