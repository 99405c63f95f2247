//! Collecting large data (docs/storage.md, "Data").

use berth_crds::digest::Digest;

use super::super::facade::{Inner, Storage};
use super::super::id::Id;
use super::super::layout::{self, Holding};
use super::notes::Review;
use super::{AGAIN, Collected};
use crate::store::{StoreError, list_all};

impl Storage {
    /// Takes the certificate of data that no image holds; the bytes follow after the quarantine.
    pub(super) async fn retire_data(&self, digest: &Digest, data: Id) -> Result<(), StoreError> {
        if self.inner.is_held(digest, data).await? {
            return Ok(());
        }
        self.inner.store.delete(&layout::certificate(data)).await?;
        if self.inner.is_held(digest, data).await? {
            // Readable for those who hold it, and healed by their next push.
            self.note_after(Review::Data { digest: digest.clone(), data }, AGAIN);
        } else {
            self.note(Review::RetiredData { digest: digest.clone(), data });
        }
        Ok(())
    }

    /// After the quarantine: looks once more, then deletes the bytes.
    pub(super) async fn delete_retired_data(&self, digest: &Digest, data: Id) -> Result<Collected, StoreError> {
        if self.inner.is_held(digest, data).await? {
            self.note_after(Review::RetiredData { digest: digest.clone(), data }, AGAIN);
            return Ok(Collected::default());
        }
        self.delete_data(data).await
    }

    /// The same for data whose digest nobody knows: the look goes through every holding there is.
    pub(super) async fn delete_orphans(&self, orphans: Vec<Id>) -> Result<Collected, StoreError> {
        let mut freed = Collected::default();
        if orphans.is_empty() {
            return Ok(freed);
        }
        let held = self.inner.held_data().await?;
        for data in orphans.into_iter().filter(|data| !held.contains(data)) {
            freed.add(&self.delete_data(data).await?);
        }
        Ok(freed)
    }

    async fn delete_data(&self, data: Id) -> Result<Collected, StoreError> {
        let key = layout::data(data);
        let Some(head) = self.inner.store.head(&key).await? else {
            return Ok(Collected::default());
        };
        self.inner.store.delete(&key).await?;
        Ok(Collected { bytes: head.size, ..Collected::default() })
    }
}

impl Inner {
    /// Whether any image has a holding of this data.
    async fn is_held(&self, digest: &Digest, data: Id) -> Result<bool, StoreError> {
        let entries = list_all(&*self.store, &layout::holdings(digest)).await?;
        let mut holdings = entries.iter().filter_map(|entry| Holding::parse(&entry.key));
        Ok(holdings.any(|holding| holding.data == Some(data)))
    }
}
