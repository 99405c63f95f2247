#![allow(clippy::unwrap_used)]
//! Decisions about CronJobs and Jobs without a cluster: what is there in, writes out.

use std::sync::Arc;

use berth_crds::kinds::{CleanupPolicy, RunResult};
use berth_crds::schedule::Slots;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::decision::{Known, SCHEDULED, Standing};
use super::last_run::last_runs;
use super::request::{REQUEST, Request};
use super::*;

fn settings() -> Settings {
    Settings {
        image: "registry.example.com/berth/registry:1".to_owned(),
        registry: "http://berth.berth-system.svc:5000".to_owned(),
        audience: "registry.berth.dev".to_owned(),
        namespace: "berth-system".to_owned(),
        max_concurrent_runs: 2,
    }
}

fn key() -> Key {
    Key { namespace: "team-a".to_owned(), name: "nightly".to_owned() }
}

fn policy(schedule: Value, annotations: Value) -> CleanupPolicy {
    serde_json::from_value(json!({"apiVersion": "berth.dev/v1alpha1", "kind": "CleanupPolicy",
        "metadata": {"namespace": "team-a", "name": "nightly", "generation": 3, "annotations": annotations},
        "spec": {"schedule": schedule, "keep": {"mostRecent": 1}, "remove": {"tagsMatching": [".*"]},
                 "limits": {"timeout": "20m"}}}))
    .unwrap()
}

fn daily() -> CleanupPolicy {
    policy(json!({"cron": "30 2 * * *", "timeZone": "Europe/Berlin"}), json!({}))
}

fn slots(policy: &CleanupPolicy) -> Slots {
    Slots::of(&policy.spec.schedule, "team-a/nightly").unwrap()
}

fn accepted(policy: CleanupPolicy) -> BTreeMap<Key, Known> {
    let standing = Standing::Accepted(Box::new(slots(&policy)));
    BTreeMap::from([(key(), Known { policy: Arc::new(policy), standing })])
}

fn standing(policy: CleanupPolicy, standing: Standing) -> BTreeMap<Key, Known> {
    BTreeMap::from([(key(), Known { policy: Arc::new(policy), standing })])
}

/// What the API server makes of it: a version, and a few of its defaults.
fn stored(wanted: &CronJob) -> Arc<CronJob> {
    let mut value = serde_json::to_value(wanted).unwrap();
    value["metadata"]["resourceVersion"] = json!("7");
    value["metadata"]["labels"]["somebody"] = json!("else");
    value["spec"]["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"] = json!("ClusterFirst");
    Arc::new(serde_json::from_value(value).unwrap())
}

fn wanted(policy: &CleanupPolicy) -> CronJob {
    cron_job::cron_job(policy, &slots(policy), &settings())
}

/// A Job of the policy, made at a second, suspended, with this much of its own.
fn job(name: &str, second: u32, own: &Value) -> Arc<Job> {
    let mut value = json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "resourceVersion": "9",
        "creationTimestamp": format!("2026-03-01T00:00:{second:02}Z"), "annotations": {},
        "labels": {"berth.dev/policy-namespace": "team-a", "berth.dev/policy-name": "nightly"}},
        "spec": {"suspend": true, "template": {"spec": {"containers": []}}}});
    merge(&mut value, own);
    Arc::new(serde_json::from_value(value).unwrap())
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.iter().for_each(|(key, value)| merge(into.entry(key.clone()).or_insert(Value::Null), value));
        }
        (into, from) => into.clone_from(from),
    }
}

fn running() -> Value {
    json!({"spec": {"suspend": false}})
}

fn ended(kind: &str, message: &str) -> Value {
    json!({"spec": {"suspend": false}, "status": {"startTime": "2026-03-01T00:01:00Z", "conditions": [{"type": kind,
        "status": "True", "reason": "Why", "message": message, "lastTransitionTime": "2026-03-01T00:02:00Z"}]}})
}

fn scheduled(moment: &str) -> Value {
    json!({"metadata": {"annotations": {SCHEDULED: moment}}})
}

