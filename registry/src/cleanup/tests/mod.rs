//! Runs over the store in memory: here the deletions of a stored plan, in the rooms below everything from the policy on.

#![allow(clippy::unwrap_used)]

mod in_use;
mod runs;
mod schedule;

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_crds::cleanup::{Action, ImagePlan, Plan, Reason, Summary, Verdict};
use berth_crds::digest::Digest;
use berth_crds::duration::Span;
use berth_crds::kinds::RunResult;
use berth_crds::name::{ImageName, TagName};
use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::execute::{End, Executor, Permit};
use super::names::RunId;
use super::store::{Done, Head, Outcome, Pieces, RunStore, StoredRun};
use super::summary;
use crate::storage::{ManifestPush, Settings, Storage, TagPush};
use crate::store::memory::{Faults, MemoryStore};
use crate::store::{Store, StoreError};

/// A storage over memory, with what tests need to look behind it.
struct Site {
    storage: Storage,
    runs: RunStore,
}

fn image() -> ImageName {
    "team-a/shop/api".parse().unwrap()
}

fn tag(name: &str) -> TagName {
    name.parse().unwrap()
}

impl Site {
    fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()))
    }

    fn over(store: Arc<dyn Store>) -> Self {
        Self { runs: RunStore::new(Arc::clone(&store)), storage: Storage::new(store, Settings::default()) }
    }

    /// Pushes an empty index that differs by `content`, under a tag.
    async fn push(&self, name: &str, content: &str) -> Digest {
        let bytes = Bytes::from(
            serde_json::json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": [],
                "annotations": { "content": content },
            })
            .to_string(),
        );
        let digest: Digest =
            format!("sha256:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes))).parse().unwrap();
        let push = ManifestPush {
            digest: digest.clone(),
            media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
            bytes,
            tags: vec![TagPush { name: tag(name), immutable: false }],
            lenient: true,
        };
        self.storage.push_manifest(&image(), push).await.unwrap();
        digest
    }

    async fn tags(&self) -> Vec<String> {
        let page = self.storage.tags(&image(), None, 10_000).await.unwrap();
        page.items.into_iter().map(|tag| tag.name.to_string()).collect()
    }

    /// Stores a plan that deletes these tags; returns the one that the run goes by.
    async fn plan(&self, run: &RunId, head: Head, deletions: &[(&str, Digest)]) -> StoredRun {
        let verdicts: Vec<Verdict> = deletions
            .iter()
            .map(|(name, digest)| Verdict {
                tag: tag(name),
                digest: Some(digest.clone()),
                action: Action::Delete,
                reason: Reason::Expired,
                message: "old".to_owned(),
            })
            .collect();
        let plan = Plan {
            policy: "team-a/nightly".to_owned(),
            now: head.start_time,
            notes: Vec::new(),
            images: vec![ImagePlan { image: image(), verdicts }],
            summary: Summary::default(),
        };
        let plan = self.runs.put_plan(run, head, &plan).await.unwrap();
        self.runs.agree(run, plan).await.unwrap()
    }
}

fn head() -> Head {
    Head {
        policy: "team-a/nightly".parse().unwrap(),
        saved: false,
        dry_run: false,
        start_time: "2026-11-24T03:00:00Z".parse().unwrap(),
        max_deletions: 1000,
        timeout: Span::minutes(10),
        revision: "r1".to_owned(),
        stored: Pieces::default(),
    }
}

fn run_id() -> RunId {
    "run-1".parse().unwrap()
}

/// Lets everything pass.
struct Free;

impl Permit for Free {
    async fn refusals(&self, _: &ImageName, _: &[TagName]) -> Result<BTreeMap<TagName, String>, StoreError> {
        Ok(BTreeMap::new())
    }
}

async fn delete(site: &Site, stored: &StoredRun, permit: &impl Permit) -> (Done, End) {
    let run = run_id();
    let mut executor = Executor::new(&site.storage, &site.runs, &run);
    executor.delete(stored, permit, &CancellationToken::new(), |_| ()).await.unwrap()
}

