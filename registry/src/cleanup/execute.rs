//! The deletions of a run, batch by batch, within its limits, so that a kill at any moment loses nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use berth_crds::cleanup::{Action, Plan, Verdict};
use berth_crds::name::{ImageName, TagName};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::names::RunId;
use super::store::{Batch, BatchItem, Done, Outcome, RunStore, StoredRun};
use crate::storage::{DeletionOutcome, PlannedDeletion, Storage};
use crate::store::StoreError;

/// Most tags that are deleted between two looks at limits, rules and the other executors of the run.
const BATCH: usize = 100;

/// Decides, immediately before a deletion, whether it is still permitted: rules and rights may have changed since the
/// plan was made.
pub trait Permit: Send + Sync {
    /// Why these tags of an image may not be deleted now, by tag; absent means they may.
    fn refusals(
        &self,
        image: &ImageName,
        tags: &[TagName],
    ) -> impl Future<Output = Result<BTreeMap<TagName, String>, StoreError>> + Send;
}

/// One attempt at the deletions of a run.
#[derive(Debug)]
pub(super) struct Executor<'a> {
    storage: &'a Storage,
    runs: &'a RunStore,
    run: &'a RunId,
    /// Names the batches of this attempt.
    id: Ulid,
    batches: u32,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum End {
    /// Every deletion of the plan is settled.
    Settled,
    /// The time of the run, or its number of deletions, is used up.
    Limit,
    /// This process is asked to end; the run goes on elsewhere.
    Stopped,
    /// A deletion failed; the run may be tried again.
    Failed(StoreError),
}

impl<'a> Executor<'a> {
    pub(super) fn new(storage: &'a Storage, runs: &'a RunStore, run: &'a RunId) -> Self {
        Self { storage, runs, run, id: Ulid::generate(), batches: 0 }
    }

    /// Deletes what the plan says and nobody has deleted yet. `settled` hears after each batch how many are settled.
    ///
    /// # Errors
    /// When the run's own records cannot be read or written. Nothing is deleted that is not recorded first.
    pub(super) async fn delete(
        &mut self,
        stored: &StoredRun,
        permit: &impl Permit,
        stop: &CancellationToken,
        mut settled: impl FnMut(usize),
    ) -> Result<(Done, End), StoreError> {
        let mut done = self.runs.done(self.run).await?;
        loop {
            settled(done.outcomes.len());
            if stop.is_cancelled() {
                return Ok((done, End::Stopped));
            }
            match next_step(stored, &done) {
                Step::Settled => return Ok((self.with_others(done).await?, End::Settled)),
                Step::Limit => return Ok((self.with_others(done).await?, End::Limit)),
                Step::Delete(image, verdicts) => {
                    let (batch, failure) = self.delete_batch(stored.id, &image, &verdicts, &done, permit).await?;
                    done.add(batch);
                    if let Some(failure) = failure {
                        return Ok((done, End::Failed(failure)));
                    }
                }
            }
        }
    }

    /// What was done, as every executor of the run tells it: what was gone before we came, another may have deleted.
    async fn with_others(&self, done: Done) -> Result<Done, StoreError> {
        let any_gone = done.outcomes.values().any(|outcome| *outcome == Outcome::Gone);
        if any_gone { self.runs.done(self.run).await } else { Ok(done) }
    }

    /// Records what is about to happen, does it, records what happened.
    async fn delete_batch(
        &mut self,
        plan: Ulid,
        image: &ImageName,
        verdicts: &[Verdict],
        done: &Done,
        permit: &impl Permit,
    ) -> Result<(Batch, Option<StoreError>), StoreError> {
        let tags: Vec<TagName> = verdicts.iter().map(|verdict| verdict.tag.clone()).collect();
        let mut refusals = permit.refusals(image, &tags).await?;
        let items = tags.iter().map(|tag| BatchItem { tag: tag.clone(), outcome: None });
        let mut batch =
            Batch { image: image.clone(), start_time: Timestamp::now(), completion_time: None, tags: items.collect() };
        self.batches += 1;
        let number = self.batches;
        self.runs.put_batch(self.run, plan, self.id, number, &batch).await?;

        let permitted = verdicts.iter().filter(|verdict| !refusals.contains_key(&verdict.tag));
        let planned: Vec<PlannedDeletion> = permitted
            .map(|verdict| PlannedDeletion { tag: verdict.tag.clone(), digest: verdict.digest.clone() })
            .collect();
        let outcomes = self.storage.delete_tags(image, &planned).await;
        let mut failure = None;
        let mut deleted: BTreeMap<TagName, Outcome> = BTreeMap::new();
        match outcomes {
            Err(error) => failure = Some(error),
            Ok(outcomes) => {
                for (planned, outcome) in planned.into_iter().zip(outcomes) {
                    let outcome = match outcome {
                        DeletionOutcome::Deleted => Outcome::Deleted,
                        DeletionOutcome::Changed(digest) => Outcome::Changed(digest),
                        // An attempt that was killed in the middle had begun this very deletion.
                        DeletionOutcome::Gone if done.begun.contains(&(image.clone(), planned.tag.clone())) => {
                            Outcome::Deleted
                        }
                        DeletionOutcome::Gone => Outcome::Gone,
                        DeletionOutcome::Failed(error) => {
                            failure = Some(error);
                            continue;
                        }
                    };
                    deleted.insert(planned.tag, outcome);
                }
            }
        }
        for item in &mut batch.tags {
            item.outcome = refusals.remove(&item.tag).map(Outcome::Refused).or_else(|| deleted.remove(&item.tag));
        }
        batch.completion_time = Some(Timestamp::now());
        self.runs.put_batch(self.run, plan, self.id, number, &batch).await?;
        Ok((batch, failure))
    }
}

/// What a run does next.
#[derive(Debug, PartialEq)]
enum Step {
    Settled,
    Limit,
    /// These deletions of one image.
    Delete(ImageName, Vec<Verdict>),
}

/// The next deletions in the order of the plan, within the limits of the run.
fn next_step(stored: &StoredRun, done: &Done) -> Step {
    // The planner keeps to the limit; a plan that somebody wrote into the bucket need not.
    let room = stored.head.max_deletions.saturating_sub(done.deleted());
    for image in &stored.plan.images {
        let open = deletions(image.verdicts.iter())
            .filter(|verdict| !done.outcomes.contains_key(&(image.image.clone(), verdict.tag.clone())));
        let mut batch: Vec<&Verdict> = open.collect();
        // Signatures and their like after the images they belong to: a run that stops in between leaves none without.
        batch.sort_by_key(|verdict| is_companion(&verdict.tag));
        batch.truncate(BATCH);
        if !batch.is_empty() {
            // Asked only here, so that a run whose work is done is complete however long it took.
            if room == 0 || done.spent >= Duration::from(stored.head.timeout) {
                return Step::Limit;
            }
            batch.truncate(room);
            return Step::Delete(image.image.clone(), batch.into_iter().cloned().collect());
        }
    }
    Step::Settled
}

/// Whether clients named a tag after the manifest it belongs to, such as `sha256-<hash>.sig`.
fn is_companion(tag: &TagName) -> bool {
    ["sha256-", "sha512-"].iter().any(|prefix| tag.as_str().starts_with(prefix))
}

fn deletions<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> impl Iterator<Item = &'a Verdict> {
    verdicts.filter(|verdict| verdict.action == Action::Delete)
}

/// Number of tags that a plan deletes.
pub fn planned(plan: &Plan) -> usize {
    plan.images.iter().map(|image| deletions(image.verdicts.iter()).count()).sum()
}
