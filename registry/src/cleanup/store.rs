//! Runs in the bucket: what makes a run continue on any replica.
//!
//! ```text
//! meta/runs/<run>/<plan>/plan.<nnnn>            the plan, in pieces of at most 4 MiB
//! meta/runs/<run>/<plan>/head                   who, when, how much; written after the pieces
//! meta/runs/<run>/<plan>/batch.<executor>.<n>   deletions begun, then (overwritten) what became of them
//! meta/runs/<run>/report                        how the run ended; from then on it is history
//! meta/policies/<namespace>!<name>/runs/<time>.<run>   which runs a policy had, oldest first
//! meta/saved-plans/<time>.<run>                 the same for plans that somebody brought along
//! meta/policies/<namespace>!<name>/last         the run that ended last
//! ```
//!
//! There is no lock and no conditional write. Two replicas that are asked for the same new run at the same moment may
//! both plan; every executor looks again before each batch and goes on with the plan whose id is the smallest. Until
//! they agree each deletes tags that a plan of the same policy names, on condition of their digests, and the batches of
//! all plans count towards one budget. So the worst a race costs is work done twice.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use berth_crds::cleanup::Plan;
use berth_crds::digest::Digest;
use berth_crds::duration::Span;
use berth_crds::kinds::RunSummary;
use berth_crds::name::{ImageName, TagName};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::names::{PolicyName, RunId};
use crate::store::{ListQuery, NewObject, Store, StoreError, list_all, read_all};

/// Longest piece of a plan in one object, in bytes: below one part of every store.
const PIECE: usize = 4 * 1024 * 1024;
/// Requests to the store at once while a run is read.
const PARALLEL: usize = 8;
/// Runs of one policy that are kept; older ones are forgotten when a run ends.
pub(super) const RUNS_KEPT: usize = 20;

/// Where runs are kept. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct RunStore {
    store: Arc<dyn Store>,
}

/// What a plan was made for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    pub(super) policy: PolicyName,
    /// Somebody brought the plan along; it was not made from the policy as it is.
    pub(super) saved: bool,
    pub(super) dry_run: bool,
    pub(super) start_time: Timestamp,
    /// Deletions that the run may do in all, whoever does them.
    pub(super) max_deletions: usize,
    /// Time that they may take in all.
    pub(super) timeout: Span,
    /// Revision of the configuration that the plan was made from.
    pub(super) revision: String,
    /// How the plan is stored; set by [`RunStore::put_plan`].
    #[serde(default)]
    pub(super) stored: Pieces,
}

/// Number of objects and of bytes that a plan takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pieces {
    count: usize,
    bytes: usize,
}

/// A plan as it was found in the bucket, with what was done about it so far.
#[derive(Clone, Debug)]
pub(super) struct StoredRun {
    /// Identifies the plan among several of one run.
    pub(super) id: Ulid,
    pub(super) head: Head,
    pub(super) plan: Plan,
}

/// Deletions of one image that one executor does at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Batch {
    pub(super) image: ImageName,
    pub(super) start_time: Timestamp,
    /// Absent while the deletions are under way; for ever when the executor was killed in the middle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) completion_time: Option<Timestamp>,
    pub(super) tags: Vec<BatchItem>,
}

/// One deletion of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchItem {
    pub(super) tag: TagName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<Outcome>,
}

/// What became of a planned deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Outcome {
    Deleted,
    /// Somebody else removed it first.
    Gone,
    /// It has another digest by now.
    Changed(Digest),
    /// Rules or rights forbid it by now; the text says which.
    Refused(String),
}

/// The last run of a policy, as its status shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    pub summary: RunSummary,
    /// What stopped it, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Everything that was done in a run, by whatever executor and plan.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    /// What became of each tag.
    pub(super) outcomes: BTreeMap<(ImageName, TagName), Outcome>,
    /// Tags of batches that were begun and not ended: deleted or not.
    pub(super) begun: BTreeSet<(ImageName, TagName)>,
    /// Time spent on batches that ended.
    pub(super) spent: Duration,
}

impl RunStore {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// How a run ended; `None` while it has not.
    pub(super) async fn report(&self, run: &RunId) -> Result<Option<RunSummary>, StoreError> {
        self.read(&format!("meta/runs/{run}/report")).await
    }

