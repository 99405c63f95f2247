//! Sweeping the blobs of an image (docs/storage.md, "Repository sweep, part 2").

use std::time::Duration;

use berth_crds::digest::Digest;
use berth_crds::name::ImageName;

use super::super::api::BlobError;
use super::super::facade::Storage;
use super::super::id::Id;
use super::super::layout::{self, Holding};
use super::notes::Review;
use super::{AGAIN, Collected, WORK_EVERY};
use crate::store::{StoreError, list_all};

impl Storage {
    /// Flags the holdings of blobs that no manifest of the image mentions; they are deleted after the quarantine.
    pub(super) async fn retire_blobs(&self, image: &ImageName, digests: Vec<Digest>) -> Result<(), StoreError> {
        let users = self.inner.users(image).await?;
        let mut unused = Vec::new();
        for digest in digests {
            // Liveness only: what is in use is not even flagged.
            if users.of(self, &digest).await?.is_empty() {
                unused.push(digest);
            }
        }
        let mut flagged = Vec::new();
        for digest in unused {
            let holdings = self.flag_holdings(image, &digest).await?;
            if !holdings.is_empty() {
                flagged.push((digest, holdings));
            }
        }
        if flagged.is_empty() {
            return Ok(());
        }
        self.delete_watches(image).await?;
        // The list that decides comes after the flags (rule 3).
        let users = self.inner.users(image).await?;
        for (digest, holdings) in flagged {
            if users.of(self, &digest).await?.is_empty() {
                self.note(Review::Retired { image: image.clone(), digest, holdings });
            } else {
                self.note_after(Review::Blob { image: image.clone(), digest }, AGAIN);
            }
        }
        Ok(())
    }

    /// After the quarantine: looks once more, then deletes exactly the holdings that were flagged (amendment R17).
    pub(in crate::storage) async fn delete_retired(
        &self,
        image: &ImageName,
        digest: &Digest,
        holdings: Vec<String>,
    ) -> Result<Collected, StoreError> {
        if !self.inner.users(image).await?.of(self, digest).await?.is_empty() {
            self.note_after(Review::Blob { image: image.clone(), digest: digest.clone() }, AGAIN);
            return Ok(Collected::default());
        }
        let failed = self.inner.delete_keys(holdings.clone()).await;
        self.forget(image, digest).await;
        let mut freed = Collected::default();
        for holding in holdings.iter().filter(|key| !failed.contains_key(*key)).filter_map(|key| Holding::parse(key)) {
            freed.blobs += 1;
            match holding.data {
                None => freed.bytes += holding.size,
                Some(data) => self.note_after(Review::Data { digest: digest.clone(), data }, Duration::ZERO),
            }
        }
        if !failed.is_empty() {
            let retired = Review::Retired {
                image: image.clone(),
                digest: digest.clone(),
                holdings: failed.into_keys().collect(),
            };
            // Never at once: a store that goes on refusing would keep the collector here for ever.
            self.note_after(retired, self.inner.settings.quarantine.max(WORK_EVERY));
        }
        Ok(freed)
    }

    /// Removes a blob from this image only, at once, without grace and quarantine.
    ///
    /// # Errors
    /// [`BlobError::InUse`] while a visible manifest mentions it, [`BlobError::Unknown`] when it is not here.
    pub async fn delete_blob(&self, image: &ImageName, digest: &Digest) -> Result<(), BlobError> {
        self.refuse_used(image, digest).await?;
        let holdings = self.flag_holdings(image, digest).await?;
        if holdings.is_empty() {
            return Err(BlobError::Unknown);
        }
        self.delete_watches(image).await?;
        self.refuse_used(image, digest).await?;
        let failed = self.inner.delete_keys(holdings.clone()).await;
        self.forget(image, digest).await;
        for holding in holdings.iter().filter_map(|key| Holding::parse(key)) {
            if let Some(data) = holding.data {
                self.note_deleted(Review::Data { digest: digest.clone(), data });
            }
        }
        match failed.into_values().next() {
            None => Ok(()),
            Some(error) => Err(error.into()),
        }
    }

    /// Visible manifests keep a blob. Hidden ones (a push that failed or is on its way) are retired first; one that
    /// got its seal meanwhile keeps it after all (amendment R9).
    async fn refuse_used(&self, image: &ImageName, digest: &Digest) -> Result<(), BlobError> {
        let users = self.inner.users(image).await?;
        let (visible, hidden): (Vec<_>, Vec<_>) = users
            .of(self, digest)
            .await?
            .into_iter()
            .partition(|(manifest, instance)| users.is_sealed(manifest, *instance));
        if !visible.is_empty() {
            return Err(in_use(visible));
        }
        if hidden.is_empty() {
            return Ok(());
        }
        let certificates = hidden.iter().map(|(_, instance)| layout::certificate(*instance)).collect();
        if let Some(error) = self.inner.delete_keys(certificates).await.into_values().next() {
            return Err(error.into());
        }
        let sealed_by_now = self.inner.users(image).await?;
        let visible: Vec<_> = hidden
            .iter()
            .filter(|(manifest, instance)| sealed_by_now.is_sealed(manifest, *instance))
            .cloned()
            .collect();
        if !visible.is_empty() {
            return Err(in_use(visible));
        }
        self.sweep_instances(image, hidden).await?;
        // A push that was answered between the look at its seal and the sweep is tagged by now, and the sweep left it;
        // a hidden referrer of something alive stays too. Whoever is left needs the blob.
        match self.inner.users(image).await?.of(self, digest).await? {
            left if left.is_empty() => Ok(()),
            left => Err(in_use(left)),
        }
    }

    /// Flags every holding of a blob in an image; returns their keys.
    async fn flag_holdings(&self, image: &ImageName, digest: &Digest) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        for holding in self.inner.all_holdings(image, digest).await? {
            let key = holding.key();
            self.inner.store.retire(&key).await?;
            keys.push(key);
        }
        Ok(keys)
    }

    /// Mandatory although this version writes none: replicas of a later one may rely on it.
    async fn delete_watches(&self, image: &ImageName) -> Result<(), StoreError> {
        let watches = list_all(&*self.inner.store, &layout::watches(image)).await?;
        let keys = watches.into_iter().map(|entry| entry.key).collect();
        match self.inner.delete_keys(keys).await.into_values().next() {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }
}

fn in_use(users: Vec<(Digest, Id)>) -> BlobError {
    let mut by: Vec<Digest> = users.into_iter().map(|(digest, _)| digest).collect();
    by.dedup();
    BlobError::InUse { by }
}