fn pod(job: &str, finished: &str, message: &str) -> Arc<Pod> {
    let value = json!({"metadata": {"name": "pod", "labels": {"batch.kubernetes.io/controller-uid": format!("uid-{job}"),
        "berth.dev/policy-namespace": "team-a", "berth.dev/policy-name": "nightly"}},
        "status": {"containerStatuses": [{"name": "registry", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0, "finishedAt": finished, "message": message}}}]}});
    Arc::new(serde_json::from_value(value).unwrap())
}

fn report(job: &str, deleted: u32) -> String {
    json!({"id": format!("uid-{job}"), "startTime": "2026-03-01T00:01:00Z", "completionTime": "2026-03-01T00:01:30Z",
        "result": "Completed", "deleted": deleted, "kept": 5})
    .to_string()
}

/// A line for each write: what, and of which object.
fn told(writes: &[Write]) -> Vec<String> {
    let line = |write: &Write| {
        let what = match write.action {
            Action::Apply(_) => "apply",
            Action::DeleteCronJob => "delete CronJob",
            Action::Create(_) => "create",
            Action::Resume => "resume",
            Action::DeleteJob => "delete",
        };
        format!("{what} {}", write.name)
    };
    writes.iter().map(line).collect()
}

#[test]
fn a_cron_job_says_when_and_as_whom_and_with_what_a_policy_runs() {
    let policy = daily();
    let made = serde_json::to_value(wanted(&policy)).unwrap();
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("cleanup-") && name.len() <= 52, "{name}");
    let spec = &made["spec"];
    assert_eq!((&spec["schedule"], &spec["timeZone"]), (&json!("30 2 * * *"), &json!("Europe/Berlin")));
    assert_eq!((&spec["concurrencyPolicy"], &spec["suspend"]), (&json!("Forbid"), &json!(false)));
    let job = &spec["jobTemplate"];
    assert_eq!(job["spec"]["suspend"], true);
    assert_eq!(job["spec"]["activeDeadlineSeconds"], 20 * 60 + 1800);
    let template = &job["spec"]["template"];
    for metadata in [&made["metadata"], &job["metadata"], &template["metadata"]] {
        assert_eq!(metadata["labels"]["berth.dev/policy-namespace"], "team-a");
        assert_eq!(metadata["labels"]["berth.dev/policy-name"], "nightly");
        assert_eq!(metadata["annotations"]["berth.dev/policy"], "team-a/nightly");
        assert_eq!(metadata["labels"]["app.kubernetes.io/name"], Value::Null, "no replica of the registry");
    }
    let pod = &template["spec"];
    assert_eq!(
        (&pod["serviceAccountName"], &pod["automountServiceAccountToken"]),
        (&json!("berth-cleanup"), &json!(false))
    );
    let token = &pod["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(*token, json!({"audience": "registry.berth.dev", "expirationSeconds": 600, "path": "token"}));
    let container = &pod["containers"][0];
    assert_eq!(
        container["args"],
        json!([
            "cleanup",
            "--policy=team-a/nightly",
            "--registry=http://berth.berth-system.svc:5000",
            "--token-file=/var/run/secrets/berth.dev/token",
            "--run-id=$(RUN_ID)",
            "--minimum-revision=3"
        ])
    );
    let uid = &container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"];
    assert_eq!(*uid, "metadata.labels['batch.kubernetes.io/controller-uid']");
    let rules = &job["spec"]["podFailurePolicy"]["rules"];
    assert_eq!((&rules[0]["action"], &rules[0]["onExitCodes"]["values"]), (&json!("FailJob"), &json!([77, 78])));
    assert_eq!(
        (&rules[1]["action"], &rules[1]["onPodConditions"][0]["type"]),
        (&json!("Ignore"), &json!("DisruptionTarget"))
    );
}