    /// Ends a run. A second report of the same run says the same.
    pub(super) async fn put_report(&self, run: &RunId, report: &RunSummary) -> Result<(), StoreError> {
        self.write(&format!("meta/runs/{run}/report"), report).await
    }

    /// Stores a plan under a fresh id. It exists once its head does.
    pub(super) async fn put_plan(&self, run: &RunId, mut head: Head, plan: &Plan) -> Result<(), StoreError> {
        let id = Ulid::generate();
        let key = |name: &str| format!("meta/runs/{run}/{}/{name}", segment(id));
        let text = Bytes::from(to_json(&key("plan"), plan)?);
        let pieces: Vec<Bytes> = text.chunks(PIECE).map(|piece| text.slice_ref(piece)).collect();
        head.stored = Pieces { count: pieces.len(), bytes: text.len() };
        for (number, piece) in pieces.into_iter().enumerate() {
            self.store.put(&key(&format!("plan.{number:04}")), NewObject::bytes(piece)).await?;
        }
        self.write(&key("head"), &head).await
    }

    /// The plan that the run goes by: of all complete ones that with the smallest id.
    pub(super) async fn plan(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        let Some(id) = self.leading_plan(run).await? else { return Ok(None) };
        let key = |name: &str| format!("meta/runs/{run}/{}/{name}", segment(id));
        let Some(head) = self.read::<Head>(&key("head")).await? else { return Ok(None) };
        let mut text = Vec::with_capacity(head.stored.bytes);
        for number in 0..head.stored.count {
            let key = key(&format!("plan.{number:04}"));
            let piece = self.store.get(&key, None).await?.ok_or_else(|| StoreError::NotFound(key.clone()))?;
            text.extend_from_slice(&read_all(piece.body).await?);
        }
        let plan = from_json(&key("plan"), &text)?;
        Ok(Some(StoredRun { id, head, plan }))
    }

    /// The smallest id of a complete plan.
    pub(super) async fn leading_plan(&self, run: &RunId) -> Result<Option<Ulid>, StoreError> {
        let heads = self.keys(run).await?;
        Ok(heads.iter().filter_map(|key| key.strip_suffix("/head")).filter_map(last_id).min())
    }

    /// Notes what is about to be deleted (`completion_time` absent), or what became of it.
    pub(super) async fn put_batch(
        &self,
        run: &RunId,
        plan: Ulid,
        executor: Ulid,
        number: u32,
        batch: &Batch,
    ) -> Result<(), StoreError> {
        let key = format!("meta/runs/{run}/{}/batch.{}.{number:06}", segment(plan), segment(executor));
        self.write(&key, batch).await
    }

    /// What was done in a run so far.
    pub(super) async fn done(&self, run: &RunId) -> Result<Done, StoreError> {
        let keys: Vec<String> = self.keys(run).await?.into_iter().filter(|key| key.contains("/batch.")).collect();
        let mut batches =
            stream::iter(keys).map(|key| async move { self.read::<Batch>(&key).await }).buffered(PARALLEL);
        let mut done = Done::default();
        while let Some(batch) = batches.try_next().await? {
            // One that was listed and is gone belongs to a run that is being forgotten.
            batch.into_iter().for_each(|batch| done.add(batch));
        }
        Ok(done)
    }

    async fn keys(&self, run: &RunId) -> Result<Vec<String>, StoreError> {
        let entries = list_all(self.store.as_ref(), &format!("meta/runs/{run}/")).await?;
        Ok(entries.into_iter().map(|entry| entry.key).collect())
    }

    /// The head of the plan that a run goes by.
    pub(super) async fn head(&self, run: &RunId) -> Result<Option<Head>, StoreError> {
        let Some(id) = self.leading_plan(run).await? else { return Ok(None) };
        self.read(&format!("meta/runs/{run}/{}/head", segment(id))).await
    }

    /// The last run of a policy that ended or failed.
    pub(super) async fn last(&self, policy: &PolicyName) -> Result<Option<LastRun>, StoreError> {
        self.read(&format!("{}last", policy_folder(policy))).await
    }

    /// Overwrites the last run of a policy. Of two that end at the same moment either may stay.
    pub(super) async fn put_last(&self, policy: &PolicyName, last: &LastRun) -> Result<(), StoreError> {
        self.write(&format!("{}last", policy_folder(policy)), last).await
    }

