#![allow(clippy::unwrap_used)]
//! Statuses from objects, without a cluster: events in, statuses out.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_crds::configuration::compile;
use berth_crds::kinds::{CleanupPolicy, ContainerRepository, RegistryVisibility, RunResult};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use serde_json::json;

use super::*;

/// A repository, a visibility that selects it and a policy, all seen at the versions 5, 7 and 8.
struct World {
    index: Index,
    state: State,
    runs: BTreeMap<Key, LastRun>,
}

impl World {
    fn new(suspend: bool) -> Self {
        let mut index = Index::default();
        let meta = |name: &str, version: &str| json!({"namespace": "team-a", "name": name, "uid": name, "generation": 3, "resourceVersion": version});
        let repository: ContainerRepository = serde_json::from_value(json!({"apiVersion": "berth.dev/v1alpha1",
            "kind": "ContainerRepository", "metadata": meta("shop", "5"), "spec": {}}))
        .unwrap();
        let visibility: RegistryVisibility = serde_json::from_value(json!({"apiVersion": "berth.dev/v1alpha1",
            "kind": "RegistryVisibility", "metadata": meta("internal", "7"),
            "spec": {"visibility": "Internal", "repositories": {"names": ["shop"]}}}))
        .unwrap();
        let policy: CleanupPolicy = serde_json::from_value(json!({"apiVersion": "berth.dev/v1alpha1",
            "kind": "CleanupPolicy", "metadata": meta("nightly", "8"), "spec": {"suspend": suspend,
            "schedule": {"cron": "30 2 * * *"}, "keep": {"mostRecent": 1}, "remove": {"tagsMatching": [".*"]}}}))
        .unwrap();
        index.repositories.take(Event::Apply(DeserializeGuard(Ok(repository))));
        index.visibilities.take(Event::Apply(DeserializeGuard(Ok(visibility))));
        index.policies.take(Event::Apply(DeserializeGuard(Ok(policy))));
        let (configuration, outcomes) = compile(&index.objects("berth-system"));
        let outcomes: BTreeMap<_, _> = outcomes.into_iter().map(|outcome| (outcome.object.clone(), outcome)).collect();
        let watermark = index.watermark();
        let state = State {
            configuration: Arc::new(configuration),
            outcomes: Arc::new(outcomes),
            compiled_at: watermark,
            watermark,
        };
        Self { index, state, runs: BTreeMap::new() }
    }

    fn view<'a>(&'a self, replicas: &'a [Replica]) -> View<'a> {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        View {
            index: &self.index,
            state: &self.state,
            replicas,
            runs: &self.runs,
            address: Some("registry.example.com"),
            now,
        }
    }
}

fn key(name: &str) -> Key {
    Key { namespace: "team-a".to_owned(), name: name.to_owned() }
}

fn replica(repositories: u64, visibilities: u64, policies: u64) -> Replica {
    let loaded = Watermark { namespaces: 0, repositories, visibilities, policies };
    Replica { pod: "berth-0".to_owned(), loaded: Some(loaded) }
}

fn summary(conditions: &[Condition]) -> Vec<String> {
    conditions.iter().map(|one| format!("{}={} {}", one.type_, one.status, one.reason)).collect()
}

#[test]
fn a_repository_says_where_it_is_who_decides_and_who_cleans() {
    let world = World::new(false);
    let kept = world.index.repositories.get(&key("shop")).unwrap();
    let replicas = [replica(5, 7, 8)];
    let status = repository_status(&key("shop"), kept, &world.view(&replicas)).unwrap();
    assert_eq!(status.address.as_deref(), Some("registry.example.com/team-a/shop"));
    assert_eq!(status.decided_by, ["RegistryVisibility/internal"]);
    assert_eq!(status.governed_by.as_deref(), Some("CleanupPolicy/nightly"));
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(
        summary(&status.conditions),
        ["Accepted=True Accepted", "Enforced=True Enforced", "Ready=True Enforced"]
    );
}

#[test]
fn a_visibility_is_enforced_with_itself_and_with_what_it_selects() {
    let world = World::new(false);
    let kept = world.index.visibilities.get(&key("internal")).unwrap();
    let enforced = |replicas: &[Replica]| {
        let status = visibility_status(&key("internal"), kept, &world.view(replicas)).unwrap();
        assert_eq!(status.repositories, Some(1));
        summary(&status.conditions)[1].clone()
    };
    assert_eq!(enforced(&[]), "Enforced=False Pending");
    assert_eq!(enforced(&[replica(5, 6, 8)]), "Enforced=False Pending", "the object itself is not loaded");
    assert_eq!(enforced(&[replica(4, 7, 8)]), "Enforced=False Pending", "the repository is not loaded");
    assert_eq!(enforced(&[replica(5, 7, 0), replica(5, 6, 0)]), "Enforced=False Pending", "one replica is behind");
    assert_eq!(enforced(&[replica(5, 7, 0)]), "Enforced=True Enforced");
}

