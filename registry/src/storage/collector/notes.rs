//! What this replica has seen that may want collecting later.
//!
//! Notes live in memory and are written in batches, at most once a minute; a crash loses the last of them, and what
//! they named stays until fsck. They only say where to look: every collector judges for itself.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use berth_crds::digest::Digest;
use berth_crds::name::ImageName;
use serde::{Deserialize, Serialize};

use super::super::facade::{Inner, Storage};
use super::super::id::Id;
use super::super::layout;
use crate::store::{ListQuery, NewObject, StoreError};

/// Something to look at once its time has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::storage) enum Review {
    /// A manifest instance that was untagged, replaced, pushed without a tag, or failed.
    Instance { image: ImageName, digest: Digest, instance: Id },
    /// A blob of an image that was uploaded or mounted, or whose manifest is gone.
    Blob { image: ImageName, digest: Digest },
    /// Holdings that a sweeper flagged; exactly these are deleted after the quarantine (amendment R17).
    Retired { image: ImageName, digest: Digest, holdings: Vec<String> },
    /// Large data that may have lost its last holding.
    Data { digest: Digest, data: Id },
    /// Large data whose certificate is gone; deleted after the quarantine.
    RetiredData { digest: Digest, data: Id },
    /// Large data whose certificate is gone and whose digest nobody knows.
    Orphan { data: Id },
    /// An upload with a record.
    Upload { session: Id },
}

/// Notes waiting to be written.
#[derive(Debug, Default)]
pub(in crate::storage) struct Notes {
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    /// What to review, and when it is due in seconds since the epoch.
    reviews: HashMap<Review, u64>,
    /// Sessions whose records are of no use any more.
    finished: Vec<Id>,
}

impl Notes {
    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// An upload that ended well; its record may go.
    pub(in crate::storage) fn finished(&self, session: Id) {
        let mut pending = self.lock();
        if pending.reviews.remove(&Review::Upload { session }).is_some() {
            pending.finished.push(session);
        }
    }

    /// A blob turned out to be in use: nothing to review.
    pub(in crate::storage) fn forget_blob(&self, image: &ImageName, digest: &Digest) {
        self.lock().reviews.remove(&Review::Blob { image: image.clone(), digest: digest.clone() });
    }

    pub(in crate::storage) fn is_empty(&self) -> bool {
        let pending = self.lock();
        pending.reviews.is_empty() && pending.finished.is_empty()
    }
}

impl Storage {
    /// Items in one object under `g/`.
    const BATCH: usize = 1000;

    /// Looks at something after the usual grace.
    pub(in crate::storage) fn note(&self, review: Review) {
        let delay = match &review {
            Review::Retired { .. } | Review::RetiredData { .. } | Review::Orphan { .. } => {
                self.inner.settings.quarantine
            }
            Review::Upload { .. } => self.inner.settings.session_ttl,
            Review::Instance { .. } | Review::Blob { .. } | Review::Data { .. } => self.inner.settings.grace,
        };
        self.note_after(review, delay);
    }

    /// Looks at something that a person or a policy deleted, after the time it stays restorable.
    pub(in crate::storage) fn note_deleted(&self, review: Review) {
        self.note_after(review, self.inner.settings.undo);
    }

    /// Looks at something at the next turn, whatever was noted about it before.
    pub(in crate::storage) fn note_now(&self, review: Review) {
        self.inner.notes.lock().reviews.insert(review, self.inner.ids.seconds());
    }

    /// The later of two notes about one thing counts.
    pub(in crate::storage) fn note_after(&self, review: Review, delay: Duration) {
        let due = self.inner.ids.seconds() + delay.as_secs();
        let mut pending = self.inner.notes.lock();
        let slot = pending.reviews.entry(review).or_insert(due);
        *slot = due.max(*slot);
    }

    /// Writes what is pending, at most one object for every due time class (rounded up to a minute) and
    /// [`Storage::BATCH`] items.
    ///
    /// # Errors
    /// When the store fails; the notes stay pending.
    pub async fn flush_notes(&self) -> Result<(), StoreError> {
        let (reviews, finished) = {
            let mut pending = self.inner.notes.lock();
            (std::mem::take(&mut pending.reviews), std::mem::take(&mut pending.finished))
        };
        let written = self.write_reviews(&reviews).await;
        let removed = self.inner.remove_records(&finished).await;
        if written.is_err() || removed.is_err() {
            let mut pending = self.inner.notes.lock();
            for (review, due) in reviews {
                pending.reviews.entry(review).or_insert(due);
            }
            pending.finished.extend(finished);
        }
        written.and(removed)
    }

    async fn write_reviews(&self, reviews: &HashMap<Review, u64>) -> Result<(), StoreError> {
        let mut classes: std::collections::BTreeMap<u64, Vec<&Review>> = std::collections::BTreeMap::new();
        for (review, due) in reviews {
            classes.entry(round_up_to_minute(*due, self.inner.ids.seconds())).or_default().push(review);
        }
        for (due, mut items) in classes {
            items.sort();
            for batch in items.chunks(Self::BATCH) {
                self.inner.queue(due, batch).await?;
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Puts review items into the bucket.
    pub(in crate::storage) async fn queue<T: Serialize>(&self, due: u64, items: &[T]) -> Result<(), StoreError> {
        let json = serde_json::to_vec(items).expect("review items have nothing that JSON lacks");
        self.store.put(&layout::review(due, self.ids.next()), NewObject::bytes(json)).await
    }

    async fn remove_records(&self, sessions: &[Id]) -> Result<(), StoreError> {
        let keys: Vec<String> = sessions.iter().map(|session| layout::upload_record(*session)).collect();
        for batch in keys.chunks(ListQuery::MAX_KEYS) {
            self.store.delete_many(batch).await?;
        }
        Ok(())
    }
}

/// Few due times make few objects. What is due at once stays due at once.
fn round_up_to_minute(due: u64, now: u64) -> u64 {
    if due <= now { due } else { due.div_ceil(60) * 60 }
}