    /// Enters a run into its history, so that it can one day be forgotten.
    pub(super) async fn note_run(&self, head: &Head, run: &RunId) -> Result<(), StoreError> {
        let time = head.start_time.strftime("%Y%m%dT%H%M%SZ");
        self.store.put(&format!("{}{time}.{run}", history_of(head)), NewObject::marker()).await
    }

    /// The runs of a policy that are remembered, oldest first.
    #[cfg(test)]
    pub(super) async fn runs(&self, policy: &PolicyName) -> Result<Vec<RunId>, StoreError> {
        let entries = list_all(self.store.as_ref(), &runs_of(policy)).await?;
        let runs = entries.iter().filter_map(|entry| run_of_note(&entry.key));
        Ok(runs.collect())
    }

    /// Forgets all but the newest [`RUNS_KEPT`] runs of a history: first what they left, then that they were.
    pub(super) async fn forget_old_runs(&self, head: &Head) -> Result<(), StoreError> {
        let mut notes = list_all(self.store.as_ref(), &history_of(head)).await?;
        notes.truncate(notes.len().saturating_sub(RUNS_KEPT));
        for note in notes {
            if let Some(run) = run_of_note(&note.key) {
                let report = format!("meta/runs/{run}/report");
                let mut keys = self.keys(&run).await?;
                keys.retain(|key| *key != report);
                for chunk in keys.chunks(ListQuery::MAX_KEYS) {
                    if let Some((_, error)) = self.store.delete_many(chunk).await?.into_iter().next() {
                        return Err(error);
                    }
                }
                // The report goes after everything else: while it is there, nobody plans this run anew.
                self.store.delete(&report).await?;
            }
            self.store.delete(&note.key).await?;
        }
        Ok(())
    }

    async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let Some(object) = self.store.get(key, None).await? else { return Ok(None) };
        from_json(key, &read_all(object.body).await?).map(Some)
    }

    async fn write(&self, key: &str, value: &impl Serialize) -> Result<(), StoreError> {
        let object =
            NewObject { bytes: to_json(key, value)?.into(), content_type: Some("application/json".to_owned()) };
        self.store.put(key, object).await
    }
}

impl Done {
    /// Takes a batch in. What one executor deleted, another that planned the same found gone: deleted wins.
    pub(super) fn add(&mut self, batch: Batch) {
        let ended = batch.completion_time;
        if let Some(end) = ended {
            self.spent += Duration::try_from(end.duration_since(batch.start_time)).unwrap_or_default();
        }
        for BatchItem { tag, outcome } in batch.tags {
            let key = (batch.image.clone(), tag);
            match outcome {
                Some(outcome) => match self.outcomes.entry(key) {
                    Entry::Vacant(entry) => drop(entry.insert(outcome)),
                    Entry::Occupied(mut entry) if outcome == Outcome::Deleted => drop(entry.insert(outcome)),
                    Entry::Occupied(_) => {}
                },
                None => drop(self.begun.insert(key)),
            }
        }
    }

    /// Number of tags that the run has deleted.
    pub(super) fn deleted(&self) -> usize {
        self.outcomes.values().filter(|outcome| **outcome == Outcome::Deleted).count()
    }
}

/// The folder of a policy; `!` never occurs in names.
pub(super) fn policy_folder(policy: &PolicyName) -> String {
    format!("meta/policies/{}!{}/", policy.namespace(), policy.name())
}

/// Saved plans have a history of their own: the policy they name is whatever their author wrote.
fn history_of(head: &Head) -> String {
    if head.saved { "meta/saved-plans/".to_owned() } else { runs_of(&head.policy) }
}

fn runs_of(policy: &PolicyName) -> String {
    format!("{}runs/", policy_folder(policy))
}

fn run_of_note(key: &str) -> Option<RunId> {
    key.rsplit_once('/')?.1.split_once('.')?.1.parse().ok()
}

/// An id as a segment of a key.
fn segment(id: Ulid) -> String {
    id.to_string().to_ascii_lowercase()
}

fn last_id(folder: &str) -> Option<Ulid> {
    Ulid::from_string(folder.rsplit_once('/')?.1).ok()
}

fn to_json(key: &str, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|source| StoreError::Other { key: key.to_owned(), source: source.into() })
}

fn from_json<T: DeserializeOwned>(key: &str, text: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(text).map_err(|source| StoreError::Other { key: key.to_owned(), source: source.into() })
}