#[test]
fn the_longest_timeout_is_a_deadline_that_kubernetes_can_count() {
    let mut policy = daily();
    policy.spec.limits.timeout = berth_crds::duration::Span::MAX;
    let deadline = wanted(&policy).spec.unwrap().job_template.spec.unwrap().active_deadline_seconds.unwrap();
    assert_eq!(deadline, i64::from(i32::MAX));
}

#[test]
fn a_cron_job_is_written_when_it_differs_and_goes_with_its_policy() {
    let policy = daily();
    let name = cron_job::name(&key());
    let there = [stored(&wanted(&policy))];
    let decide = |policies, there: &[Arc<CronJob>]| told(&decide(&policies, there, &[], &settings()));
    assert_eq!(decide(accepted(policy.clone()), &[]), [format!("apply {name}")]);
    assert!(decide(accepted(policy.clone()), &there).is_empty(), "what the API server adds is no difference");
    let mut suspended = policy.clone();
    suspended.spec.suspend = true;
    assert_eq!(decide(accepted(suspended), &there), [format!("apply {name}")]);
    assert!(decide(standing(policy.clone(), Standing::Pending), &there).is_empty(), "not before it is judged");
    assert_eq!(decide(standing(policy, Standing::Refused), &there), [format!("delete CronJob {name}")]);
    assert_eq!(decide(BTreeMap::new(), &there), [format!("delete CronJob {name}")]);
    let mut other = CronJob::clone(&there[0]);
    other.metadata.name = Some("by-hand".to_owned());
    assert!(decide(BTreeMap::new(), &[Arc::new(other)]).is_empty(), "a copy that somebody made is theirs");
}

#[test]
fn waiting_jobs_are_resumed_oldest_first_as_far_as_the_bound_goes() {
    let policies = accepted(daily());
    let there = [stored(&wanted(&daily()))];
    let decide = |jobs: &[Arc<Job>]| told(&decide(&policies, &there, jobs, &settings()));
    let (third, first, second) = (job("c", 3, &json!({})), job("a", 1, &json!({})), job("b", 2, &json!({})));
    let waiting = [third.clone(), first.clone(), second.clone()];
    assert_eq!(decide(&waiting), ["resume a", "resume b"]);
    assert_eq!(decide(&[third.clone(), second.clone(), job("r", 4, &running())]), ["resume b"]);
    assert!(decide(&[first.clone(), job("r", 4, &running()), job("s", 5, &running())]).is_empty());
    assert_eq!(decide(&[first.clone(), job("r", 4, &running()), job("done", 5, &ended("Failed", ""))]), ["resume a"]);
    let pending = standing(daily(), Standing::Pending);
    assert!(told(&super::decide(&pending, &there, &[first], &settings())).is_empty());
}

#[test]
fn a_fortnightly_policy_runs_every_second_time_that_its_cron_job_wakes() {
    let policy = policy(json!({"cadence": "14d"}), json!({}));
    let slots = slots(&policy);
    let due = slots.next("2026-03-01T00:00:00Z".parse().unwrap()).unwrap();
    let between = due + Duration::from_secs(7 * 86_400);
    let there = [stored(&wanted(&policy))];
    let jobs = [
        job("a", 1, &scheduled(&between.to_string())),
        job("b", 2, &scheduled(&due.to_string())),
        job("c", 3, &scheduled("soon")),
    ];
    let writes = told(&decide(&accepted(policy), &there, &jobs, &settings()));
    assert_eq!(writes, ["delete a", "delete c", "resume b"]);
}

#[test]
fn a_scheduled_job_that_waited_into_a_suspension_goes_and_a_requested_one_runs() {
    let mut policy = daily();
    policy.spec.suspend = true;
    let there = [stored(&wanted(&policy))];
    let jobs = [job("a", 1, &scheduled("2026-03-02T01:30:00Z")), job("by-hand", 2, &json!({}))];
    let writes = told(&decide(&accepted(policy), &there, &jobs, &settings()));
    assert_eq!(writes, ["delete a", "resume by-hand"]);
}