#[tokio::test]
async fn a_deletion_is_conditional_on_the_digest_that_was_planned() {
    let site = Site::new();
    let old = site.push("v1", "one").await;
    let moved = site.push("v2", "two").await;
    let gone = site.push("v3", "three").await;
    let stored = site.plan(&run_id(), head(), &[("v1", old), ("v2", moved), ("v3", gone)]).await;
    let newer = site.push("v2", "pushed after the plan").await;
    site.storage.delete_tag(&image(), &tag("v3")).await.unwrap();

    let (done, end) = delete(&site, &stored, &Free).await;
    assert!(matches!(end, End::Settled), "{end:?}");
    assert_eq!(done.outcomes[&(image(), tag("v1"))], Outcome::Deleted);
    assert_eq!(done.outcomes[&(image(), tag("v2"))], Outcome::Changed(newer));
    assert_eq!(done.outcomes[&(image(), tag("v3"))], Outcome::Gone);
    assert_eq!(site.tags().await, ["v2"]);

    let report = summary::report(&run_id(), &stored.head, &stored.plan, &done, Timestamp::now());
    assert_eq!((report.result, report.deleted, report.kept), (RunResult::Completed, 1, 1));
    let by_reason = |reason: &str| report.by_reason.get(reason).copied().unwrap_or_default();
    assert_eq!((by_reason("Expired"), by_reason("Changed"), by_reason("Gone")), (1, 1, 1));
    let plan = summary::with_outcomes(stored.plan, &done);
    let actions: Vec<Action> = plan.images[0].verdicts.iter().map(|verdict| verdict.action).collect();
    assert_eq!(actions, [Action::Delete, Action::Keep, Action::Keep]);
}

#[tokio::test]
async fn what_is_protected_by_now_is_refused_and_says_why() {
    struct NotV2;
    impl Permit for NotV2 {
        async fn refusals(&self, _: &ImageName, tags: &[TagName]) -> Result<BTreeMap<TagName, String>, StoreError> {
            let refused = tags.iter().filter(|name| name.as_str() == "v2");
            Ok(refused.map(|name| (name.clone(), "a rule protects it".to_owned())).collect())
        }
    }
    let site = Site::new();
    let (one, two) = (site.push("v1", "one").await, site.push("v2", "two").await);
    let stored = site.plan(&run_id(), head(), &[("v1", one), ("v2", two)]).await;
    let (done, _) = delete(&site, &stored, &NotV2).await;
    assert_eq!(site.tags().await, ["v2"]);
    let plan = summary::with_outcomes(stored.plan, &done);
    let verdict = &plan.images[0].verdicts[1];
    assert_eq!((verdict.reason, verdict.message.as_str()), (Reason::Refused, "a rule protects it"));
}

/// Kills the executor after every request it makes to the store, one after another, and continues with a fresh one.
#[tokio::test]
async fn a_run_killed_after_any_request_ends_as_if_nothing_had_happened() {
    const NAMES: [&str; 6] = ["v1", "v2", "v3", "v4", "v5", "v6"];
    let mut kills = 0;
    loop {
        let store = MemoryStore::new();
        let site = Site::over(Arc::new(store.clone()));
        let mut deletions = Vec::new();
        for name in NAMES {
            deletions.push((name, site.push(name, name).await));
        }
        site.push("stays", "stays").await;
        let stored = site.plan(&run_id(), head(), &deletions).await;

        let doomed = store.named("doomed");
        doomed.cut_after(kills);
        let victim = Site::over(Arc::new(doomed.clone()));
        let finished = tokio::select! {
            _ = delete(&victim, &stored, &Free) => true,
            () = doomed.until_cut() => false,
        };
        let (done, end) = delete(&site, &stored, &Free).await;
        assert!(matches!(end, End::Settled), "killed after {kills} requests: {end:?}");
        assert_eq!(site.tags().await, ["stays"], "killed after {kills} requests");
        let report = summary::report(&run_id(), &stored.head, &stored.plan, &done, Timestamp::now());
        assert_eq!(report.deleted, NAMES.len() as u64, "killed after {kills} requests: {report:?}");
        if finished {
            break;
        }
        kills += 1;
    }
    assert!(kills >= 6, "the run makes more requests than {kills}");
}

/// Every request of the two may come before or after any of the other's; a failing seed replays.
#[tokio::test]
async fn two_replicas_on_one_run_delete_each_tag_once() {
    for seed in 0..40 {
        let store = MemoryStore::simulated(seed, Faults::NONE);
        let sites = [Site::over(Arc::new(store.named("one"))), Site::over(Arc::new(store.named("two")))];
        let names: Vec<String> = (0..8).map(|number| format!("v{number}")).collect();
        let mut deletions = Vec::new();
        for name in &names {
            deletions.push((name.as_str(), sites[0].push(name, name).await));
        }
        // Both planned at once.
        let run = run_id();
        let (first, second) =
            tokio::join!(sites[0].plan(&run, head(), &deletions), sites[1].plan(&run, head(), &deletions));
        let (one, two) = tokio::join!(delete(&sites[0], &first, &Free), delete(&sites[1], &second, &Free));
        assert!(matches!((&one.1, &two.1), (End::Settled, End::Settled)), "seed {seed}: {one:?} {two:?}");
        assert_eq!(first.id, second.id, "seed {seed}: both go by one plan");
        let done = sites[0].runs.done(&run).await.unwrap();
        let report = summary::report(&run, &first.head, &first.plan, &done, Timestamp::now());
        assert_eq!((report.deleted, sites[0].tags().await.len()), (8, 0), "seed {seed}: {report:?}");
    }
}

