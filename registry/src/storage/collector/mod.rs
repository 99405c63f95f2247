//! Collection, online: what nobody references is retired, then listed for, then deleted (rule 3).
//!
//! Pushes and deletes leave notes; a worker in every replica takes up those that are due. Two workers on one note are
//! harmless: retirement is never undone and every step may be repeated from any point.

mod data;
mod fsck;
mod holdings;
mod instances;
pub(super) mod notes;
mod uploads;
mod users;

use std::collections::BTreeMap;
use std::time::Duration;

use berth_crds::digest::Digest;
use berth_crds::name::ImageName;
use serde::Serialize;

pub use self::fsck::{Class, Finding, FsckReport};
use self::notes::Review;
use super::facade::{Settings, Storage};
use super::id::Id;
use super::layout;
use crate::store::{ListQuery, StoreError, list_all, read_all};

/// What stopped because something still refers to it is looked at again after this long (amendment R17).
const AGAIN: Duration = Duration::from_secs(24 * 3600);
/// Notes are written at most this often.
const FLUSH_EVERY: Duration = Duration::from_secs(60);
/// Due notes are looked for this often; an idle replica costs two requests an hour and a bit.
const WORK_EVERY: Duration = Duration::from_secs(600);

/// What a collection freed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Collected {
    /// Manifest instances deleted.
    pub manifests: u64,
    /// Blobs taken out of an image (their bytes, if the image had them to itself).
    pub blobs: u64,
    /// Unfinished uploads given up.
    pub uploads: u64,
    /// Bytes of content deleted from the store.
    pub bytes: u64,
}