#[test]
fn a_request_is_answered_once_and_remembered_by_its_job() {
    let asked = |value: &str| {
        let annotations = json!({"berth.dev/dry-run-requested-at": value});
        policy(json!({"cron": "30 2 * * *", "timeZone": "Europe/Berlin"}), annotations)
    };
    let there = [stored(&wanted(&asked("one")))];
    let writes = |policies: BTreeMap<Key, Known>, jobs: &[Arc<Job>]| decide(&policies, &there, jobs, &settings());
    let name = Request::DryRun.job_name(&key(), "one");
    let first = writes(accepted(asked("one")), &[]);
    assert_eq!(told(&first), [format!("create {name}")]);
    assert!(name.len() <= 63, "{name}");
    let Action::Create(made) = &first[0].action else { unreachable!() };
    let spec = made.spec.as_ref().unwrap();
    assert_eq!(spec.suspend, Some(true));
    assert_eq!(spec.template.spec.as_ref().unwrap().containers[0].args.as_ref().unwrap().last().unwrap(), "--dry-run");
    assert_eq!(made.labels()[REQUEST], "dry-run");

    let labelled = json!({"metadata": {"labels": {REQUEST: "dry-run"}}});
    let mut done = ended("Complete", "");
    merge(&mut done, &labelled);
    let done = [job(&name, 1, &done)];
    assert!(writes(accepted(asked("one")), &done).is_empty(), "it has run");
    let next = Request::DryRun.job_name(&key(), "two");
    assert_eq!(told(&writes(accepted(asked("two")), &done)), [format!("create {next}"), format!("delete {name}")]);
    assert!(writes(standing(asked("two"), Standing::Pending), &[]).is_empty());
    assert!(
        told(&writes(standing(asked("two"), Standing::Refused), &[])).iter().all(|line| !line.starts_with("create"))
    );
    let mut still = running();
    merge(&mut still, &labelled);
    let still = [job(&name, 1, &still)];
    assert_eq!(told(&writes(accepted(asked("two")), &still)), [format!("create {next}")], "what runs goes on");
    assert!(told(&writes(BTreeMap::new(), &still)).contains(&format!("delete {name}")), "its policy is gone");
}

#[test]
fn the_last_run_is_what_the_newest_report_says() {
    let jobs = [job("a", 1, &ended("Complete", ""))];
    let pods = [pod("a", "2026-03-01T00:01:40Z", &report("a", 4)), pod("b", "2026-03-01T00:01:50Z", &report("b", 9))];
    let runs = last_runs(&jobs, &pods);
    let run = &runs[&key()];
    assert_eq!((run.summary.deleted, run.summary.kept, run.told, &run.message), (4, 5, true, &None));
    assert!(last_runs(&[job("a", 1, &running())], &pods).is_empty(), "it still runs");
    let foreign = [pod("a", "2026-03-01T00:01:40Z", &report("z", 4))];
    assert_eq!(last_runs(&jobs, &foreign)[&key()].summary.deleted, 0, "the report of another run");
}

#[test]
fn a_job_without_a_report_says_what_is_known() {
    let failed = [job("a", 1, &ended("Failed", "backoff limit reached"))];
    let silent = &last_runs(&failed, &[])[&key()];
    assert_eq!((silent.summary.result, silent.told), (RunResult::Failed, false));
    assert_eq!(silent.message.as_deref(), Some("Job a failed (Why): backoff limit reached"));
    let pods = [
        pod("a", "2026-03-01T00:01:10Z", "panicked"),
        pod("a", "2026-03-01T00:01:20Z", r#"{"error": "the registry cannot be reached"}"#),
    ];
    let explained = &last_runs(&failed, &pods)[&key()];
    assert!(explained.told);
    assert_eq!(explained.message.as_deref(), Some("Job a failed (Why): the registry cannot be reached"));
    let lost = &last_runs(&[job("a", 1, &ended("Complete", ""))], &[])[&key()];
    assert_eq!(lost.summary.result, RunResult::Completed);
    assert!(lost.message.as_ref().unwrap().contains("registry plan show uid-a"), "{:?}", lost.message);
}