#[test]
fn a_policy_says_when_it_runs_next_unless_it_is_suspended() {
    let replicas = [replica(5, 7, 8)];
    let status = |suspend| {
        let world = World::new(suspend);
        let kept = world.index.policies.get(&key("nightly")).unwrap();
        policy_status(&key("nightly"), kept, &world.view(&replicas)).unwrap()
    };
    let running = status(false);
    assert_eq!(running.next_run_time.unwrap().0.to_string(), "2026-03-02T02:30:00Z");
    assert_eq!(summary(&running.conditions)[2..], ["LastRunSucceeded=Unknown NeverRun", "Ready=True Enforced"]);
    let suspended = status(true);
    assert_eq!(suspended.next_run_time, None);
    assert_eq!(summary(&suspended.conditions)[3], "Ready=True Suspended");
}

/// A run of the policy whose Job was made, and ended, at this minute.
fn run(id: &str, minute: u32, result: RunResult, told: bool, message: Option<&str>) -> LastRun {
    let at: Timestamp = format!("2026-03-01T11:{minute:02}:00Z").parse().unwrap();
    let summary = json!({"id": id, "startTime": at, "completionTime": at, "result": result, "deleted": 2, "kept": 3});
    let summary = serde_json::from_value(summary).unwrap();
    LastRun { created: at, summary, told, message: message.map(str::to_owned) }
}

#[test]
fn the_last_run_stays_when_its_job_is_gone_and_a_better_account_of_it_replaces_a_worse() {
    let mut world = World::new(false);
    let replicas = [replica(5, 7, 8)];
    let mut says = |runs: &[LastRun]| {
        world.runs = runs.iter().map(|run| (key("nightly"), run.clone())).collect();
        let kept = world.index.policies.get(&key("nightly")).unwrap();
        let status = policy_status(&key("nightly"), kept, &world.view(&replicas)).unwrap();
        let mut written = CleanupPolicy::clone(&kept.object);
        let condition = status.conditions[2].clone();
        let id = status.last_run.as_ref().map(|run| run.id.clone()).unwrap_or_default();
        written.status = Some(status);
        world.index.policies.take(Event::Apply(DeserializeGuard(Ok(written))));
        format!("{id} {} {}: {}", condition.status, condition.reason, condition.message)
    };
    assert_eq!(says(&[]), " Unknown NeverRun: no run has ended so far");
    let silent = run("a", 1, RunResult::Failed, false, Some("Job a failed"));
    assert_eq!(says(std::slice::from_ref(&silent)), "a False Failed: Job a failed");
    assert_eq!(says(&[]), "a False Failed: Job a failed", "its Job is gone");
    let told = run("a", 1, RunResult::Completed, true, None);
    assert_eq!(says(&[told]), "a True Completed: 2 tags deleted, 3 kept");
    assert_eq!(says(&[silent]), "a True Completed: 2 tags deleted, 3 kept", "its Pod is gone");
    let later = run("b", 2, RunResult::Failed, true, Some("no way"));
    assert_eq!(says(&[later]), "b False Failed: no way");
    assert_eq!(says(&[run("a", 1, RunResult::Completed, true, None)]), "b False Failed: no way", "an older run");
}

#[test]
fn a_run_of_an_earlier_policy_of_the_same_name_is_not_this_ones() {
    let mut world = World::new(false);
    let mut younger = CleanupPolicy::clone(&world.index.policies.get(&key("nightly")).unwrap().object);
    younger.metadata.creation_timestamp = Some(serde_json::from_value(json!("2026-03-01T11:30:00Z")).unwrap());
    world.index.policies.take(Event::Apply(DeserializeGuard(Ok(younger))));
    world.runs.insert(key("nightly"), run("a", 29, RunResult::Completed, true, None));
    let kept = world.index.policies.get(&key("nightly")).unwrap();
    assert_eq!(policy_status(&key("nightly"), kept, &world.view(&[])).unwrap().last_run, None);
}

#[test]
fn an_older_state_that_was_compiled_says_nothing_about_a_newer_object() {
    let mut world = World::new(false);
    let mut newer = ContainerRepository::clone(&world.index.repositories.get(&key("shop")).unwrap().object);
    newer.metadata.generation = Some(4);
    newer.metadata.resource_version = Some("9".to_owned());
    world.index.repositories.take(Event::Apply(DeserializeGuard(Ok(newer))));
    let kept = world.index.repositories.get(&key("shop")).unwrap();
    assert_eq!(repository_status(&key("shop"), kept, &world.view(&[])), None);
}

#[test]
fn a_status_made_again_is_the_same() {
    let mut world = World::new(false);
    let replicas = [replica(5, 7, 8)];
    let kept = world.index.repositories.get(&key("shop")).unwrap();
    let status = repository_status(&key("shop"), kept, &world.view(&replicas)).unwrap();
    let mut written = ContainerRepository::clone(&kept.object);
    written.metadata.resource_version = Some("12".to_owned());
    written.status = Some(status.clone());
    assert!(!world.index.repositories.take(Event::Apply(DeserializeGuard(Ok(written)))).meaning);
    let kept = world.index.repositories.get(&key("shop")).unwrap();
    let view = View { now: "2026-03-05T00:00:00Z".parse().unwrap(), ..world.view(&replicas) };
    assert_eq!(repository_status(&key("shop"), kept, &view), Some(status));
}