impl Collected {
    fn add(&mut self, other: &Self) {
        self.manifests += other.manifests;
        self.blobs += other.blobs;
        self.uploads += other.uploads;
        self.bytes += other.bytes;
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Review items of one kind and place, so that one LIST serves many.
#[derive(Default)]
struct Batch {
    instances: BTreeMap<ImageName, Vec<(Digest, Id)>>,
    blobs: BTreeMap<ImageName, Vec<Digest>>,
    retired: Vec<(ImageName, Digest, Vec<String>)>,
    data: Vec<(Digest, Id)>,
    retired_data: Vec<(Digest, Id)>,
    orphans: Vec<Id>,
    uploads: Vec<Id>,
}

impl Storage {
    /// Writes what was noted and takes up every note that is due, also those that follow from this work and are due
    /// at once.
    ///
    /// # Errors
    /// The first failure of the store; what was taken up stays queued.
    pub async fn collect_due(&self) -> Result<Collected, StoreError> {
        let mut total = Collected::default();
        loop {
            self.flush_notes().await?;
            let due = self.due_reviews().await?;
            if due.is_empty() {
                return Ok(total);
            }
            total.add(&self.take_up(due).await?);
        }
    }

    /// Does the work that notes ask for, and removes them.
    async fn take_up(&self, keys: Vec<String>) -> Result<Collected, StoreError> {
        let mut total = Collected::default();
        for key in keys {
            let reviews = self.read_reviews(&key).await?;
            total.add(&self.review(reviews).await?);
            self.inner.store.delete(&key).await?;
        }
        Ok(total)
    }

    /// Everything that can be freed now: due notes (with all three clocks at zero that is every note), and what no note
    /// names because its replica died. Works on a store in use.
    ///
    /// # Errors
    /// The first failure of the store.
    pub async fn collect_all(&self) -> Result<Collected, StoreError> {
        let mut total = Collected::default();
        let Settings { grace, quarantine, undo, .. } = self.inner.settings;
        if [grace, quarantine, undo].iter().all(Duration::is_zero) {
            // By clocks at zero every note is due, whatever the clocks of the replica that wrote it said.
            let notes = list_all(&*self.inner.store, layout::REVIEWS).await?;
            total.add(&self.take_up(notes.into_iter().map(|note| note.key).collect()).await?);
        }
        total.add(&self.collect_due().await?);
        loop {
            let report = self.fsck(true).await?;
            let mut round = report.freed;
            round.add(&self.collect_due().await?);
            // Instances free blobs, blobs free data: one round each.
            if round.is_empty() {
                return Ok(total);
            }
            total.add(&round);
        }
    }

    /// Flushes notes and collects in the background until `stop` resolves.
    pub async fn run_collector(&self, stop: impl Future<Output = ()>) {
        self.stock_certificates().await;
        let settings = &self.inner.settings;
        // With short clocks (tests, demonstrations) nobody wants to wait ten minutes for the worker.
        let shortest = settings.grace.min(settings.undo).max(Duration::from_secs(1));
        let work_every = WORK_EVERY.min(shortest);
        let mut flush = tokio::time::interval(FLUSH_EVERY.min(work_every));
        let mut work = tokio::time::interval(work_every);
        work.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            let outcome = tokio::select! {
                () = &mut stop => return,
                _ = flush.tick() => {
                    if self.inner.notes.is_empty() { Ok(()) } else { self.flush_notes().await }
                }
                _ = work.tick() => self.collect_due().await.map(|freed| {
                    if !freed.is_empty() {
                        let Collected { manifests, blobs, uploads, bytes } = freed;
                        tracing::info!(manifests, blobs, uploads, bytes, "collected");
                    }
                }),
            };
            if let Err(error) = outcome {
                tracing::warn!(%error, "collection stopped; it goes on at its next turn");
            }
        }
    }

    /// Keys of the queue that are due, oldest first.
    async fn due_reviews(&self) -> Result<Vec<String>, StoreError> {
        let now = self.inner.ids.seconds();
        let page = self.inner.store.list(ListQuery::below(layout::REVIEWS)).await?;
        let due = |key: &String| layout::review_due(key).is_some_and(|due| due <= now);
        Ok(page.entries.into_iter().map(|entry| entry.key).filter(due).collect())
    }

    async fn read_reviews(&self, key: &str) -> Result<Vec<Review>, StoreError> {
        let Some(object) = self.inner.store.get(key, None).await? else {
            return Ok(Vec::new());
        };
        let bytes = read_all(object.body).await?;
        // A note only says where to look; an unreadable one is fsck's to make up for.
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(key, %error, "an unreadable review note was dropped");
            Vec::new()
        }))
    }

    async fn review(&self, reviews: Vec<Review>) -> Result<Collected, StoreError> {
        let mut batch = Batch::default();
        for review in reviews {
            match review {
                Review::Instance { image, digest, instance } => {
                    batch.instances.entry(image).or_default().push((digest, instance));
                }
                Review::Blob { image, digest } => batch.blobs.entry(image).or_default().push(digest),
                Review::Retired { image, digest, holdings } => batch.retired.push((image, digest, holdings)),
                Review::Data { digest, data } => batch.data.push((digest, data)),
                Review::RetiredData { digest, data } => batch.retired_data.push((digest, data)),
                Review::Orphan { data } => batch.orphans.push(data),
                Review::Upload { session } => batch.uploads.push(session),
            }
        }
        let mut freed = Collected::default();
        for (image, instances) in batch.instances {
            freed.add(&self.sweep_instances(&image, instances).await?);
        }
        for (image, digests) in batch.blobs {
            self.retire_blobs(&image, digests).await?;
        }
        for (image, digest, holdings) in batch.retired {
            freed.add(&self.delete_retired(&image, &digest, holdings).await?);
        }
        for (digest, data) in batch.data {
            self.retire_data(&digest, data).await?;
        }
        for (digest, data) in batch.retired_data {
            freed.add(&self.delete_retired_data(&digest, data).await?);
        }
        freed.add(&self.delete_orphans(batch.orphans).await?);
        for session in batch.uploads {
            freed.add(&self.reap_upload(session).await?);
        }
        Ok(freed)
    }
}