#[tokio::test]
async fn limits_hold_over_all_attempts_together() {
    let site = Site::new();
    let deletions = [("v1", site.push("v1", "1").await), ("v2", site.push("v2", "2").await)];
    // A plan that the planner would not have made.
    let stored = site.plan(&run_id(), Head { max_deletions: 1, ..head() }, &deletions).await;
    let (done, end) = delete(&site, &stored, &Free).await;
    assert!(matches!(end, End::Limit), "{end:?}");
    let report = summary::report(&run_id(), &stored.head, &stored.plan, &done, Timestamp::now());
    assert_eq!((report.result, report.deleted), (RunResult::Unfinished, 1));
    assert_eq!(report.by_reason.get("LimitReached"), Some(&1));
    let (_, end) = delete(&site, &stored, &Free).await;
    assert!(matches!(end, End::Limit), "an attempt has no budget of its own: {end:?}");
    assert_eq!(site.tags().await, ["v2"]);

    let site = Site::new();
    let deletions = [("v1", site.push("v1", "1").await)];
    let stored = site.plan(&run_id(), Head { timeout: Span::minutes(0), ..head() }, &deletions).await;
    let (_, end) = delete(&site, &stored, &Free).await;
    assert!(matches!(end, End::Limit), "{end:?}");
    assert_eq!(site.tags().await, ["v1"]);
}

#[tokio::test]
async fn a_stopped_attempt_can_be_gone_on_with() {
    let site = Site::new();
    let deletions = [("v1", site.push("v1", "1").await)];
    let stored = site.plan(&run_id(), head(), &deletions).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let run = run_id();
    let mut executor = Executor::new(&site.storage, &site.runs, &run);
    let (_, end) = executor.delete(&stored, &Free, &stop, |_| ()).await.unwrap();
    assert!(matches!(end, End::Stopped), "{end:?}");
    assert_eq!(site.tags().await, ["v1"]);
    let (_, end) = delete(&site, &stored, &Free).await;
    assert!(matches!(end, End::Settled), "{end:?}");
    assert!(site.tags().await.is_empty());
}

#[tokio::test]
async fn a_plan_longer_than_an_object_is_read_back_whole() {
    let site = Site::new();
    let digest = site.push("v1", "1").await;
    let names: Vec<String> = (0..40_000).map(|number| format!("{number:0120}")).collect();
    let deletions: Vec<(&str, Digest)> = names.iter().map(|name| (name.as_str(), digest.clone())).collect();
    let stored = site.plan(&run_id(), head(), &deletions).await;
    assert_eq!(stored.plan.images[0].verdicts.len(), 40_000);
}

#[tokio::test]
async fn only_the_newest_runs_of_a_policy_are_kept() {
    let site = Site::new();
    let digest = site.push("v1", "1").await;
    let policy = head().policy;
    for number in 0..super::store::RUNS_KEPT + 3 {
        let run: RunId = format!("run-{number:02}").parse().unwrap();
        let start_time = head().start_time + std::time::Duration::from_secs(60 * number as u64);
        let stored = site.plan(&run, Head { start_time, ..head() }, &[("v1", digest.clone())]).await;
        let report = summary::report(&run, &stored.head, &stored.plan, &Done::default(), Timestamp::now());
        site.runs.note_run(&stored.head, &run).await.unwrap();
        site.runs.put_report(&run, &report).await.unwrap();
    }
    site.runs.forget_old_runs(&head()).await.unwrap();
    let runs = site.runs.runs(&policy).await.unwrap();
    assert_eq!((runs.len(), runs[0].as_str()), (super::store::RUNS_KEPT, "run-03"));
    let forgotten: RunId = "run-02".parse().unwrap();
    assert!(site.runs.plan(&forgotten).await.unwrap().is_none());
    assert!(site.runs.report(&forgotten).await.unwrap().is_none());
    assert!(site.runs.report(&runs[0]).await.unwrap().is_some());
}

#[tokio::test]
async fn signatures_go_after_the_images_they_belong_to() {
    let site = Site::new();
    let signature = format!("sha256-{}.sig", "a".repeat(64));
    let deletions = [(signature.as_str(), site.push(&signature, "s").await), ("v1", site.push("v1", "1").await)];
    // Room for one deletion: the image goes, its signature is left.
    let stored = site.plan(&run_id(), Head { max_deletions: 1, ..head() }, &deletions).await;
    delete(&site, &stored, &Free).await;
    assert_eq!(site.tags().await, [signature.as_str()]);
}
