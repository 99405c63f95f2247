//! From the policy as it is loaded to the report.

use berth_crds::configuration::Configuration;
use berth_crds::kinds::RunSummary;

use super::*;
use crate::cleanup::{Clusters, Phase, RunState, Runs, Start, StartError};
use crate::configuration::{Current, Loaded, Source};

pub(super) const POLICY: &str = "
apiVersion: berth.dev/v1alpha1
kind: ContainerRepository
metadata: {namespace: team-a, name: shop}
spec:
  tags: [{name: releases, matching: ['^v'], rule: Immutable}]
---
apiVersion: berth.dev/v1alpha1
kind: CleanupPolicy
metadata: {namespace: team-a, name: nightly}
spec:
  schedule: {cron: '0 3 * * *'}
  keep: {mostRecent: 1}
  remove: {tagsMatching: ['.*']}
  limits: {maxDeletions: 2}
";

pub(super) fn configuration(text: &str) -> Current {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), text).unwrap();
    Current::new(Source::Manifests(folder.path().to_owned()).read().unwrap()).unwrap()
}

pub(super) fn runs(site: &Site, text: &str) -> Runs {
    Runs::new(site.storage.clone(), configuration(text), Clusters::None)
}

fn start(run: &str) -> Start {
    Start { run: run.parse().unwrap(), dry_run: false, minimum_revision: None }
}

pub(super) async fn end(runs: &Runs, start: Start) -> RunState {
    let mut states = runs.start(&"team-a/nightly".parse().unwrap(), start).await.unwrap();
    states.wait_for(RunState::is_final).await.unwrap().clone()
}

async fn report(runs: &Runs, start: Start) -> RunSummary {
    let state = end(runs, start).await;
    assert_eq!(state.phase, Phase::Finished, "{state:?}");
    state.report.unwrap()
}

