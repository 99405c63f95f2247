//! Runs in the bucket: what makes a run continue on any replica.
//!
//! ```text
//! meta/runs/<run>/<plan>/plan.<nnnn>            the plan, in pieces of at most 4 MiB
//! meta/runs/<run>/<plan>/head                   who, when, how much; written after the pieces
//! meta/runs/<run>/agreement/…                   which of the plans counts
//! meta/runs/<run>/<plan>/batch.<executor>.<n>   deletions begun, then (overwritten) what became of them
//! meta/runs/<run>/report                        how the run ended; from then on it is history
//! meta/policies/<namespace>!<name>/runs/<time>.<run>   which runs a policy had, oldest first
//! meta/saved-plans/<time>.<run>                 the same for plans that somebody brought along
//! meta/policies/<namespace>!<name>/last         the run that ended last
//! ```
//!
//! Several replicas may be asked for the same new run at the same moment, and each may plan it, differently if one of
//! them has not loaded the newest policy. Before anything is deleted they agree on one of the plans ([`Agreement`]);
//! there is no way to a [`StoredRun`] but through that. So a run deletes what one plan says and never more than that plan
//! may, however many replicas execute it.

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

use super::agreement::{Agreement, text_of};
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

/// The plan that a run goes by, as it was found in the bucket.
#[derive(Clone, Debug)]
pub(super) struct StoredRun {
    /// Tells the plan from others that were made for the run.
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

/// Everything that was done in a run, by whatever executor.
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

    /// Stores a plan under a fresh id. It exists once its head does, and counts once it is agreed on.
    pub(super) async fn put_plan(&self, run: &RunId, mut head: Head, plan: &Plan) -> Result<Ulid, StoreError> {
        let id = Ulid::generate();
        let key = |name: &str| format!("{}{name}", plan_folder(run, id));
        let text = Bytes::from(to_json(&key("plan"), plan)?);
        let pieces: Vec<Bytes> = text.chunks(PIECE).map(|piece| text.slice_ref(piece)).collect();
        head.stored = Pieces { count: pieces.len(), bytes: text.len() };
        for (number, piece) in pieces.into_iter().enumerate() {
            self.store.put(&key(&format!("plan.{number:04}")), NewObject::bytes(piece)).await?;
        }
        self.write(&key("head"), &head).await?;
        Ok(id)
    }

    /// Agrees with every other replica on the plan that the run goes by: this one, or one of theirs.
    pub(super) async fn agree(&self, run: &RunId, plan: Ulid) -> Result<StoredRun, StoreError> {
        let id = self.agreement(run).reach(plan).await?;
        self.read_plan(run, id).await
    }

    /// The plan that the run goes by; `None` before there is one.
    pub(super) async fn plan(&self, run: &RunId) -> Result<Option<StoredRun>, StoreError> {
        match self.agreement(run).reached().await? {
            Some(agreed) => self.read_plan(run, agreed.value).await.map(Some),
            None => Ok(None),
        }
    }

    async fn read_plan(&self, run: &RunId, id: Ulid) -> Result<StoredRun, StoreError> {
        let key = |name: &str| format!("{}{name}", plan_folder(run, id));
        let head_key = key("head");
        let head: Head = self.read(&head_key).await?.ok_or(StoreError::NotFound(head_key))?;
        let mut text = Vec::with_capacity(head.stored.bytes);
        for number in 0..head.stored.count {
            let key = key(&format!("plan.{number:04}"));
            let piece = self.store.get(&key, None).await?.ok_or_else(|| StoreError::NotFound(key.clone()))?;
            text.extend_from_slice(&read_all(piece.body).await?);
        }
        let plan = from_json(&key("plan"), &text)?;
        Ok(StoredRun { id, head, plan })
    }

    /// Some complete plan of the run, whether it counts or not: who goes on with a run that died before its plan was
    /// agreed on need not make another.
    pub(super) async fn any_plan(&self, run: &RunId) -> Result<Option<Ulid>, StoreError> {
        let heads = self.keys(run).await?;
        Ok(heads.iter().filter_map(|key| key.strip_suffix("/head")).filter_map(last_id).min())
    }

    fn agreement(&self, run: &RunId) -> Agreement {
        Agreement::new(Arc::clone(&self.store), &format!("meta/runs/{run}/agreement"))
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
        let key = format!("{}batch.{}.{number:06}", plan_folder(run, plan), text_of(executor));
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
        // Gone for one executor, because another is deleting it at this moment or was killed after it had.
        for (key, outcome) in &mut done.outcomes {
            if *outcome == Outcome::Gone && done.begun.contains(key) {
                *outcome = Outcome::Deleted;
            }
        }
        Ok(done)
    }

    async fn keys(&self, run: &RunId) -> Result<Vec<String>, StoreError> {
        let entries = list_all(self.store.as_ref(), &format!("meta/runs/{run}/")).await?;
        Ok(entries.into_iter().map(|entry| entry.key).collect())
    }

    /// What the run is for: of the plan that it goes by or, before that is agreed on, of any.
    pub(super) async fn head(&self, run: &RunId) -> Result<Option<Head>, StoreError> {
        let id = match self.agreement(run).reached().await? {
            Some(agreed) => agreed.value,
            None => match self.any_plan(run).await? {
                Some(id) => id,
                None => return Ok(None),
            },
        };
        self.read(&format!("{}head", plan_folder(run, id))).await
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

fn plan_folder(run: &RunId, plan: Ulid) -> String {
    format!("meta/runs/{run}/{}/", text_of(plan))
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