/// Pushes tags in this order, each in a millisecond of its own, so that there is a newest.
pub(super) async fn push_in_order(site: &Site, names: &[&str]) {
    for name in names {
        site.push(name, name).await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_run_deletes_what_its_plan_says_within_the_limit_and_the_next_one_goes_on() {
    let site = Site::new();
    push_in_order(&site, &["v1", "latest", "a", "b", "c", "d"]).await;
    let runs = runs(&site, POLICY);

    let first = report(&runs, start("one")).await;
    assert_eq!((first.result, first.deleted, first.kept), (RunResult::Unfinished, 2, 3));
    assert_eq!(site.tags().await, ["c", "d", "latest", "v1"], "the oldest went first");
    assert_eq!(first.repositories[0].deleted, 2);
    let plan = runs.plan(&"one".parse().unwrap()).await.unwrap().unwrap();
    assert!(plan.notes.iter().any(|note| note.contains("no cluster")), "{:?}", plan.notes);

    let again = report(&runs, start("one")).await;
    assert_eq!(again, first, "a finished run is only reported");
    assert_eq!(site.tags().await.len(), 4);

    let second = report(&runs, start("two")).await;
    assert_eq!((second.result, second.deleted), (RunResult::Completed, 1));
    assert_eq!(site.tags().await, ["d", "latest", "v1"]);
    assert_eq!(report(&runs, start("three")).await.result, RunResult::NothingToDo);
    let last = runs.last(&"team-a/nightly".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((last.summary.id.as_str(), last.failure), ("three", None));
}

#[tokio::test]
async fn a_dry_run_plans_and_deletes_nothing_also_when_the_policy_asks_for_it() {
    let dry = POLICY.replace("schedule:", "dryRun: true\n  schedule:");
    for (text, dry_run) in [(POLICY, true), (dry.as_str(), false)] {
        let site = Site::new();
        push_in_order(&site, &["a", "b"]).await;
        let runs = runs(&site, text);
        let report = report(&runs, Start { dry_run, ..start("dry") }).await;
        assert!(report.dry_run);
        assert_eq!((report.deleted, report.would_delete, site.tags().await.len()), (0, Some(1), 2));
        assert_eq!((report.repositories[0].deleted, report.repositories[0].would_delete), (0, Some(1)));
        let plan = runs.plan(&"dry".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(plan.summary.delete, 1);
    }
}

#[tokio::test]
async fn a_run_that_cannot_start_says_why() {
    let site = Site::new();
    push_in_order(&site, &["a", "b"]).await;
    let runs = runs(&site, POLICY);
    let nightly = "team-a/nightly".parse().unwrap();
    let refused = runs.start(&"team-a/weekly".parse().unwrap(), start("x")).await.unwrap_err();
    assert!(matches!(refused, StartError::UnknownPolicy(_)), "{refused}");
    let taken = runs.start(&nightly, start("team-b.nightly.20261124T030000Z")).await.unwrap_err().to_string();
    assert!(taken.contains("an id without periods"), "{taken}");
    let behind = Start { minimum_revision: Some(7), ..start("x") };
    let refused = runs.start(&nightly, behind).await.unwrap_err();
    assert!(matches!(refused, StartError::NoRevision(_)), "{refused}");
    assert!(runs.state(&"x".parse().unwrap()).await.unwrap().is_none(), "nothing has happened");

    report(&runs, Start { dry_run: true, ..start("x") }).await;
    let refused = runs.start(&nightly, start("x")).await.unwrap_err().to_string();
    assert!(refused.contains("a dry run of team-a/nightly") && refused.contains("id of its own"), "{refused}");
}

/// The planning included: a replica is killed after each of its requests, and another one is asked for the same run.
#[tokio::test]
async fn a_run_killed_anywhere_is_finished_by_another_replica() {
    let mut kills = 0;
    loop {
        let store = MemoryStore::new();
        let site = Site::over(Arc::new(store.clone()));
        push_in_order(&site, &["a", "b", "c"]).await;
        let doomed = store.named("doomed");
        doomed.cut_after(kills);
        let victim = Site::over(Arc::new(doomed.clone()));
        let killed = runs(&victim, POLICY);
        let finished = tokio::select! {
            _ = end(&killed, start("one")) => true,
            () = doomed.until_cut() => false,
        };
        let report = report(&runs(&site, POLICY), start("one")).await;
        assert_eq!((report.result, report.deleted), (RunResult::Completed, 2), "killed after {kills} requests");
        assert_eq!(site.tags().await, ["c"], "killed after {kills} requests");
        if finished {
            break;
        }
        kills += 1;
    }
    assert!(kills >= 15, "the run makes more requests than {kills}");
}

/// A policy is being edited, and the replicas that are asked for a new run at the same moment have not all loaded the
/// same version: each plans other deletions, as many as it may. Only one of the plans is executed, by all of them.
#[tokio::test]
async fn replicas_that_start_one_run_at_once_execute_one_plan() {
    const REPLICAS: [&str; 3] = ["a", "b", "c"];
    for seed in 0..150 {
        for count in [2, 3] {
            let store = MemoryStore::simulated(seed, Faults::NONE);
            let site = Site::over(Arc::new(store.named("before")));
            for name in REPLICAS {
                for number in 1..=3 {
                    site.push(&format!("{name}{number}"), &format!("{name}{number}")).await;
                }
            }
            let started = REPLICAS[..count].iter().map(|name| {
                let site = Site::over(Arc::new(store.named(name)));
                let text = POLICY
                    .replace("'.*'", &format!("'{name}.*'"))
                    .replace("keep: {mostRecent: 1}", "allowUnbounded: true");
                async move { report(&runs(&site, &text), start("one")).await }
            });
            let reports = futures::future::join_all(started).await;

            let gone: Vec<String> = {
                let left = site.tags().await;
                let all = REPLICAS.iter().flat_map(|name| (1..=3).map(move |number| format!("{name}{number}")));
                all.filter(|tag| !left.contains(tag)).collect()
            };
            assert_eq!(gone.len(), 2, "seed {seed}, {count} replicas: {gone:?}");
            assert_eq!(gone[0][..1], gone[1][..1], "seed {seed}, {count} replicas: {gone:?} are of one plan");
            for report in reports {
                assert_eq!(report.deleted, 2, "seed {seed}, {count} replicas: {report:?}");
            }
        }
    }
}

#[tokio::test]
async fn of_two_runs_begun_at_once_under_one_id_one_is_refused() {
    for seed in 0..20 {
        let store = MemoryStore::simulated(seed, Faults::NONE);
        let sites = [Site::over(Arc::new(store.named("one"))), Site::over(Arc::new(store.named("two")))];
        push_in_order(&sites[0], &["a", "b"]).await;
        let [wet, dry] = [false, true].map(|dry_run| Start { dry_run, ..start("x") });
        let (one, two) = (runs(&sites[0], POLICY), runs(&sites[1], POLICY));
        let nightly = "team-a/nightly".parse().unwrap();
        let outcome = async |runs: &Runs, start: Start| match runs.start(&nightly, start).await {
            Ok(mut states) => match states.wait_for(RunState::is_final).await.unwrap().clone() {
                RunState { failure: Some(failure), .. } => Err((failure.message, failure.temporary)),
                state => Ok(state.report.unwrap().dry_run),
            },
            Err(error) => Err((error.to_string(), false)),
        };
        match tokio::join!(outcome(&one, wet), outcome(&two, dry)) {
            (Ok(false), Err((message, false))) | (Err((message, false)), Ok(true)) => {
                assert!(message.contains("give this one an id of its own"), "seed {seed}: {message}");
            }
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_fails_the_run_and_the_status_shows_it() {
    let store = MemoryStore::new();
    let site = Site::over(Arc::new(store.clone()));
    push_in_order(&site, &["a", "b"]).await;
    // A piece of the plan is missing: the bucket was tampered with, or a lifecycle rule deletes too much.
    let runs = runs(&site, POLICY);
    report(&runs, Start { dry_run: true, ..start("one") }).await;
    for key in store.snapshot().into_keys().filter(|key| key.contains("/plan.") || key.ends_with("/report")) {
        store.delete(&key).await.unwrap();
    }
    let state = end(&runs, Start { dry_run: true, ..start("one") }).await;
    assert_eq!(state.phase, Phase::Failed);
    assert!(state.failure.unwrap().temporary);
    let last = runs.last(&"team-a/nightly".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(last.summary.result, RunResult::Failed);
    assert!(last.failure.unwrap().contains("not found"));
}

#[tokio::test]
async fn a_replica_that_is_behind_starts_nothing() {
    let site = Site::new();
    push_in_order(&site, &["a", "b"]).await;
    let mut document = (*configuration(POLICY).document().load_full()).clone();
    for policy in document.policies.values_mut() {
        policy.source.generation = Some(6);
    }
    let configuration = Configuration::new(document.repositories, document.policies);
    let loaded = Loaded { configuration, remarks: Vec::new(), outcomes: Vec::new() };
    let runs = Runs::new(site.storage.clone(), Current::new(loaded).unwrap(), Clusters::None);
    let wanting = |revision| Start { minimum_revision: Some(revision), ..start("x") };
    let refused = runs.start(&"team-a/nightly".parse().unwrap(), wanting(7)).await.unwrap_err();
    assert!(matches!(refused, StartError::Behind { loaded: 6, wanted: 7, .. }), "{refused}");
    assert_eq!(report(&runs, wanting(6)).await.deleted, 1);
}
